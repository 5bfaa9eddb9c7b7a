"""How a row of an experiment looks in every figure: colour, marker, dashes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from tfsupermask.experiments.statistics import Sample

GREY = "0.35"
# Okabe and Ito's colours, which people of any colour vision tell apart.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = "osD^vPX"
_DASHES = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2)), (0, (9, 2)))


@dataclasses.dataclass(frozen=True)
class Style:
    """The look of a row.

    Attributes:
        colour: Of all that is the row's.
        marker: Of its points.
        dashes: Of its line where that has no points.

    Example:
        >>> styles(["Random", "PatchesInit"])["Random"].marker
        'o'
    """

    colour: str
    marker: str
    dashes: Any


def styles(rows: Iterable[str]) -> dict[str, Style]:
    """Returns a style for each distinct row, in order.

    Example:
        >>> list(styles(["Random", "PatchesInit", "Random"]))
        ['Random', 'PatchesInit']
    """
    return {
        row: Style(
            _COLOURS[number % len(_COLOURS)],
            _MARKERS[number % len(_MARKERS)],
            _DASHES[number % len(_DASHES)],
        )
        for number, row in enumerate(dict.fromkeys(rows))
    }


def draw_shaded(
    axis: Axes,
    places: Sequence[float],
    samples: Sequence[Sample],
    color: str,
    **line: Any,
) -> None:
    """Draws a line of means, a standard deviation to either side of it shaded.

    Args:
        axis: Where to.
        places: Along the x-axis.
        samples: One for each place; empty ones leave a gap.
        color: Of line and shade.
        **line: How the line looks otherwise.

    Example:
        >>> from matplotlib.figure import Figure
        >>> axis = Figure().subplots()
        >>> draw_shaded(axis, [1, 2], [Sample({0: 5.0}), Sample({})], color="black")
        >>> axis.lines[0].get_ydata()
        array([ 5., nan])
    """
    mean = means(samples)
    spread = np.array([sample.deviation or 0.0 for sample in samples])
    axis.plot(places, mean, color=color, linewidth=1.8, markersize=4.5, **line)
    axis.fill_between(
        places, mean - spread, mean + spread, color=color, alpha=0.18, linewidth=0
    )


def means(samples: Iterable[Sample]) -> np.ndarray:
    """Returns the mean of each sample, NaN for those that are empty.

    Example:
        >>> means([Sample({0: 5.0, 1: 6.0}), Sample({})])
        array([5.5, nan])
    """
    return np.array([np.nan if s.mean is None else s.mean for s in samples])


def row_entry(row: str, colour: str, **line: Any) -> Line2D:
    """Returns the legend's entry of a row.

    Example:
        >>> row_entry("Random", "black", marker="o").get_label()
        'Random'
    """
    return Line2D(
        [], [], label=row, color=colour, linewidth=1.8, markersize=4.5, **line
    )


def kind_entry(label: str, **line: Any) -> Line2D:
    """Returns the legend's entry of a kind of line that every row may have.

    Example:
        >>> kind_entry("thesis", marker="o").get_label()
        'thesis'
    """
    return Line2D([], [], label=label, color=GREY, **line)


def shade_entry() -> Patch:
    """Returns the legend's entry of the shades.

    Example:
        >>> shade_entry().get_label()
        '± standard deviation'
    """
    return Patch(label="± standard deviation", color=GREY, alpha=0.2, linewidth=0)
