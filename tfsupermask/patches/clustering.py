"""Grouping patches: mini-batch k-means (thesis §4.2.2)."""

from __future__ import annotations

import dataclasses

import numpy as np
from sklearn.cluster import MiniBatchKMeans
from threadpoolctl import threadpool_limits

from tfsupermask._validation import fail

_BATCH_SIZE = 256  # this and the next: thesis §5.2
_MAX_ITERATIONS = 10


@dataclasses.dataclass(frozen=True)
class Clusters:
    """A partition of patches.

    Attributes:
        assignment: int array (P,), the cluster of each patch, in [0, C).
        distance: float array (P,), Euclidean distance of each patch to its centroid.
        centroids: float array (C, components).

    Example:
        >>> clusters = cluster(np.array([[0.0], [0.1], [9.0]], "float32"), 2, seed=0)
        >>> clusters.assignment.shape, clusters.centroids.shape
        ((3,), (2, 1))
    """

    assignment: np.ndarray
    distance: np.ndarray
    centroids: np.ndarray


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
        >>> projections = np.array([[0.0], [0.1], [9.0]], "float32")
        >>> assignment = cluster(projections, num_clusters=2, seed=0).assignment
        >>> assignment[0] == assignment[1], assignment[0] == assignment[2]
        (np.True_, np.False_)

    Reference:
        - Thesis §4.2.2 and §5.2.
        - Sculley, 2010, "Web-scale k-means clustering".
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
    # The sums inside depend on the number of threads; the result must not.
    with threadpool_limits(1):
        assignment = kmeans.fit_predict(projections)
    centroids = kmeans.cluster_centers_
    distance = np.linalg.norm(projections - centroids[assignment], axis=1)
    return Clusters(assignment, distance, centroids)
