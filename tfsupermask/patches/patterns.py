"""From clusters to filters: which, by which patch, how large (thesis §3.3 and §4.2)."""

from __future__ import annotations

import numpy as np

from tfsupermask._validation import check_choice, fail
from tfsupermask.patches.clustering import Clusters

MIN_CLUSTER_SIZE = 5  # thesis §5.2
_MANY_CLASSES = 100_000
SELECTIONS = ("entropy", "linear", "size", "random")


def cluster_entropy(clusters: Clusters, labels: np.ndarray) -> np.ndarray:
    """Returns the entropy of the labels in each cluster, in bits (eq. 4.1).

    Args:
        clusters: C clusters of P patches.
        labels: int array (P,), the class of each patch, at least 0.

    Returns:
        float64 array (C,), between 0 (one class) and log2(number of classes); 0 for an
        empty cluster.

    Example:
        >>> clusters = Clusters(np.array([0, 0, 1, 1]), np.zeros(4), np.zeros((2, 27)))
        >>> cluster_entropy(clusters, labels=np.array([3, 3, 0, 1]))
        array([0., 1.])

    Reference:
        - Thesis §3.3, eq. 4.1.
    """
    if labels.max() > _MANY_CLASSES:  # labels that no image has would fill the memory
        labels = np.unique(labels, return_inverse=True)[1]
    num_clusters, num_classes = len(clusters.centroids), int(labels.max()) + 1
    counts = np.bincount(
        clusters.assignment.astype(np.int64) * num_classes + labels,
        minlength=num_clusters * num_classes,
    ).reshape(num_clusters, num_classes)
    # Sorted, so that rounding does not depend on which class is which: ties stay ties.
    counts.sort(axis=1)
    probability = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    log = np.log2(probability, where=probability > 0, out=np.zeros_like(probability))
    return np.abs((probability * log).sum(axis=1))


def select_clusters(
    entropy: np.ndarray,
    sizes: np.ndarray,
    num_selected: int,
    *,
    discriminative: bool,
    select: str = "entropy",
    seed: int = 0,
    ranking: np.ndarray | None = None,
) -> np.ndarray:
    """Ranks clusters and returns the best.

    Clusters of at least 5 patches come first, by entropy: high first for patterns
    common to all classes, low first for discriminative ones. Ties go to the larger
    cluster, then to the lower index. Smaller clusters follow by the same rule, the
    empty ones never.

    Args:
        entropy: float array (C,), in bits.
        sizes: int array (C,); clusters of size 0 are not eligible.
        num_selected: Number of clusters wanted, at least 1.
        discriminative: Whether low entropy is better.
        select: `"entropy"` (default), as above; `"linear"`: by `ranking`; `"size"`:
            larger clusters first; `"random"`: in an order drawn by the seed.
        seed: Non-negative integer below 2⁶⁴. Defaults to 0.
        ranking: float array (C,), small for the best, as `linear_ranking` returns it.
            Defaults to `None`, which `"linear"` does not take.

    Returns:
        int64 array of cluster indices, best first: `num_selected` of them or as many as
        are eligible.

    Raises:
        InputError: `select` is not as above, or lacks its ranking.

    Example:
        >>> entropy, sizes = np.array([1.0, 3.0, 2.0]), np.array([9, 4, 9])
        >>> select_clusters(entropy, sizes, 3, discriminative=False)
        array([2, 0, 1])

    Reference:
        - Thesis §4.2.2 and §5.2.
    """
    if check_choice("select", select, SELECTIONS) == "random":
        generator = np.random.Generator(np.random.Philox(seed))
        preference = generator.permutation(len(sizes))
    elif select == "size":
        preference = -sizes
    elif select == "linear":
        if ranking is None:
            raise fail("`select` 'linear' needs a `ranking`.", ranking=ranking)
        preference = ranking
    else:
        preference = entropy if discriminative else -entropy
    order = np.lexsort((-sizes, preference, sizes < MIN_CLUSTER_SIZE))
    return order[sizes[order] > 0][:num_selected]


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
        signs_only: Whether the sign of (pattern - μ) / σ takes its place, +1 for 0; the
            mean square stays. Defaults to `False`.

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
