"""Axes of charts: round numbers, and where values fall between them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable


@dataclasses.dataclass(frozen=True)
class Axis:
    """Maps values to pixels.

    Attributes:
        ticks: Round numbers in ascending order, at least two.
        step: Distance between two ticks.
        start: Pixel of the first tick.
        end: Pixel of the last one.
    """

    ticks: tuple[float, ...]
    step: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Returns the pixel of a value."""
        first, last = self.ticks[0], self.ticks[-1]
        return self.start + (value - first) / (last - first) * (self.end - self.start)

    def label(self, value: float) -> str:
        """Returns a tick's text, with the decimals that its step needs.

        Example:
            >>> axis = round_axis([0.0, 0.9], 0, 100)
            >>> [axis.label(tick) for tick in axis.ticks]
            ['0.0', '0.2', '0.4', '0.6', '0.8', '1.0']
        """
        return f"{value:,.{max(0, -math.floor(math.log10(self.step) + 1e-9))}f}"


def round_axis(
    values: Iterable[float],
    start: float,
    end: float,
    *,
    count: int = 5,
    whole: bool = False,
) -> Axis:
    """Returns an axis whose ticks are round numbers and enclose all values.

    Args:
        values: Finite numbers, at least one.
        start: Pixel of the first tick.
        end: Pixel of the last tick.
        count: About the number of intervals, at least 1.
        whole: Whether only whole numbers have ticks.

    Example:
        >>> round_axis([1, 3], 0, 100, whole=True).ticks
        (1.0, 2.0, 3.0)
    """
    low, high = min(values), max(values)
    if low == high:
        low, high = low - (abs(low) / 2 or 0.5), high + (abs(high) / 2 or 0.5)
    step = _round_step((high - low) / count)
    if whole:
        step = max(1.0, step)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(index * step for index in range(first, last + 1))
    return Axis(ticks, step, start, end)


def _round_step(least):
    """Returns the smallest of 1, 2, 5, 10, ... times a power of ten from `least` up."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= least * (1 - 1e-9))


def spread(positions: list[float], gap: float, low: float, high: float) -> list[float]:
    """Returns positions moved as little as it takes to be `gap` apart in [low, high].

    The order is kept; the gap shrinks if there is no room for it.

    Example:
        >>> spread([50, 49, 90], 10, 0, 100)
        [59.0, 49.0, 90.0]
    """
    gap = min(gap, (high - low) / max(1, len(positions) - 1))
    order = sorted(range(len(positions)), key=positions.__getitem__)
    moved = [0.0] * len(positions)
    at = low - gap
    for index in order:
        at = moved[index] = max(float(positions[index]), at + gap)
    at = high + gap
    for index in reversed(order):
        at = moved[index] = min(moved[index], at - gap)
    return moved
