"""An experiment as a figure: the thesis's points beside our lines."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from tfsupermask import data
from tfsupermask.experiments.catalogue.experiment import THESIS_EPOCHS
from tfsupermask.experiments.telling.collecting import CellResult, Results
from tfsupermask.experiments.telling.statistics import Sample
from tfsupermask.train import pictures

GREY = "0.35"
# Okabe and Ito's colours: people with any colour vision can distinguish them. Grey is
# in place of their yellow, which is pale on white.
_COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
    "#767676",
)
_MARKERS = "osD^vPX*"
_DASHES = ("-", (0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2)), (0, (9, 2)))

_OURS = {"linewidth": 1.8, "markersize": 4.5}
_THESIS = {"linestyle": (0, (5, 3)), "linewidth": 0.9, "markerfacecolor": "white"}
_KEPT = {"linestyle": ":", "linewidth": 1.1}
_LAST_EPOCH = {"markerfacecolor": "white", "linestyle": "none"}
_EDGE = {"linestyle": (0, (3, 1.5)), "linewidth": 1.6}
_SHADE = Patch(label="± standard deviation", color=GREY, alpha=0.2, linewidth=0)
_PATCH_SIZE = (3, 3)
_INCHES_A_LETTER = {"title": 0.085, "legend": 0.07}
_AXIS_NAMES = {
    "test_top1": "top-1 test accuracy / %",
    "test_top5": "top-5 test accuracy / %",
    "train_loss": "training loss / nats",
}


class Style(NamedTuple):
    """How a row looks: colour, marker of its points, dashes where it has no markers."""

    colour: str
    marker: str
    dashes: Any


def styles(rows: Iterable[str]) -> dict[str, Style]:
    """Returns a style for each distinct row, in order."""
    looks = (itertools.cycle(each) for each in (_COLOURS, _MARKERS, _DASHES))
    return dict(zip(dict.fromkeys(rows), map(Style, *looks), strict=False))


def draw(results: Results) -> Figure:
    """Draws an experiment of any form but "table"; it may have gaps."""
    forms = {
        "rates": _draw_columns,
        "images": _draw_columns,
        "epochs": _draw_epochs,
        "patches": _draw_patches,
    }
    with matplotlib.rc_context({"font.size": 9}):
        return forms[results.experiment.form](results)


def _draw_columns(results):
    """Draws a line for each row, with the columns at their places on the axis."""
    by_rate = results.experiment.form == "rates"

    def place_of(cell):
        config = cell.cell.config
        return round(100 * config.prune, 7) if by_rate else config.limit_images

    looks = styles(cell.cell.row for cell in results.cells)
    figure, axes = _panels(len(results.panels))
    for axis, (title, panel) in zip(axes, results.panels.items(), strict=True):
        for row, style in looks.items():
            cells = [cell for cell in panel.values() if cell.cell.row == row]
            _draw_row(axis, [place_of(cell) for cell in cells], cells, style)
        axis.set_title(title)
        axis.grid(alpha=0.3)
        places = sorted({place_of(cell) for cell in panel.values()})
        (_name_rates if by_rate else _name_images)(axis, places)
    axes[0].set_ylabel(results.cells[0].measure.label)
    entries = [_row_entry(row, s.colour, marker=s.marker) for row, s in looks.items()]
    entries += _spread_entry(cell.removed for cell in results.cells)
    if any(cell.cell.published for cell in results.cells):
        entries.append(grey_entry("thesis", marker="o", **_THESIS))
    if any(cell.kept is not None and cell.kept.n for cell in results.cells):
        entries.append(grey_entry("ours, rate read as kept", **_KEPT))
    return _finished(figure, results, entries)


def _draw_row(
    axis: Axes, places: Sequence[float], cells: list[CellResult], style: Style
) -> None:
    removed = [cell.removed for cell in cells]
    _draw_shaded(axis, places, removed, color=style.colour, marker=style.marker)
    if any(cell.kept is not None and cell.kept.n for cell in cells):
        # A rate of 50 % is the same run in both readings.
        kept = [cell.removed if cell.kept is None else cell.kept for cell in cells]
        alone = np.flatnonzero(_alone(means := _means(kept)))
        mark = {"marker": style.marker, "markersize": 3, "markevery": list(alone)}
        axis.plot(places, means, color=style.colour, **_KEPT, **mark)
    published = [cell.cell.published for cell in cells]
    if any(published):
        axis.errorbar(
            places,
            [np.nan if value is None else value.mean for value in published],
            [0 if value is None else value.deviation or 0 for value in published],
            marker=style.marker,
            color=style.colour,
            markersize=7,
            capsize=2,
            **_THESIS,
        )


def _name_rates(axis, rates):
    axis.set_xlabel("weights removed / %")
    axis.set_xticks(rates)
    above = axis.secondary_xaxis("top", functions=(_other_rate, _other_rate))
    above.set_xlabel("kept / %")
    above.set_xticks(sorted(map(_other_rate, rates)))


def _name_images(axis, numbers):
    axis.set_xlabel("training images")
    axis.set_xscale("log")
    axis.set_xticks(numbers, [f"{number:,}" for number in numbers])
    axis.minorticks_off()


def _other_rate(rate):
    return 100 - rate


def _draw_epochs(results):
    looks = styles(cell.cell.row for cell in results.cells)
    schedule = results.epochs
    curves = results.experiment.curves
    panels = [(title, curve) for title in results.panels for curve in curves]
    figure, axes = _panels(len(panels))
    all_samples: list[Sample] = []
    for axis, (title, curve) in zip(axes, panels, strict=True):
        for cell in results.panels[title].values():
            style = looks[cell.cell.row]
            line = {"color": style.colour, "linestyle": style.dashes}
            epochs, samples = _samples_by_epoch(cell, curve)
            _draw_shaded(axis, epochs, samples, **line)
            all_samples += samples
            if cell.cell.measure == curve and cell.cell.published is not None:
                _draw_last_epoch(axis, cell, style, schedule)
        axis.set_title(title)
        axis.set_xlim(0, 1.1 * schedule)
        axis.set_xlabel("epoch")
        axis.set_ylabel(_AXIS_NAMES[curve])
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
    entries = [
        _row_entry(row, s.colour, linestyle=s.dashes) for row, s in looks.items()
    ]
    entries += _spread_entry(all_samples)
    if any(cell.cell.published for cell in results.cells):
        point = {"marker": "o", **_LAST_EPOCH}
        mark = point if schedule == THESIS_EPOCHS else _EDGE
        entries.append(grey_entry(f"thesis, after {THESIS_EPOCHS} epochs", **mark))
    return _finished(figure, results, entries)


def _samples_by_epoch(cell, curve):
    """Returns the epochs and a sample for each; accuracies are in percent."""
    scale = 1 if curve.endswith("loss") else 100
    values: dict[int, dict[int, float]] = {}
    for seed, outcome in cell.outcomes.items():
        for row in outcome.rows:
            if curve in row:
                values.setdefault(int(row["epoch"]), {})[seed] = scale * row[curve]
    epochs = sorted(values)
    return epochs, [Sample(values[epoch]) for epoch in epochs]


def _draw_last_epoch(axis, cell, style, schedule):
    """Draws the thesis's value at its epoch, or at the edge if ours stop earlier."""
    value, colour = cell.cell.published, style.colour
    if schedule == THESIS_EPOCHS:
        mark = {"marker": style.marker, "capsize": 2, **_LAST_EPOCH}
        error = value.deviation or 0
        axis.errorbar(THESIS_EPOCHS, value.mean, error, color=colour, **mark)
    else:
        edge, height = axis.get_yaxis_transform(), (value.mean, value.mean)
        axis.plot((0.93, 1.0), height, transform=edge, color=colour, **_EDGE)


