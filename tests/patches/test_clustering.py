import numpy as np
import pytest
from sklearn.cluster import MiniBatchKMeans
from threadpoolctl import threadpool_info, threadpool_limits

from tfsupermask._validation import InputError
from tfsupermask.patches import cluster, clustering


def random_points(count, length, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, length)).astype(np.float32)


@pytest.mark.parametrize(("count", "num_clusters"), [(400, 20), (7, 7), (300, 1)])
def test_partition_is_the_thesis_minibatch_kmeans(count, num_clusters):
    points = random_points(count, 5)
    clusters = cluster(points, num_clusters, seed=3)
    kmeans = MiniBatchKMeans(
        num_clusters, batch_size=256, max_iter=10, n_init=1, random_state=3
    )
    with threadpool_limits(1):
        kmeans.fit(points)
    np.testing.assert_array_equal(clusters.assignment, kmeans.labels_)
    np.testing.assert_array_equal(clusters.centroids, kmeans.cluster_centers_)
    for i, point in enumerate(points):
        to_all = [np.sqrt(((point - c) ** 2).sum()) for c in clusters.centroids]
        assert clusters.distance[i] == pytest.approx(min(to_all), abs=1e-4)
        assert to_all[clusters.assignment[i]] == pytest.approx(min(to_all), abs=1e-4)


def test_same_seed_same_partition_other_seed_another():
    points = random_points(400, 5)
    first, again, other = (cluster(points, 20, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.assignment, again.assignment)
    np.testing.assert_array_equal(first.centroids, again.centroids)
    assert (first.assignment != other.assignment).any()


def test_refuses_fewer_patches_than_clusters():
    with pytest.raises(InputError, match=r"num_clusters=6, num_patches=5"):
        cluster(random_points(5, 3), 6, seed=0)


def test_runs_in_one_thread(monkeypatch):
    seen = []

    class Watched(MiniBatchKMeans):
        def fit_predict(self, values):
            seen.extend(pool["num_threads"] for pool in threadpool_info())
            return super().fit_predict(values)

    monkeypatch.setattr(clustering, "MiniBatchKMeans", Watched)
    with threadpool_limits(2):
        cluster(random_points(50, 3), 3, seed=0)
    assert set(seen) == {1}
