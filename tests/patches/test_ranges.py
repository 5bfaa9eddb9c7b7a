import math

import numpy as np
import pytest

from tfsupermask.patches.ranges import exponent_of


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
