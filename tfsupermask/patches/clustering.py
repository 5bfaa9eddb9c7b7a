"""Grouping patches: mini-batch k-means (thesis §4.2.2)."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from tfsupermask import _core
from tfsupermask._validation import check_integer, fail
from tfsupermask.patches.ranges import exponent_of

_BATCH_SIZE = 256  # this and the next: thesis §5.2
_MAX_ITERATIONS = 10

# The defaults of scikit-learn's MiniBatchKMeans.
_SEEDING_BATCHES = 3
_STARVED = 0.01
_POINTS_BETWEEN_CHECKS = 10
_PATIENCE = 10


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

    @property
    def sizes(self) -> np.ndarray:
        """The number of patches in each cluster: int64 array (C,)."""
        return np.bincount(self.assignment, minlength=len(self.centroids))


def cluster(projections: np.ndarray, num_clusters: int, seed: int) -> Clusters:
    """Groups patches by mini-batch k-means.

    Centroids begin as patches chosen by k-means++ and move to the mean of the patches
    nearest them, batch by batch, until the batches' distances no longer fall. Random
    numbers are drawn as scikit-learn's `MiniBatchKMeans` draws them: where no two
    choices are as good as each other but for rounding, the partition is the same.

    Args:
        projections: float array (P, components), finite; calculated with as float32.
        num_clusters: C, in [1, P]. Some may end up empty.
        seed: Non-negative integer below 2³².

    Returns:
        The clusters, the same whatever the number of threads, and the scale of the
        values. A patch as near to two centroids belongs to the first.

    Raises:
        InputError: `num_clusters` is out of range, or a value is not finite.

    Example:
        >>> projections = np.array([[0.0], [0.1], [9.0]], "float32")
        >>> assignment = cluster(projections, num_clusters=2, seed=0).assignment
        >>> assignment[0] == assignment[1], assignment[0] == assignment[2]
        (np.True_, np.False_)

    Reference:
        - Thesis §4.2.2 and §5.2.
        - Sculley, 2010, "Web-scale k-means clustering".
        - Arthur and Vassilvitskii, 2007, "k-means++".
    """
    points = np.ascontiguousarray(projections, np.float32)
    if check_integer("num_clusters", num_clusters, 1) > len(points):
        raise fail(
            "`num_clusters` must be at most the number of patches.",
            num_clusters=num_clusters,
            num_patches=len(points),
        )
    finite = np.isfinite(points).all(axis=1)
    if not finite.all():
        raise fail("`projections` must be finite.", patch=int(finite.argmin()))
    exponent = exponent_of(float(np.abs(points).max(initial=0)))
    points = np.ldexp(points, -exponent) if exponent else points
    random = np.random.RandomState(seed)
    batch_size = min(_BATCH_SIZE, len(points))
    centroids = _seed(points, num_clusters, batch_size, random)
    _refine(centroids, points, batch_size, random)
    assignment, squared_distance = _core.nearest_centroids(points, centroids)
    distance = np.sqrt(squared_distance)
    return Clusters(
        assignment, np.ldexp(distance, exponent), np.ldexp(centroids, exponent)
    )


def _seed(points, num_clusters, batch_size, random):
    """Returns patches that lie far apart: k-means++ on a sample of them."""
    wanted = _SEEDING_BATCHES * batch_size
    if wanted < num_clusters:
        wanted = _SEEDING_BATCHES * num_clusters
    size = min(wanted, len(points))
    # scikit-learn first draws a sample on which to compare several seedings.
    random.randint(0, len(points), size)
    sample = points
    if size < len(points):
        sample = points[random.randint(0, len(points), size)]
    (first,) = _draw(len(sample), 1, random)
    num_trials = 2 + int(math.log(num_clusters))
    draws = random.random_sample((num_clusters - 1, num_trials))
    return sample[_core.seed_centroids(sample, int(first), draws)]


def _refine(centroids, points, batch_size, random):
    """Moves centroids, in place, to the means of the points nearest them."""
    counts = np.zeros(len(centroids))
    weight = min(1.0, 2 * batch_size / (len(points) + 1))
    # It ends when the smoothed mean distance has not fallen for `_PATIENCE` batches.
    smoothed, least = None, math.inf
    unchecked = since_least = 0
    for step in range(_MAX_ITERATIONS * len(points) // batch_size):
        batch = points[_draw(len(points), batch_size, random)]
        nearest, squared_distance = _core.nearest_centroids(batch, centroids)
        unchecked += batch_size
        check = unchecked >= _POINTS_BETWEEN_CHECKS * len(centroids) or not counts.all()
        _move(centroids, counts, batch, nearest)
        if check:
            unchecked = 0
            _replace_starved(centroids, counts, batch, random)
        if not step:  # the first batch measures the seeds alone
            continue
        mean = squared_distance.mean(dtype=np.float64)
        smoothed = mean if smoothed is None else smoothed + weight * (mean - smoothed)
        since_least += 1
        if smoothed < least:
            least, since_least = smoothed, 0
        if since_least >= _PATIENCE:
            break


def _move(centroids, counts, batch, nearest):
    """Makes each centroid the mean of all points that were nearest it so far."""
    order = nearest.argsort(kind="stable")
    moved, begins, added = np.unique(
        nearest[order], return_index=True, return_counts=True
    )
    sums = np.add.reduceat(batch[order], begins, dtype=np.float64)
    before = counts[moved, None]
    counts[moved] += added
    centroids[moved] = (centroids[moved] * before + sums) / counts[moved, None]


def _replace_starved(centroids, counts, batch, random):
    """Replaces the centroids with the fewest points by points of the batch."""
    starved = np.flatnonzero(counts < _STARVED * counts.max())
    most = len(batch) // 2
    if len(starved) > most:
        starved = starved[counts[starved].argsort(kind="stable")[:most]]
    if len(starved):
        chosen = random.choice(len(batch), len(starved), replace=False)
        centroids[np.sort(starved)] = batch[chosen]
        # Enough points to be safe for a while.
        counts[starved] = np.delete(counts, starved).min()


def _draw(count, size, random):
    """Returns `size` numbers below `count`, with replacement."""
    return (random.random_sample(size) * count).astype(np.int64)
