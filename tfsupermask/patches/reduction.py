"""What all patches have in common: mean, spread, principal components (§4.2.2)."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import scipy.linalg
from threadpoolctl import threadpool_limits

from tfsupermask import _core

NUM_COMPONENTS = 27  # thesis §5.2


@dataclasses.dataclass(frozen=True)
class Survey:
    """What one pass over all patches tells about them; d is the length of a patch.

    Attributes:
        mean: float64 array (d,).
        covariance: float64 array (d, d).
        deviation: float32 array (P,), standard deviation inside each patch.
        peak: The largest absolute value of all.

    Example:
        >>> patches = np.random.rand(100, 3, 3, 8).astype("float32")
        >>> about = survey([patches])
        >>> about.mean.shape, about.covariance.shape, about.deviation.shape
        ((72,), (72, 72), (100,))
    """

    mean: np.ndarray
    covariance: np.ndarray
    deviation: np.ndarray
    peak: float


def survey(blocks: Iterable[np.ndarray]) -> Survey:
    """Accumulates mean, covariance and spread over blocks of patches.

    Args:
        blocks: float32 arrays (patches, ...); their sizes decide how sums are rounded.

    Returns:
        The survey, the same whatever the number of threads.

    Example:
        >>> patches = np.random.rand(100, 3, 3, 8).astype("float32")
        >>> survey([patches[:60], patches[60:]]).covariance.shape
        (72, 72)
    """
    total, products, deviations, peak, count, shift = 0.0, 0.0, [], 0.0, 0, None

    def sums_of(block):
        centred = block.reshape(len(block), -1) - shift
        # Half of the symmetric product, by columns: BLAS does not do the other half.
        upper = scipy.linalg.blas.ssyrk(1.0, centred.T)
        return centred.sum(axis=0, dtype=np.float64), upper, *_spread(block)

    def with_shift():
        nonlocal shift
        for block in blocks:
            if shift is None:
                # Activations may lie far from zero: take their squares near the mean.
                shift = block.reshape(len(block), -1).mean(axis=0)
            yield block

    for sums, upper, deviation, largest in _in_threads(sums_of, with_shift()):
        total, products = total + sums, products + upper.astype(np.float64)
        deviations.append(deviation)
        peak = np.maximum(peak, largest)  # also where it is NaN
        count += len(deviation)
    offset = total / count
    covariance = np.triu(products) / count - np.triu(np.outer(offset, offset))
    covariance += np.triu(covariance, 1).T
    return Survey(shift + offset, covariance, np.concatenate(deviations), float(peak))


def principal_components(
    survey: Survey, num_components: int = NUM_COMPONENTS
) -> np.ndarray:
    """Returns the directions of largest variance, the largest first.

    Args:
        survey: Of the patches.
        num_components: Directions wanted, at least 1, by default 27; never more than a
            patch has values or than there are patches.

    Returns:
        float64 array (components, d) of orthonormal rows. The largest entry of each by
        magnitude is positive.

    Raises:
        ValueError: The covariance is not finite.

    Example:
        >>> patches = np.random.rand(100, 3, 3, 8).astype("float32")
        >>> principal_components(survey([patches])).shape
        (27, 72)

    Reference:
        - Thesis §4.2.2 and §5.2.
    """
    length = len(survey.mean)
    kept = min(num_components, length, len(survey.deviation))
    wanted = [length - kept, length - 1]
    with threadpool_limits(1):
        _, vectors = scipy.linalg.eigh(survey.covariance, subset_by_index=wanted)
    components = vectors.T[::-1]
    largest = np.abs(components).argmax(axis=1)
    signs = np.sign(components[np.arange(len(components)), largest])
    return components * signs[:, None]


def project(
    blocks: Iterable[np.ndarray], mean: np.ndarray, components: np.ndarray
) -> np.ndarray:
    """Projects blocks of patches onto components.

    Args:
        blocks: float32 arrays (patches, ...).
        mean: (d,), subtracted before.
        components: (components, d).

    Returns:
        float32 array (P, components).

    Example:
        >>> patches = np.random.rand(100, 3, 3, 8).astype("float32")
        >>> about = survey([patches])
        >>> project([patches], about.mean, principal_components(about)).shape
        (100, 27)
    """
    offset, basis = mean.astype(np.float32), components.T.astype(np.float32)

    def projection_of(block):
        return (block.reshape(len(block), -1) - offset) @ basis

    return np.concatenate(list(_in_threads(projection_of, blocks)))


def _spread(block: np.ndarray) -> tuple[np.ndarray, float]:
    """Returns the deviation inside each patch and the largest absolute value."""
    flat = block.reshape(len(block), -1)
    return flat.std(axis=1), float(max(flat.max(), -flat.min()))


def _in_threads(function: Callable, blocks: Iterable[np.ndarray]) -> Iterator:
    """Maps a function over blocks: a few at a time, results in order.

    BLAS is held to one thread inside, so that results do not depend on their number.
    """
    workers = _core.hardware_threads()
    pending: collections.deque = collections.deque()
    # OpenMP keeps its limit by thread: each worker sets its own.
    each = {"initializer": threadpool_limits, "initargs": (1,)}
    with threadpool_limits(1), ThreadPoolExecutor(workers, **each) as pool:
        for block in blocks:
            pending.append(pool.submit(function, block))
            if len(pending) > workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
