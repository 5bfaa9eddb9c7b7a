import math

import numpy as np
import pytest

from tfsupermask.patches.ranges import exponent_of, mean_square


@pytest.mark.parametrize(
    ("size", "exponent"),
    [
        (0.0, 0),
        (1.0, 0),
        (2.0**-40, 0),
        (2.0**39, 0),
        (2.0**40, 41),
        (2.0**-42, -41),
        (1e30, 100),
        (1e-30, -99),
        (1.5 * 2.0**-140, -139),
        (3e38, 128),
        (math.inf, 0),
        (math.nan, 0),
    ],
)
def test_values_out_of_range_are_scaled_to_about_one(size, exponent):
    assert exponent_of(size) == exponent
    if exponent:
        assert 0.5 <= np.ldexp(np.float32(size), -exponent) < 1


@pytest.mark.parametrize("scale", [1e-35, 1e-30, 1.0, 1e19, 1e30, 1e38])
def test_mean_square(scale):
    values = np.random.default_rng(0).uniform(-2, 2, (50, 7)) * scale
    values = values.astype(np.float32)
    expected = np.square(values.astype(np.float64)).mean()
    assert mean_square(values) == pytest.approx(expected, rel=1e-6)
    assert mean_square(0 * values) == 0
