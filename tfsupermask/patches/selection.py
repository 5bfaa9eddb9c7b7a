"""Which clusters become filters: by label entropy (thesis §3.3 and §4.2.2)."""

from __future__ import annotations

import numpy as np

from tfsupermask.patches.clustering import Clusters

MIN_CLUSTER_SIZE = 5  # thesis §5.2
SELECTIONS = ("entropy", "size", "random")


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
) -> np.ndarray:
    """Ranks clusters and returns the best.

    Clusters of at least 5 patches come first, by entropy: high first for patterns
    common to all classes, low first for discriminative ones. Ties go to the larger
    cluster, then to the lower index. Smaller clusters follow by the same rule, the
    empty ones never.

    The other rules are there to tell what the choice by entropy is worth.

    Args:
        entropy: float array (C,), in bits.
        sizes: int array (C,); clusters of size 0 are not eligible.
        num_selected: Number of clusters wanted, at least 1.
        discriminative: Whether low entropy is better.
        select: `"entropy"` (default), as above; `"size"`: larger clusters first;
            `"random"`: in an order drawn by the seed.
        seed: Non-negative integer below 2⁶⁴. Defaults to 0.

    Returns:
        int64 array of cluster indices, best first: `num_selected` of them or as many as
        are eligible.

    Example:
        >>> entropy, sizes = np.array([1.0, 3.0, 2.0]), np.array([9, 4, 9])
        >>> select_clusters(entropy, sizes, 3, discriminative=False)
        array([2, 0, 1])

    Reference:
        - Thesis §4.2.2 and §5.2.
    """
    if select == "random":
        generator = np.random.Generator(np.random.Philox(seed))
        preference = generator.permutation(len(sizes))
    elif select == "size":
        preference = -sizes
    else:
        preference = entropy if discriminative else -entropy
    order = np.lexsort((-sizes, preference, sizes < MIN_CLUSTER_SIZE))
    return order[sizes[order] > 0][:num_selected]
