"""Charts as SVG that take their style from the page.

matplotlib's SVG lacks the page's dark mode and fonts and the texts for the pointer and
for screen readers, and is mostly larger.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Sequence

import numpy as np
from markupsafe import Markup

_WIDTH, _HEIGHT = 330, 220  # as wide as a card on a phone
_LEFT, _TOP, _BOTTOM = 40, 12, 180
_CHARACTER = 7.6  # pixels, of the labels' font
_LABEL_GAP = 13
_INTERVALS = 5
_MAX_MARKERS = 30
_DASHES = ("none", "7 4", "2 3", "9 3 2 3")
_MARKERS = (
    "M-3.2 0a3.2 3.2 0 1 0 6.4 0a3.2 3.2 0 1 0-6.4 0z",
    "M-2.9-2.9h5.8v5.8h-5.8z",
    "M0-3.9L3.7 2.9H-3.7z",
    "M0-4.1L4.1 0L0 4.1L-4.1 0z",
)


@dataclasses.dataclass(frozen=True)
class Axis:
    """Maps values to pixels: the first tick to `start`, the last one to `end`."""

    ticks: tuple[float, ...]
    step: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Returns the pixel of a value."""
        first, last = self.ticks[0], self.ticks[-1]
        return self.start + (value - first) / (last - first) * (self.end - self.start)

    def label(self, value: float) -> str:
        """Returns the text of a tick, with as many decimals as the step needs."""
        return f"{value:,.{max(0, -self._power)}f}"

    def value_label(self, value: float) -> str:
        """Returns the text of a value, with one decimal more than the ticks."""
        return f"{value:,.{max(1, 1 - self._power)}f}"

    @property
    def _power(self):
        return math.floor(math.log10(self.step) + 1e-9)


def round_axis(
    values: Iterable[float], start: float, end: float, whole: bool = False
) -> Axis:
    """Returns an axis with about five intervals and round ticks around all values."""
    low, high = min(values), max(values)
    if low == high:
        low, high = low - (abs(low) / 2 or 0.5), high + (abs(high) / 2 or 0.5)
    step = _round_step((high - low) / _INTERVALS)
    if whole:
        step = max(1.0, step)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(index * step for index in range(first, last + 1))
    return Axis(ticks, step, start, end)


