"""The spaces in which patches are grouped and become filters: raw, centred, whitened.

Raw is the thesis's. Activations lie far from zero, so that raw patches of later layers
are all much like their mean; without it, and the more so whitened, they differ.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import scipy.linalg
from threadpoolctl import threadpool_limits

from tfsupermask._validation import check_choice, fail
from tfsupermask.patches.ranges import exponent_of
from tfsupermask.patches.reduction import FLAT, Survey, principal_components, project

SPACES = ("raw", "centred", "whitened")
_REGULARISER = 0.1  # of the mean variance


def coordinates(
    blocks: Iterable[np.ndarray], survey: Survey, num_components: int, space: str
) -> np.ndarray:
    """Returns the coordinates of patches by which k-means groups them.

    All are coordinates along the leading principal components, as in the thesis.
    Centred and whitened patches have unit length there, so that they are grouped by
    direction; one equal to the mean patch stays zero.

    Args:
        blocks: float32 arrays (patches, ...), those of the survey.
        survey: Of the patches.
        num_components: Number of components, at least 1; never more than a patch has
            values or than there are patches.
        space: `"raw"`: minus the mean patch, which does not change distances.
            `"centred"`: the same, then of unit length. `"whitened"`: minus the mean
            patch, each component divided by √(λ + 0.1 · λ̄), then of unit length, where
            λ is the component's variance and λ̄ the mean variance of a patch's values.

    Returns:
        float32 array (P, components), the same whatever the number of threads.

    Raises:
        InputError: The covariance is not finite, or `space` is not as above.

    Example:
        >>> patches = np.random.rand(100, 3, 3, 8).astype("float32")
        >>> points = coordinates([patches], survey([patches]), 27, "whitened")
        >>> points.shape, bool(np.allclose(np.linalg.norm(points, axis=1), 1))
        ((100, 27), True)

    Reference:
        - Thesis §4.2.2 and §5.2: raw.
        - Coates and Ng, 2012, "Learning feature representations with k-means": whitened
          patches grouped by direction. They whiten all components (ZCA), and even out
          brightness and contrast before; within the leading components ZCA is a
          rotation of this, with the same distances.
    """
    check_choice("space", space, SPACES)
    components = principal_components(survey, num_components)
    if space == "whitened":
        with threadpool_limits(1):
            along = ((components @ survey.covariance) * components).sum(axis=1)
        components *= _gains(along, survey)[:, None]
    points = project(blocks, survey.mean, components)
    if space != "raw":
        points = np.ldexp(points, -exponent_of(float(np.abs(points).max())))
        length = np.linalg.norm(points, axis=1, keepdims=True)
        np.divide(points, length, out=points, where=length > 0)
    return points


def to_space(patterns: np.ndarray, survey: Survey, space: str) -> np.ndarray:
    """Returns patterns as they are in a space.

    Args:
        patterns: float32 array (n, height, width, channels), patches of the survey.
        survey: Of all patches of the layer.
        space: `"raw"`: as they are. `"centred"`: minus the mean patch. `"whitened"`:
            minus the mean patch, then ZCA over all d values of a patch, regularised as
            in `coordinates`. That takes the eigenvectors of d × d numbers.

    Returns:
        Array of the same shape; in the units of the patches, whitened ones but for a
        common factor.

    Raises:
        InputError: A pattern is flat in the space, so that eq. 4.2 would divide by 0,
            or `space` is not as above.

    Example:
        >>> patches = np.random.rand(100, 3, 3, 8).astype("float32")
        >>> whitened = to_space(patches, survey([patches]), "whitened")
        >>> whitened.shape, bool(np.allclose(whitened.mean(axis=0), 0, atol=1e-6))
        ((100, 3, 3, 8), True)

    Reference:
        - Thesis §4.2.3: raw.
        - Coates, Lee and Ng, 2011, "An analysis of single-layer networks in
          unsupervised feature learning": ZCA before k-means makes for local, varied
          filters.
    """
    if check_choice("space", space, SPACES) == "raw":
        return patterns
    flat = patterns.reshape(len(patterns), -1) - survey.mean
    if space == "whitened":  # by (covariance + regulariser)^(-1/2)
        with threadpool_limits(1):
            along, vectors = scipy.linalg.eigh(survey.covariance)
            flat = (flat @ vectors * _gains(along, survey)) @ vectors.T
    dull = ~(flat.std(axis=1) > FLAT * survey.peak)
    if dull.any():
        raise fail(
            f"Patterns must vary in the {space} space.",
            patterns=len(flat),
            flat=int(dull.sum()),
        )
    return flat.reshape(patterns.shape)


def _gains(variances, survey):
    """Returns the factors of directions of these variances, about 1 on average."""
    mean = survey.covariance.trace() / len(survey.covariance)
    if mean == 0:  # all patches are the same
        return np.ones_like(variances)
    return 1 / np.sqrt(np.maximum(variances, 0) / mean + _REGULARISER)
