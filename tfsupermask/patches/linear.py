"""Clusters by what their filters would add to a linear classifier of the images."""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

from tfsupermask.patches.clustering import Clusters

_RIDGE = 0.01  # of a feature's power, so that what is left beside the others must tell
_ROUNDING = 1e-10  # of what there was at first: the rest is rounding errors


def linear_ranking(
    points: np.ndarray,
    clusters: Clusters,
    image: np.ndarray,
    labels: np.ndarray,
    eligible: np.ndarray,
    num_ranked: int,
) -> np.ndarray:
    """Ranks clusters greedily: each next one helps a linear classifier the most.

    An image's feature of a cluster is the mean over its patches of what a filter that
    points to the centroid answers, if positive. One after another, the feature is added
    that most lowers the squared error of the best linear classifier of the images on
    all features so far, while there is an error to lower.

    Args:
        points: float array (P, components), what was clustered, grouped by image.
        clusters: C clusters of the P patches.
        image: int array (P,), the image of each patch.
        labels: int array (P,), the class of each patch's image, at least 0.
        eligible: bool array (C,), which clusters to rank.
        num_ranked: Number of clusters wanted, at least 1.

    Returns:
        float64 array (C,): the place of each cluster, from 0; C for those not ranked.
        The same whatever the number of threads.

    Example:
        >>> points = np.array([[1.0, 0.1], [0.1, 1.0], [1.0, 0.0], [0.2, 1.0]])
        >>> clusters = Clusters(np.array([0, 1, 0, 1]), np.zeros(4), np.eye(2))
        >>> image, labels = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1])
        >>> linear_ranking(points, clusters, image, labels, np.array([True, True]), 1)
        array([2., 0.])

    Reference:
        - Chen, Billings and Luo, 1989, "Orthogonal least squares methods and their
          application to non-linear system identification".
    """
    ranking = np.full(len(clusters.centroids), float(len(clusters.centroids)))
    eligible = eligible.copy()
    with threadpool_limits(1):  # how sums are rounded depends on it
        features, classes = _features(points, clusters.centroids, image, labels)
        error = classes - classes.mean(axis=0)
        left = features - features.mean(axis=0)
        whole, unexplained = np.square(left).sum(axis=0), np.square(error).sum()
        for place in range(num_ranked):
            power = np.square(left).sum(axis=0)
            able = eligible & (power > _ROUNDING * whole)
            if not able.any() or np.square(error).sum() <= _ROUNDING * unexplained:
                break
            gain = np.square(left.T @ error).sum(axis=1)
            gain = np.where(able, gain / np.where(able, power + _RIDGE * whole, 1), -1)
            best = int(gain.argmax())
            ranking[best], eligible[best] = place, False
            direction = left[:, best] / np.sqrt(power[best])
            error -= np.outer(direction, direction @ error)
            left -= np.outer(direction, direction @ left)
    return ranking


def _features(points, centroids, image, labels):
    """Returns each image's features (images, C), and its class, one-hot."""
    centroids = centroids.astype(np.float64)  # of any scale
    lengths = np.linalg.norm(centroids, axis=1, keepdims=True)
    unit = np.divide(
        centroids, lengths, out=np.zeros(centroids.shape), where=lengths > 0
    )
    starts = np.flatnonzero(np.diff(image, prepend=-1))
    features = [
        np.maximum(part @ unit.T, 0).mean(axis=0)
        for part in np.split(points, starts[1:])
    ]
    _, classes = np.unique(labels[starts], return_inverse=True)
    return np.array(features), np.eye(classes.max() + 1)[classes]
