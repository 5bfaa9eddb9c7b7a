import numpy as np
import pytest

from tfsupermask._validation import InputError
from tfsupermask.patches import Clusters, linear_ranking, select_clusters


def make(seed, num_images=30, num_clusters=8, num_classes=4):
    """Patches of images whose classes a linear classifier can tell in part."""
    rng = np.random.default_rng(seed)
    image = np.repeat(rng.permutation(num_images), rng.integers(1, 6, num_images))
    classes = rng.integers(0, num_classes, num_images)
    points = rng.normal(size=(len(image), 5)) + classes[image, None] * rng.normal(
        size=5
    )
    assignment = rng.integers(0, num_clusters, len(image))
    centroids = rng.normal(size=(num_clusters, 5))
    clusters = Clusters(assignment, np.zeros(len(image)), centroids)
    return points.astype(np.float32), clusters, image, classes[image]


def features_of(points, clusters, image, labels):
    """Features (images, C) and one-hot classes, one number after another."""
    features, classes = [], []
    for each in dict.fromkeys(image.tolist()):
        mine = [i for i in range(len(image)) if image[i] == each]
        row = []
        for centroid in clusters.centroids:
            unit = centroid / np.sqrt(np.sum(centroid**2))
            row.append(sum(max(0.0, float(points[i] @ unit)) for i in mine) / len(mine))
        features.append(row)
        classes.append([float(labels[mine[0]] == k) for k in range(labels.max() + 1)])
    return np.array(features), np.array(classes)


def error_of(features, target):
    """Squared error of the best linear prediction with an offset."""
    inputs = np.column_stack([np.ones(len(target)), features])
    solution = np.linalg.lstsq(inputs, target, rcond=None)[0]
    return np.square(target - inputs @ solution).sum()


def greedy(features, classes, eligible, count):
    chosen = []
    for _ in range(min(count, sum(eligible))):
        gains = {}
        for c in np.flatnonzero(eligible):
            if c not in chosen:
                mine, more = features[:, chosen], features[:, [*chosen, c]]
                own = features[:, [c]]
                left, whole = error_of(mine, own), error_of(mine[:, :0], own)
                lower = error_of(mine, classes) - error_of(more, classes)
                gains[c] = lower * left / (left + 0.01 * whole)
        chosen.append(max(gains, key=gains.get))
    return chosen


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("count", [1, 5, 20])
def test_each_next_cluster_lowers_the_error_of_a_linear_classifier_most(seed, count):
    points, clusters, image, labels = make(seed)
    eligible = np.arange(8) != seed
    ranking = linear_ranking(points, clusters, image, labels, eligible, count)
    features, classes = features_of(points, clusters, image, labels)
    expected = greedy(features, classes, eligible, count)
    assert np.argsort(ranking, kind="stable")[: len(expected)].tolist() == expected
    assert ranking[expected].tolist() == list(range(len(expected)))
    assert (np.delete(ranking, expected) == 8).all()


@pytest.mark.parametrize("exponent", [-120, -80, 62, 120])
def test_it_is_the_same_at_any_scale(exponent):
    points, clusters, image, labels = make(0)
    scaled = np.ldexp(points, exponent)
    centroids = np.ldexp(clusters.centroids.astype(np.float32), exponent)
    large = Clusters(clusters.assignment, clusters.distance, centroids)
    every = np.ones(8, bool)
    np.testing.assert_array_equal(
        linear_ranking(scaled, large, image, labels, every, 5),
        linear_ranking(points, clusters, image, labels, every, 5),
    )


def test_rounding_errors_rank_nothing():
    """Once all classes are told, or no image is left to tell from the others."""
    points, clusters, image, labels = make(2, num_images=12, num_clusters=40)
    noise = 1 + 1e-7 * np.random.default_rng(0).normal(size=points.shape)
    one, other = (
        linear_ranking(values, clusters, image, labels, np.ones(40, bool), 40)
        for values in (np.float64(points), points * noise)
    )
    np.testing.assert_array_equal(one, other)
    assert sorted(one)[:12] == [*range(11), 40]


def test_what_tells_nothing_is_not_ranked():
    points, clusters, image, labels = make(1)
    clusters.centroids[2:4] = 0
    every = np.ones(8, bool)
    ranking = linear_ranking(points, clusters, image, labels, every, 8)
    assert sorted(ranking) == [*range(6), 8, 8]
    assert (ranking[2:4] == 8).all()
    of_one_class = linear_ranking(points, clusters, image, 0 * labels, every, 8)
    assert (of_one_class == 8).all()


def test_the_ranking_selects():
    ranking, sizes = np.array([3.0, 1, 0, 2, 5]), np.array([9, 9, 4, 9, 0])
    options = {"discriminative": False, "select": "linear"}
    chosen = select_clusters(np.zeros(5), sizes, 5, **options, ranking=ranking)
    assert chosen.tolist() == [1, 3, 0, 2]  # small ones last, empty ones never
    with pytest.raises(InputError, match="'linear' needs a `ranking`"):
        select_clusters(np.zeros(5), sizes, 5, **options)
