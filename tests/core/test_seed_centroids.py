import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsupermask._core import seed_centroids


def whole_numbers(seed, *shape):
    # Small, so that float32 sums them exactly in whatever order.
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(np.float32)


def oracle(points, first, draws):
    squared = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    seeds, closest = [first], squared[first]
    for fractions in draws:
        sums = np.cumsum(closest)
        candidates = np.searchsorted(sums, fractions * sums[-1])
        left = [np.minimum(closest, squared[c]).sum() for c in candidates]
        seeds.append(candidates[np.argmin(left)])
        closest = np.minimum(closest, squared[seeds[-1]])
    return seeds


def case(num_points, length, num_seeds, num_trials, seed=0):
    draws = np.random.default_rng(seed).random((num_seeds - 1, num_trials))
    return whole_numbers(seed, num_points, length), num_points // 2, draws


@settings(max_examples=150, deadline=None)
@given(
    num_points=st.integers(1, 600),
    length=st.integers(1, 40),
    num_seeds=st.integers(1, 12),
    num_trials=st.integers(1, 9),
    seed=st.integers(0, 2**32 - 1),
)
def test_agrees_with_the_oracle(num_points, length, num_seeds, num_trials, seed):
    arguments = case(num_points, length, num_seeds, num_trials, seed)
    seeds = seed_centroids(*arguments)
    assert seeds.dtype == np.int64
    np.testing.assert_array_equal(seeds, oracle(*arguments))


@pytest.mark.parametrize("num_threads", [0, 2, 3, 8])
def test_threads_do_not_change_a_seed(num_threads):
    points = np.random.default_rng(0).normal(size=(20_001, 27)).astype(np.float32)
    draws = np.random.default_rng(1).random((40, 7))
    single = seed_centroids(points, 5, draws, num_threads=1)
    several = seed_centroids(points, 5, draws, num_threads=num_threads)
    np.testing.assert_array_equal(several, single)
    assert len(np.unique(single)) == 41


def test_no_point_is_drawn_from_beyond_the_last():
    points = np.ones((5, 3), np.float32)
    points[4] = 9
    draws = np.full((3, 2), np.nextafter(1, 0))
    assert seed_centroids(points, 0, draws).tolist() == [0, 4, 0, 0]


def test_rounded_sums_never_lead_beyond_the_last_point():
    points = np.random.default_rng(0).random((200, 100, 5), np.float32)
    draws = np.full((1, 1), np.nextafter(1, 0))
    seeds = [seed_centroids(rows, 0, draws)[1] for rows in points]
    assert set(seeds) <= {98, 99}


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
def test_values_without_a_finite_distance_do_no_harm(value):
    points = whole_numbers(0, 50, 3)
    points[7] = value
    points[9] = -value
    seeds = seed_centroids(points, 0, np.random.default_rng(0).random((9, 3)))
    assert seeds.min() >= 0
    assert seeds.max() < 50
