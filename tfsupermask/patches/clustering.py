"""Grouping patches: PCA, then k-means (thesis §4.2.2)."""

from __future__ import annotations

import dataclasses

import numpy as np
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_limits

from tfsupermask._validation import fail

NUM_COMPONENTS = 27  # this and the k-means settings: thesis §5.2
_BATCH_SIZE = 256
_MAX_ITERATIONS = 10


@dataclasses.dataclass(frozen=True)
class Clusters:
    """A partition of patches.

    Attributes:
        assignment: int array (P,), the cluster of each patch, in [0, C).
        distance: float array (P,), Euclidean distance of each patch to its centroid.
        centroids: float array (C, components).
    """

    assignment: np.ndarray
    distance: np.ndarray
    centroids: np.ndarray


def reduce_dimensionality(
    values: np.ndarray, seed: int, num_components: int = NUM_COMPONENTS
) -> np.ndarray:
    """Projects patches onto their first principal components.

    Args:
        values: float32 array (P, ...), one patch a row, flattened here.
        seed: Non-negative integer below 2³².
        num_components: Components kept, at least 1; never more than there are pixels
            or patches.

    Returns:
        float32 array (P, components).

    Example:
    >>> reduce_dimensionality(np.random.rand(100, 3, 3, 8).astype("float32"), 0).shape
    (100, 27)
    """
    flat = values.reshape(len(values), -1)
    pca = PCA(min(num_components, *flat.shape), random_state=seed)
    # The sums inside depend on the number of threads; the result must not.
    with threadpool_limits(1):
        return pca.fit_transform(flat)


def cluster(projections: np.ndarray, num_clusters: int, seed: int) -> Clusters:
    """Groups patches by mini-batch k-means.

    Args:
        projections: float array (P, components).
        num_clusters: C, in [1, P]. Some may end up empty.
        seed: Non-negative integer below 2³².

    Returns:
        The clusters.

    Raises:
        InputError: There are fewer patches than clusters.

    Example:
    >>> points = np.array([[0.0], [0.1], [9.0]], "float32")
    >>> sorted(np.bincount(cluster(points, 2, seed=0).assignment).tolist())
    [1, 2]
    """
    if num_clusters > len(projections):
        raise fail(
            "`num_clusters` must be at most the number of patches.",
            num_clusters=num_clusters,
            num_patches=len(projections),
        )
    kmeans = MiniBatchKMeans(
        num_clusters,
        batch_size=_BATCH_SIZE,
        max_iter=_MAX_ITERATIONS,
        n_init=1,
        random_state=seed,
    )
    with threadpool_limits(1):
        assignment = kmeans.fit_predict(projections)
    centroids = kmeans.cluster_centers_
    distance = np.linalg.norm(projections - centroids[assignment], axis=1)
    return Clusters(assignment, distance, centroids)
