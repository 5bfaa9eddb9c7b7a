import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsupermask._core import nearest_centroids


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def whole_numbers(seed, *shape):
    # Few and small, so that float32 is exact and many distances are equal.
    return np.random.default_rng(seed).integers(-2, 3, shape).astype(np.float32)


def squared_distances(points, centroids):
    differences = points[:, None].astype(np.float64) - centroids[None]
    return (differences**2).sum(axis=2)


@settings(max_examples=150, deadline=None)
@given(
    num_points=st.integers(0, 70),
    num_centroids=st.integers(1, 30),
    length=st.integers(1, 40),
    seed=st.integers(0, 2**32 - 1),
)
def test_agrees_with_the_oracle_and_takes_the_first_of_equals(
    num_points, num_centroids, length, seed
):
    points = whole_numbers(seed, num_points, length)
    centroids = whole_numbers(seed + 1, num_centroids, length)
    nearest, squared = nearest_centroids(points, centroids)
    assert (nearest.dtype, squared.dtype) == (np.int32, np.float32)
    expected = squared_distances(points, centroids)
    np.testing.assert_array_equal(nearest, expected.argmin(axis=1))
    np.testing.assert_array_equal(squared, expected.min(axis=1))


@pytest.mark.parametrize(
    ("num_points", "num_centroids", "length"),
    [(100, 1, 27), (100, 100, 27), (3, 1000, 5), (1500, 700, 27), (40, 37, 200)],
)
def test_is_as_exact_as_float32_can_be(num_points, num_centroids, length):
    points = normal(0, num_points, length)
    centroids = normal(1, num_centroids, length)
    nearest, squared = nearest_centroids(points, centroids)
    expected = squared_distances(points, centroids)
    np.testing.assert_array_equal(nearest, expected.argmin(axis=1))
    np.testing.assert_allclose(squared, expected.min(axis=1), rtol=1e-5)


def test_far_from_zero_distances_stay_exact():
    centroids = whole_numbers(0, 50, 9) + 2**20
    points = whole_numbers(1, 300, 9) + 2**20
    _, squared = nearest_centroids(points, centroids)
    expected = squared_distances(points, centroids).min(axis=1)
    np.testing.assert_array_equal(squared, expected)


@pytest.mark.parametrize("num_threads", [0, 2, 3, 8])
def test_threads_do_not_change_a_bit(num_threads):
    points, centroids = normal(0, 3001, 27), normal(1, 2003, 27)
    single = nearest_centroids(points, centroids, num_threads=1)
    several = nearest_centroids(points, centroids, num_threads=num_threads)
    for expected, result in zip(single, several, strict=True):
        np.testing.assert_array_equal(result, expected)


def test_a_point_has_the_same_result_wherever_it_stands():
    points, centroids = normal(0, 600, 13), normal(1, 41, 13)
    whole = nearest_centroids(points, centroids)
    for i in (0, 1, 15, 16, 17, 511, 512, 599):
        alone = nearest_centroids(points[i : i + 1], centroids)
        assert (alone[0][0], alone[1][0]) == (whole[0][i], whole[1][i])


def test_arrays_need_not_be_contiguous():
    points, centroids = normal(0, 27, 50), normal(1, 27, 40)
    expected = nearest_centroids(points.T.copy(), centroids.T[::2].copy())
    result = nearest_centroids(points.T, centroids.T[::2])
    np.testing.assert_array_equal(result, expected)


def test_values_that_are_not_finite_are_nearest_to_nothing():
    points = np.array([[1, 1], [np.nan, 1], [np.inf, 1], [3e38, 1]], np.float32)
    centroids = np.array([[np.nan, 0], [-3e38, 0], [1, 0]], np.float32)
    nearest, squared = nearest_centroids(points, centroids)
    assert nearest.tolist() == [2, 0, 0, 0]
    assert squared.tolist() == [1, np.inf, np.inf, np.inf]
