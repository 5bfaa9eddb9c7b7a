"""Powers of two that keep squares in single precision from running over or under."""

from __future__ import annotations

import math

import numpy as np

_SAFE = 40  # within 2⁻⁴⁰ and 2⁴⁰ squares and their sums are as exact as anywhere
LARGEST = 2.0**56  # squares of a thousand times as many as a block has do not run over


def exponent_of(size: float) -> int:
    """Returns e with size / 2ᵉ in [0.5, 1); 0 where values need no scaling."""
    _, exponent = math.frexp(size)
    return exponent if abs(exponent) > _SAFE else 0


def mean_square(values: np.ndarray) -> float:
    """Returns the mean of the squares of finite float32 numbers of any scale."""
    exponent = exponent_of(float(np.abs(values).max()))
    scaled = np.ldexp(values, -exponent) if exponent else values
    # NumPy adds up in the same order whatever the number of threads.
    return math.ldexp(float(np.square(scaled).mean(dtype=np.float64)), 2 * exponent)
