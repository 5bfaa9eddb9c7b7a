import functools
import types

import numpy as np
import pytest
from sklearn.cluster import MiniBatchKMeans
from threadpoolctl import threadpool_limits

from tfsupermask import _core
from tfsupermask._validation import InputError
from tfsupermask.patches import cluster, clustering


def random_points(count, length, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, length)).astype(np.float32)


def whole_numbers(count, length, most, seed):
    # float32 sums their squared distances exactly: scikit-learn draws the same seeds.
    rng = np.random.default_rng(seed)
    return rng.integers(-most, most + 1, (count, length)).astype(np.float32)


def scikit_learn(points, num_clusters, seed):
    kmeans = MiniBatchKMeans(
        num_clusters, batch_size=256, max_iter=10, n_init=1, random_state=seed
    )
    with threadpool_limits(1):
        return kmeans.fit(points)


@pytest.fixture
def use_core(monkeypatch):
    """Puts functions in place of those of the C++ core that k-means calls."""

    def use(**functions):
        functions = {"seed_centroids": _core.seed_centroids, **functions}
        monkeypatch.setattr(clustering, "_core", types.SimpleNamespace(**functions))

    return use


@pytest.fixture
def watched(use_core):
    """The numbers of points for which nearest centroids were asked for."""
    asked = []

    def nearest_centroids(points, centroids):
        asked.append(len(points))
        return _core.nearest_centroids(points, centroids)

    use_core(nearest_centroids=nearest_centroids)
    return asked


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("count", "length", "num_clusters"),
    [
        pytest.param(400, 5, 20, id="few patches"),
        pytest.param(5000, 8, 20, id="many patches"),
        pytest.param(2000, 5, 200, id="some clusters starved"),
        pytest.param(3000, 4, 500, id="more clusters than a batch has patches"),
        pytest.param(2500, 4, 800, id="more clusters than three batches"),
        pytest.param(300, 5, 1, id="one cluster"),
        pytest.param(2, 3, 2, id="as many clusters as patches"),
        pytest.param(1, 1, 1, id="one patch"),
    ],
)
def test_partition_is_the_thesis_minibatch_kmeans(
    count, length, num_clusters, seed, watched, monkeypatch
):
    points = whole_numbers(count, length, 40, seed=100 + seed)
    with monkeypatch.context() as patched:
        # It sorts clusters by size, those of equal size in no order.
        patched.setattr(np, "argsort", functools.partial(np.argsort, kind="stable"))
        kmeans = scikit_learn(points, num_clusters, seed)
    clusters = cluster(points, num_clusters, seed)
    assert len(watched) == kmeans.n_steps_ + 1
    np.testing.assert_allclose(clusters.centroids, kmeans.cluster_centers_, atol=1e-4)
    assert (clusters.assignment == kmeans.labels_).mean() > 0.999
    to_theirs = np.linalg.norm(points - clusters.centroids[kmeans.labels_], axis=1)
    np.testing.assert_allclose(clusters.distance, to_theirs, rtol=1e-5, atol=1e-4)


def test_inertia_is_that_of_scikit_learn_where_rounding_decides():
    points = random_points(6000, 27) * np.linspace(9, 1, 27, dtype=np.float32)
    ours = [np.square(cluster(points, 250, s).distance).sum() for s in range(4)]
    theirs = [scikit_learn(points, 250, s).inertia_ for s in range(4)]
    assert np.mean(ours) == pytest.approx(np.mean(theirs), rel=0.01)


def test_stops_when_batches_no_longer_improve(watched):
    cluster(np.tile(random_points(4, 3), (10_000, 1)), 4, seed=0)
    # Seeds hit all four points: the first batch does not count, the second is the
    # least, and ten more do not improve on it.
    assert watched == [256] * 12 + [40_000]


def test_replaces_no_more_starved_centroids_than_half_a_batch_the_emptiest_first():
    counts = np.array([1.0, 0, 1000, 0, 9, 10, 0])
    centroids = np.arange(7.0)[:, None] * np.ones(2)
    batch = random_points(6, 2)
    clustering._replace_starved(centroids, counts, batch, np.random.RandomState(0))
    assert counts.tolist() == [1, 1, 1000, 1, 9, 10, 1]
    chosen = np.random.RandomState(0).choice(6, 3, replace=False)
    np.testing.assert_array_equal(centroids[[1, 3, 6]], batch[chosen])
    np.testing.assert_array_equal(centroids[[0, 2, 4, 5], 0], [0, 2, 4, 5])


def test_same_seed_same_partition_other_seed_another():
    points = random_points(400, 5)
    first, again, other = (cluster(points, 20, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.centroids, again.centroids)
    assert (first.assignment != other.assignment).any()


def test_threads_do_not_change_a_bit(use_core):
    points = random_points(9000, 27)

    def run(threads):
        names = ("nearest_centroids", "seed_centroids")
        use_core(
            **{
                name: functools.partial(getattr(_core, name), num_threads=threads)
                for name in names
            }
        )
        return cluster(points, 1000, seed=0)

    single = run(1)
    for several in map(run, (2, 3, 8)):
        for name in ("assignment", "distance", "centroids"):
            np.testing.assert_array_equal(getattr(several, name), getattr(single, name))


def test_fewer_distinct_patches_than_clusters():
    points = np.repeat(random_points(3, 4), 20, axis=0)
    clusters = cluster(points, 10, seed=0)
    np.testing.assert_allclose(clusters.distance, 0, atol=1e-6)
    assert len(np.unique(clusters.assignment)) >= 3


def test_takes_any_float_array_and_leaves_it_as_it_is():
    points = random_points(60, 10)
    before = points.copy()
    expected = cluster(points[:, ::2], 8, seed=0)
    result = cluster(points[:, ::2].astype(np.float64), 8, seed=0)
    np.testing.assert_array_equal(result.assignment, expected.assignment)
    np.testing.assert_array_equal(points, before)
    assert result.centroids.dtype == np.float32


@pytest.mark.parametrize(
    ("value", "num_clusters", "message"),
    [
        (0, 6, r"num_clusters=6, num_patches=5"),
        (0, 0, r"at least 1.*num_clusters=0"),
        (0, 2.0, r"at least 1.*num_clusters=2.0"),
        (np.nan, 2, r"`projections` must be finite.*patch=3"),
        (np.inf, 2, r"`projections` must be finite.*patch=3"),
        (-np.inf, 2, r"`projections` must be finite.*patch=3"),
    ],
)
def test_refuses(value, num_clusters, message):
    points = random_points(5, 3)
    points[3, 1] = value
    with pytest.raises(InputError, match=message):
        cluster(points, num_clusters, seed=0)


@pytest.mark.parametrize("scale", [1e-30, 1e-25, 2.0**-35, 2.0**35, 1e19, 1e30])
def test_the_scale_changes_nothing_but_the_scale(scale):
    points, scale = whole_numbers(1500, 5, 40, seed=0), np.float32(scale)
    expected, found = cluster(points, 60, 0), cluster(points * scale, 60, 0)
    np.testing.assert_array_equal(found.assignment, expected.assignment)
    for name in ("distance", "centroids"):
        scaled = getattr(expected, name) * scale
        np.testing.assert_allclose(getattr(found, name), scaled, rtol=1e-4)