def _round_step(least):
    """Returns the smallest of 1, 2, 5, 10, 20, 50, ... that is at least `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= least * (1 - 1e-9))


def spread(positions: list[float], gap: float, low: float, high: float) -> list[float]:
    """Returns positions moved, in their order, to be `gap` apart if there is room."""
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


@dataclasses.dataclass(frozen=True)
class Series:
    """A line of a chart: points (x, y) by x; a y that is not finite leaves a gap."""

    label: str
    points: tuple[tuple[float, float], ...]
    style: int = 0  # of the line, its colour, dashes and markers

    @property
    def finite(self) -> tuple[tuple[float, float], ...]:
        """The points that can be drawn."""
        return tuple(point for point in self.points if math.isfinite(point[1]))


def line_chart(title: str, series: Sequence[Series]) -> Markup:
    """Returns an `<svg>` of lines by epoch with texts, empty if no point is finite."""
    lines = [each for each in series if each.finite]
    if not lines:
        return Markup("")
    ends = [each.finite[-1][1] for each in lines]
    xs, ys = zip(*(point for each in lines for point in each.finite), strict=True)
    y = round_axis(ys, _BOTTOM, _TOP)
    names = [
        f"{each.label} {y.value_label(end)}"
        for each, end in zip(lines, ends, strict=True)
    ]
    right = _WIDTH - 4 - _CHARACTER * max(map(len, names))
    left = max(_LEFT, 7 + _CHARACTER * max(len(y.label(tick)) for tick in y.ticks))
    x, x_ticks = _x_axis(xs, left, right)
    heights = spread([y(end) for end in ends], _LABEL_GAP, _TOP, _BOTTOM)
    return Markup(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}</svg>'
    ).format(
        _WIDTH,
        _HEIGHT,
        _description(title, lines, y),
        _frame(x, x_ticks, y, left, right),
        Markup("").join(
            _line(each, x, y) + _end(each, name, x, y, right, height)
            for each, name, height in zip(lines, names, heights, strict=True)
        ),
    )


def mask_histogram(histogram: np.ndarray, label: str) -> Markup:
    """Returns an `<svg>` of a histogram (2, bins): of all weights, and of kept ones."""
    bins = histogram.shape[1]
    heights = 30 * histogram / max(1, histogram.max())
    paths = (
        Markup('<path class="{}" d="{}"/>').format(name, _skyline(row))
        for name, row in zip(("all", "kept"), heights, strict=True)
    )
    return Markup(
        '<svg class="spark" viewBox="0 0 {} 30" preserveAspectRatio="none" '
        'role="img" aria-label="{}">{}</svg>'
    ).format(bins, label, Markup("").join(paths))


def _skyline(heights):
    steps = "".join(f"V{30 - height:.1f}h1" for height in heights)
    return f"M0 30{steps}V30z"


def _x_axis(xs, left, right):
    """Returns an axis that ends where the values do, and the round ticks on it."""
    low, high = min(xs), max(xs)
    axis = round_axis([low, high], left + 6, right - 6, whole=True)
    ticks = [tick for tick in axis.ticks if low <= tick <= high]
    if low == high:
        return axis, ticks
    return dataclasses.replace(axis, ticks=(low, high)), ticks


def _frame(x, x_ticks, y, left, right):
    rows = (
        Markup(
            '<line class="grid" x1="{0:.1f}" x2="{1:.1f}" y1="{2:.1f}" y2="{2:.1f}"/>'
            '<text class="tick" x="{3:.1f}" y="{4:.1f}" text-anchor="end">{5}</text>'
        ).format(left, right, y(tick), left - 7, y(tick) + 3.8, y.label(tick))
        for tick in y.ticks
    )
    columns = (
        Markup(
            '<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">{}</text>'
        ).format(x(tick), _BOTTOM + 17, x.label(tick))
        for tick in x_ticks
    )
    name = Markup(
        '<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">epoch</text>'
    ).format((left + right) / 2, _HEIGHT - 3)
    return Markup("").join([*rows, *columns, name])


def _line(series, x, y):
    known = itertools.groupby(series.points, lambda point: math.isfinite(point[1]))
    pieces = [list(points) for finite, points in known if finite]
    alone = {piece[0][0] for piece in pieces if len(piece) == 1}
    drawn = (
        "M" + "L".join(f"{x(at):.1f} {y(value):.1f}" for at, value in piece)
        for piece in pieces
    )
    path = Markup('<path class="line s{}" stroke-dasharray="{}" d="{}"/>').format(
        series.style % 8, _DASHES[series.style % 4], "".join(drawn)
    )
    shown = len(series.points) <= _MAX_MARKERS
    return path + Markup("").join(
        Markup(
            '<path class="dot s{}{}" transform="translate({:.1f} {:.1f})" d="{}">'
            "<title>{}</title></path>"
        ).format(
            series.style % 8,
            "" if shown or at in alone or at == series.finite[-1][0] else " hidden",
            x(at),
            y(value),
            _MARKERS[series.style % 4],
            f"{series.label}, {at:g}: {y.value_label(value)}",
        )
        for at, value in series.finite
    )


def _end(series, name, x, y, right, height):
    """Draws a line's name in the right margin, and a thin line to it."""
    at, value = series.finite[-1]
    lead = x(at) + 4, y(value), right + 1, height
    return Markup(
        '<path class="lead s{0}" d="M{1:.1f} {2:.1f}L{3:.1f} {4:.1f}"/>'
        '<text class="end s{0}" x="{5:.1f}" y="{6:.1f}">{7}</text>'
    ).format(series.style % 8, *lead, right + 4, height + 4, name)


def _description(title, lines, y):
    texts = []
    for each in lines:
        ends = (
            f"{y.value_label(value)} at epoch {at:g}"
            for at, value in dict([each.finite[0], each.finite[-1]]).items()
        )
        texts.append(f"{each.label} {', '.join(ends)}")
    return f"{title} against epoch: {'; '.join(texts)}."
