"""From clusters to filters: the patch nearest each centroid (thesis §4.2.2, §4.2.3)."""

from __future__ import annotations

import numpy as np

from tfsupermask.patches.clustering import Clusters


def nearest_patches(clusters: Clusters, usable: np.ndarray) -> np.ndarray:
    """Returns for each cluster the usable patch nearest its centroid.

    Args:
        clusters: The partition of P patches.
        usable: bool array (P,), which patches may be chosen.

    Returns:
        int64 array (C,) of patch indices; -1 for a cluster without a usable patch.
        Among equally near patches the first is taken.

    Example:
        >>> clusters = Clusters(
        ...     assignment=np.array([0, 0, 1]), distance=np.array([0.3, 0.1, 0.2]),
        ...     centroids=np.zeros((2, 27)),
        ... )
        >>> nearest_patches(clusters, usable=np.array([True, True, False]))
        array([ 1, -1])

    Reference:
        - Thesis §4.2.2.
    """
    nearest = np.full(len(clusters.centroids), -1, np.int64)
    candidates = np.flatnonzero(usable)
    keys = clusters.distance[candidates], clusters.assignment[candidates]
    by_cluster = candidates[np.lexsort(keys)]
    filled, first = np.unique(clusters.assignment[by_cluster], return_index=True)
    nearest[filled] = by_cluster[first]
    return nearest


def scale_patterns(
    patterns: np.ndarray, fan_in: int, fan_out: int, *, signs_only: bool = False
) -> np.ndarray:
    """Normalises each pattern and scales it as Xavier's initialisation does (eq. 4.2).

    filter = (pattern - μ) / σ · √(2 / (fan_in + fan_out)), with μ and σ the mean and
    the (population) standard deviation of that pattern.

    Args:
        patterns: float array (n, height, width, channels), none of them constant.
        fan_in: n_{l-1}, receptive field included, at least 1.
        fan_out: n_{l+1}, receptive field included, at least 1.
        signs_only: Whether to keep of (pattern - μ) / σ no more than the sign (+1 where
            it is 0), which leaves the mean square as it is. Defaults to `False`.

    Returns:
        float32 kernel (height, width, channels, n).

    Example:
        >>> kernel = scale_patterns(np.random.rand(64, 3, 3, 3), fan_in=27, fan_out=576)
        >>> kernel.shape, round(float(kernel.std()), 4)
        ((3, 3, 3, 64), 0.0576)

    Reference:
        - Thesis eq. 4.2; Ramanujan et al., 2020: signs at one magnitude.
    """
    flat = patterns.reshape(len(patterns), -1).astype(np.float64)
    centred = flat - flat.mean(axis=1, keepdims=True)
    if signs_only:
        normalised = np.where(centred < 0, -1.0, 1.0)
    else:
        normalised = centred / flat.std(axis=1, keepdims=True)
    filters = normalised * np.sqrt(2.0 / (fan_in + fan_out))
    return np.moveaxis(filters.reshape(patterns.shape), 0, -1).astype(np.float32)
