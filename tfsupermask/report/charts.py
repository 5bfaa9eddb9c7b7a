"""Charts as SVG, styled by the page they stand on."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from tfsupermask.report.axis import round_axis, spread

_WIDTH, _HEIGHT = 380, 236
_LEFT, _TOP, _BOTTOM = 46, 12, 200
_CHARACTER = 7.3  # pixels, of the labels' font
_LABEL_GAP = 13
_MAX_MARKERS = 30
_DASHES = ("none", "7 4", "2 3", "9 3 2 3")
_MARKERS = (
    "M-3.2 0a3.2 3.2 0 1 0 6.4 0a3.2 3.2 0 1 0-6.4 0z",
    "M-2.9-2.9h5.8v5.8h-5.8z",
    "M0-3.9L3.7 2.9H-3.7z",
    "M0-4.1L4.1 0L0 4.1L-4.1 0z",
)


@dataclasses.dataclass(frozen=True)
class Series:
    """A line of a chart.

    Attributes:
        label: Its name.
        points: (x, y) in ascending x; those with a y that is not finite are gaps.
    """

    label: str
    points: tuple[tuple[float, float], ...]

    @property
    def finite(self) -> tuple[tuple[float, float], ...]:
        """The points that can be drawn."""
        return tuple(point for point in self.points if math.isfinite(point[1]))


def line_chart(title: str, series: Sequence[Series], x_label: str = "epoch") -> Markup:
    """Draws lines over common axes, each named in the right margin.

    Lines differ in colour, dashes and markers. Every point tells its values to the
    pointer, and the whole chart to screen readers.

    Args:
        title: What is drawn, with its unit; for screen readers.
        series: The lines; any of no finite points are left out.
        x_label: What x counts.

    Returns:
        An `<svg>`; empty if there is nothing to draw.

    Example:
        >>> chart = line_chart("loss", [Series("train", ((1, 2.0), (2, 1.5)))])
        >>> chart.count('<path class="line'), chart.count("<title>")
        (1, 2)
    """
    lines = [(index, each) for index, each in enumerate(series) if each.finite]
    if not lines:
        return Markup("")
    ends = [each.finite[-1][1] for _, each in lines]
    xs, ys = zip(*(point for _, each in lines for point in each.finite), strict=True)
    y = round_axis(ys, _BOTTOM, _TOP)
    labels = [
        f"{each.label} {_value(end, y.step)}"
        for (_, each), end in zip(lines, ends, strict=True)
    ]
    right = _WIDTH - 4 - _CHARACTER * max(map(len, labels))
    x, x_ticks = _x_axis(xs, right)
    heights = spread([y(end) for end in ends], _LABEL_GAP, _TOP, _BOTTOM)
    return Markup(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}</svg>'
    ).format(
        _WIDTH,
        _HEIGHT,
        _description(title, [each for _, each in lines], x_label, y.step),
        _frame(x, x_ticks, y, right, x_label),
        Markup("").join(
            _line(style, each, x, y) + _end(style, label, each, x, y, right, height)
            for (style, each), label, height in zip(lines, labels, heights, strict=True)
        ),
    )


def score_histogram(histogram: np.ndarray, label: str) -> Markup:
    """Draws how the scores of all weights spread, those of kept weights filled in.

    Args:
        histogram: (2, bins) numbers of all weights and of kept weights.
        label: What is drawn; for screen readers.

    Example:
        >>> score_histogram(np.array([[1, 4], [0, 4]]), "scores").count("<path")
        2
    """
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


def _x_axis(xs, right):
    """Returns the axis, and the round numbers on it; it ends where the values do."""
    low, high = min(xs), max(xs)
    axis = round_axis([low, high], _LEFT + 6, right - 6, whole=True)
    ticks = [tick for tick in axis.ticks if low <= tick <= high]
    if low == high:
        return axis, ticks
    return dataclasses.replace(axis, ticks=(low, high)), ticks


def _frame(x, x_ticks, y, right, x_label):
    rows = (
        Markup(
            '<line class="grid" x1="{0}" x2="{1:.1f}" y1="{2:.1f}" y2="{2:.1f}"/>'
            '<text class="tick" x="{3}" y="{4:.1f}" text-anchor="end">{5}</text>'
        ).format(_LEFT, right, y(tick), _LEFT - 7, y(tick) + 3.8, y.label(tick))
        for tick in y.ticks
    )
    columns = (
        Markup(
            '<text class="tick" x="{:.1f}" y="{}" text-anchor="middle">{}</text>'
        ).format(x(tick), _BOTTOM + 17, x.label(tick))
        for tick in x_ticks
    )
    name = Markup(
        '<text class="tick name" x="{:.1f}" y="{}" text-anchor="middle">{}</text>'
    ).format((_LEFT + right) / 2, _HEIGHT - 3, x_label)
    return Markup("").join([*rows, *columns, name])


def _line(style, series, x, y):
    pieces, broken = [], True
    for at, value in series.points:
        if math.isfinite(value):
            pieces.append(f"{'ML'[not broken]}{x(at):.1f} {y(value):.1f}")
        broken = not math.isfinite(value)
    path = Markup('<path class="line s{}" stroke-dasharray="{}" d="{}"/>').format(
        style % 8, _DASHES[style % 4], "".join(pieces)
    )
    shown = len(series.points) <= _MAX_MARKERS
    return path + Markup("").join(
        Markup(
            '<path class="dot s{}{}" transform="translate({:.1f} {:.1f})" d="{}">'
            "<title>{}</title></path>"
        ).format(
            style % 8,
            "" if shown or (at, value) == series.finite[-1] else " hidden",
            x(at),
            y(value),
            _MARKERS[style % 4],
            f"{series.label}, {at:g}: {_value(value, y.step)}",
        )
        for at, value in series.finite
    )


def _end(style, label, series, x, y, right, height):
    """Names a line in the right margin, with a thin lead from where the line ends."""
    at, value = series.finite[-1]
    return Markup(
        '<path class="lead s{0}" d="M{1:.1f} {2:.1f}L{3:.1f} {4:.1f}"/>'
        '<text class="end s{0}" x="{5:.1f}" y="{6:.1f}">{7}</text>'
    ).format(
        style % 8, x(at) + 4, y(value), right + 1, height, right + 4, height + 4, label
    )


def _value(value, step):
    """Returns a value with one decimal more than the ticks have, two at least of 0."""
    decimals = max(1, 1 - math.floor(math.log10(step) + 1e-9))
    return f"{value:,.{decimals}f}"


def _description(title, series, x_label, step):
    told = "; ".join(
        f"{each.label} {_value(each.finite[0][1], step)} at {x_label} "
        f"{each.finite[0][0]:g}, {_value(each.finite[-1][1], step)} at {x_label} "
        f"{each.finite[-1][0]:g}"
        for each in series
    )
    return f"{title} against {x_label}: {told}."