def _draw_patches(results):
    images = data.load(results.dataset, results.scope.data_dir)
    figure = pictures.draw_boxes_and_patches(images, _PATCH_SIZE, seed=0)
    below = f"{_name(results)}\n{_caption(results)}".strip()
    figure.supxlabel(below, fontsize=9)
    return figure


def _panels(number):
    figure = Figure(figsize=(max(6.6, 3.8 * number), 4.6), layout="constrained")
    return figure, figure.subplots(1, number, squeeze=False)[0]


def _draw_shaded(
    axis: Axes, x: Sequence[float], samples: Sequence[Sample], color: str, **line: Any
) -> None:
    """Draws a line of means, with one standard deviation shaded on either side.

    A mean without another one beside it is a point, with a bar in place of the shade.
    """
    mean = _means(samples)
    spread = np.array([sample.deviation or 0.0 for sample in samples])
    axis.plot(x, mean, color=color, **_OURS, **line)
    axis.fill_between(
        x, mean - spread, mean + spread, color=color, alpha=0.18, linewidth=0
    )
    for place in np.flatnonzero(_alone(mean)):
        point = {"marker": line.get("marker", "o"), "markersize": _OURS["markersize"]}
        error = spread[place] or None
        axis.errorbar(x[place], mean[place], error, color=color, capsize=3, **point)


def _alone(means):
    """Returns which means have no neighbour that a line could go to."""
    known = np.pad(np.isfinite(means), 1)
    return known[1:-1] & ~known[:-2] & ~known[2:]


def _means(samples):
    return np.array([np.nan if s.mean is None else s.mean for s in samples])


def _spread_entry(samples):
    return [_SHADE] if any(s.deviation is not None for s in samples) else []


def _row_entry(row, colour, **line):
    return Line2D([], [], label=row, color=colour, **_OURS, **line)


def grey_entry(label: str, **line: Any) -> Line2D:
    """Returns a legend entry for a style of line that is the same in every row."""
    return Line2D([], [], label=label, color=GREY, **line)


def _finished(figure, results, entries):
    width = figure.get_figwidth()
    title = textwrap.fill(_name(results), int(width / _INCHES_A_LETTER["title"]))
    figure.suptitle(title, fontsize=11)
    for axis in figure.axes:
        heights = [np.asarray(line.get_ydata(), float) for line in axis.lines]
        if not any(np.isfinite(each).any() for each in heights):
            at = {"transform": axis.transAxes, "ha": "center", "color": GREY}
            axis.text(0.5, 0.5, "no run is done yet", **at)
    longest = max(len(line.get_label()) for line in entries)
    entry = _INCHES_A_LETTER["legend"] * (longest + 8)
    legend = figure.legend(
        handles=entries,
        loc="outside lower center",
        ncols=max(1, min(4, int(width / entry))),
        frameon=False,
        handlelength=2.6,
        title=_caption(results),
        title_fontsize=9,
    )
    legend.get_title().set_color(GREY)
    return figure


def _name(results):
    return f"{results.experiment.label}: {results.title}"


def _caption(results):
    return "; ".join(results.shortcomings)
