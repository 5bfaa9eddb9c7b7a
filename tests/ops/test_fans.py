import pytest
from keras.src.initializers import random_initializers

from tfsupermask.ops import compute_fans

# (kernel shape, fan in, fan out)
TABLE = [
    ((256, 10), 256, 10),
    ((7,), 7, 7),
    ((1, 1), 1, 1),
    ((3, 3, 3, 64), 27, 576),
    ((3, 3, 64, 128), 576, 1152),
    ((1, 1, 64, 128), 64, 128),
    ((5, 3, 2, 4), 30, 60),
    ((7, 3, 8), 21, 56),
    ((2, 3, 4, 5, 6), 120, 144),
]


@pytest.mark.parametrize(("shape", "fan_in", "fan_out"), TABLE)
def test_fans_are_those_of_keras(shape, fan_in, fan_out):
    assert compute_fans(shape) == (fan_in, fan_out)
    assert compute_fans(shape) == random_initializers.compute_fans(shape)
