import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsupermask.patches import Clusters, nearest_patches, scale_patterns, survey


def not_flat(values):
    return survey([values]).not_flat


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        # Distances of few values, so that many are equal.
        st.tuples(st.integers(0, 5), st.integers(0, 3), st.booleans()),
        min_size=1,
        max_size=60,
    )
)
def test_nearest_patch_is_the_first_of_the_smallest_distance(patches):
    assignment, distance, usable = map(np.array, zip(*patches, strict=True))
    clusters = Clusters(assignment, distance.astype(np.float32), np.zeros((6, 2)))
    nearest = nearest_patches(clusters, usable)
    for c in range(6):
        members = [i for i in range(len(patches)) if assignment[i] == c and usable[i]]
        expected = min(members, key=lambda i: distance[i]) if members else -1
        assert nearest[c] == expected
    assert nearest.dtype == np.int64


def eq_4_2(pattern, fan_in, fan_out):
    values = [float(value) for value in pattern.ravel()]
    mean = math.fsum(values) / len(values)
    deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / len(values))
    scaled = [
        (v - mean) / deviation * math.sqrt(2) / math.sqrt(fan_in + fan_out)
        for v in values
    ]
    return np.array(scaled).reshape(pattern.shape)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("count", "height", "width", "channels", "offset", "scale"),
    [
        (1, 1, 2, 1, 0, 1),
        (4, 3, 3, 3, 0, 1),
        (7, 2, 5, 4, 250, 3),
        (5, 3, 3, 64, -1, 1e-6),
        (3, 5, 4, 2, 0, 1e4),
    ],
)
def test_scaling_is_eq_4_2(count, height, width, channels, offset, scale, dtype):
    rng = np.random.default_rng(count)
    patterns = rng.normal(offset, scale, (count, height, width, channels))
    patterns = patterns.astype(dtype)
    fan_in, fan_out = height * width * channels, height * width * count
    kernel = scale_patterns(patterns, fan_in, fan_out)
    assert kernel.shape == (height, width, channels, count)
    assert kernel.dtype == np.float32
    for filter_index, pattern in enumerate(patterns):
        expected = eq_4_2(pattern, fan_in, fan_out)
        np.testing.assert_allclose(kernel[..., filter_index], expected, atol=1e-6)


def patch_table(*rows):
    return np.array(rows, np.float32).reshape(len(rows), 2, 2, 1)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 1]], [False, False, True]),
        ([[0.1] * 4, [0.1, 0.1, 0.1, 0.2]], [False, True]),
        ([[0, 0, 0, 1e-3], [0, 0, 0, 1]], [True, True]),
        ([[0, 0, 0, 1e-6], [0, 0, 0, 1]], [False, True]),
        ([[0, 0, 0, 1e-6], [0, 0, 0, 1e-7]], [True, True]),
        ([[0, 0, 0, 0], [255, 255, 255, 255]], [False, False]),
    ],
)
def test_flat_is_relative_to_the_largest_value(rows, expected):
    assert not_flat(patch_table(*rows)).tolist() == expected


@pytest.mark.parametrize("value", [0, -1.6, 0.1, 1 / 3, 127.3, 1e4])
def test_rounding_makes_no_constant_patch_vary(value):
    values = np.full((3, 3, 3, 256), value, np.float32)
    assert not not_flat(values).any()
    values[1, ..., 0] = value - 100
    assert not_flat(values).tolist() == [False, True, False]


@pytest.mark.parametrize("signs_only", [False, True])
def test_variance_is_that_of_the_random_initialisation(signs_only):
    patterns = np.random.default_rng(0).random((8, 3, 3, 5)) * 9 + 4
    filters, variance = scale_patterns(patterns, 45, 72, signs_only=signs_only), 2 / 117
    filters = filters.reshape(-1, 8).astype(np.float64)
    np.testing.assert_allclose((filters**2).mean(axis=0), variance, rtol=1e-5)
    centred = patterns.reshape(8, -1).T - patterns.reshape(8, -1).mean(axis=1)
    np.testing.assert_array_equal(np.sign(filters), np.sign(centred))
    if signs_only:
        np.testing.assert_allclose(np.abs(filters), math.sqrt(variance), rtol=1e-6)
    else:
        expected = centred / centred.std(axis=0) * math.sqrt(variance)
        np.testing.assert_allclose(filters, expected, rtol=1e-4, atol=1e-6)


def test_the_sign_of_nothing_is_positive():
    pattern = np.array([-1.0, 0.0, 0.0, 1.0]).reshape(1, 2, 2, 1)
    filters = scale_patterns(pattern, 1, 1, signs_only=True)
    np.testing.assert_array_equal(filters.ravel(), [-1, 1, 1, 1])
