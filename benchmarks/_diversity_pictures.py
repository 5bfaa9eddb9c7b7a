"""The pictures of `benchmarks.diversity`."""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import (
    LogLocator,
    NullFormatter,
    PercentFormatter,
    StrMethodFormatter,
)

from tfsupermask.experiments.telling.figures import grey_entry
from tfsupermask.train.pictures import mosaic

# By initialisation, in order: grey for random ones, then Okabe and Ito's colours, warm
# for patches and cold for whitened patches.
_COLOURS = ("0.25", "0.6", "#D55E00", "#E69F00", "#0072B2", "#009E73")
_MARKERS = "sDo^vP"
_PANELS = {
    "cosine": "filters: mean |cosine| of two (0: unrelated, 1: copies)",
    "filter_rank": "filters: effective rank, in % of their number",
    "output_rank": "output: effective rank, in % of its channels",
    "output_scale": "output: root mean square",
}
_FIRST_FILTERS = 64
_SPREAD = 24  # filters, and channels of each
_CLIPPED = 99.5  # percentile of |value|: a few are far larger than the rest


def draw_measures(found, rescaled, about):
    """Draws four measures against the convolution, a line for each initialisation.

    `rescaled` maps names to those of the rescaled forms, which are drawn (dashed) only
    in the panel of scales, because nothing else differs.
    """
    figure = Figure(figsize=(11, 6.6), layout="constrained")
    axes = figure.subplots(2, 2, sharex=True).flat
    for axis, (key, title) in zip(axes, _PANELS.items(), strict=True):
        _draw_lines(axis, found, key, rescaled)
        axis.set_title(title, fontsize=10, loc="left")
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        _scale(axis, key)
    for axis in figure.axes[2:]:
        axis.set_xlabel("convolution")
        axis.xaxis.get_major_locator().set_params(integer=True)
    figure.suptitle(about, fontsize=10)
    entries, _ = figure.axes[-1].get_legend_handles_labels()
    entries.append(grey_entry("the same, then unit power", linestyle="--", lw=2.5))
    figure.legend(handles=entries, loc="outside lower center", ncols=4, frameon=False)
    return figure


def _draw_lines(axis, found, key, rescaled):
    names = [name for name in found if name not in rescaled.values()]
    looks = dict(zip(names, zip(_COLOURS, _MARKERS, strict=True), strict=True))
    for name in names:
        colour, marker = looks[name]
        _draw_line(axis, found[name], key, color=colour, marker=marker, label=name)
    if key != "output_scale":
        return
    for number, (before, name) in enumerate(rescaled.items()):
        # The dashes of coinciding lines alternate.
        dashes = (4 * number, (3, 4 * len(rescaled) + 1))
        line = {"color": looks[before][0], "linestyle": dashes, "linewidth": 2.5}
        _draw_line(axis, found[name], key, **line)


def _draw_line(axis, layers, key, **look):
    values = np.array([layer[key] for layer in layers])
    if key.endswith("rank"):
        values = 100 * values / [layer["num_filters"] for layer in layers]
    axis.plot(range(1, len(values) + 1), values, **look)


def _scale(axis, key):
    if key == "output_scale":
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.yaxis.set_minor_formatter(NullFormatter())
    elif key.endswith("rank"):
        axis.set_ylim(0, 104)
        axis.yaxis.set_major_formatter(PercentFormatter())
    else:
        axis.set_ylim(bottom=0)


def draw_filters(filters, about):
    """Draws the first convolution's filters above those of a deep one.

    `filters` has for each name the filters (filters, height, width, channels) and the
    figures of both convolutions.
    """
    figure = Figure(figsize=(11, 8), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.08)
    axes = figure.subplots(2, len(filters), squeeze=False)
    for column, (name, pairs) in zip(axes.T, filters.items(), strict=True):
        for axis, draw, (values, layer) in zip(
            column, (_colours, _slices), pairs, strict=True
        ):
            axis.imshow(mosaic(draw(values)), interpolation="nearest")
            axis.set_title(f"{name}\n{_figures(layer)}", fontsize=9)
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
    (_, first), (values, deep) = next(iter(filters.values()))
    rows, columns = len(_spread(len(values))), len(_spread(values.shape[-1]))
    small = {"fontsize": 9}
    axes[0, 0].set_ylabel(f"{first['layer']}\nfilters in colour, grey is 0", **small)
    axes[1, 0].set_ylabel(
        f"{deep['layer']}\n{rows} filters (rows), {columns} of their input channels\n"
        "(columns); red is positive, blue negative",
        **small,
    )
    figure.suptitle(about, fontsize=10)
    return figure


def _figures(layer):
    return (
        f"effective rank {layer['filter_rank']:.1f} of {layer['num_filters']}, "
        f"mean |cosine| {layer['cosine']:.2f}"
    )


def _colours(filters):
    """Returns filters with three channels as RGB, each with the full range."""
    filters = filters[:_FIRST_FILTERS]
    largest = np.abs(filters).max(axis=(1, 2, 3), keepdims=True)
    return 0.5 + 0.5 * filters / np.where(largest > 0, largest, 1)


def _slices(filters):
    """Returns some channels of some filters as RGB tiles."""
    rows, columns = (_spread(filters.shape[axis]) for axis in (0, -1))
    chosen = np.moveaxis(filters[rows][..., columns], -1, 1)
    limit = np.percentile(np.abs(chosen), _CLIPPED)
    tiles = chosen.reshape(-1, *filters.shape[1:3]) / (limit or 1)
    return matplotlib.colormaps["RdBu_r"](0.5 + 0.5 * tiles)[..., :3]


def _spread(count):
    return np.linspace(0, count - 1, min(_SPREAD, count)).round().astype(int)
