"""Pictures of a run: patches in images, first filters, and training curves."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from tfsupermask import _core, patches
from tfsupermask._files import make_folder, write_atomically
from tfsupermask.data import Dataset, Split
from tfsupermask.init.convolutions import convolutions_in
from tfsupermask.ops import derive_seed

_NUM_IMAGES = 6
_MAX_FILTERS = 64
_FONT_SIZE = 11  # in figures 6.6 inches wide: 12 pixels where reports show 560
_COLOURS = {"train": "tab:blue", "validation": "tab:green", "test": "tab:orange"}
_DASHES = {"top1": "-", "top5": ":"}


def draw_all(
    folder: Path,
    model: keras.Model,
    dataset: Dataset,
    rows: list[dict[str, float]],
    init_report: dict[str, Any] | None,
    seed: int,
) -> None:
    """Draws all pictures of a run into a folder, in place of older ones."""
    make_folder(folder)
    figures = {"training_curves": draw_curves(rows)} if rows else {}
    convolutions = convolutions_in(model)
    report = init_report["layers"][0] if init_report else None
    if report:
        first = next(x for x, name in convolutions.items() if name == report["layer"])
        figures["boxes_and_patches"] = draw_boxes_and_patches(
            dataset, first.kernel_size, seed
        )
    else:
        first = next(filter(_is_drawn, convolutions), None)
    if _is_drawn(first):
        figures["first_layer"] = draw_first_layer(first, dataset, report)
    with matplotlib.rc_context({"savefig.dpi": 120}):
        for name, figure in figures.items():
            draw = functools.partial(figure.savefig, bbox_inches="tight")
            write_atomically(folder / f"{name}.png", draw)


def _is_drawn(layer):
    return isinstance(layer, keras.layers.Conv2D)


def draw_boxes_and_patches(
    dataset: Dataset, patch_size: tuple[int, int], seed: int
) -> Figure:
    """Draws the boxes of selective search and patches from them, as Figure 4.2."""
    source = dataset.patterns_from
    order, boxes, places = boxes_and_patches(source, patch_size, seed, _NUM_IMAGES)
    images = source.images[order]
    figure = Figure(figsize=(6.6, 2.9), layout="constrained")
    axes = figure.subplots(2, len(images), squeeze=False)
    for column, (top, bottom) in enumerate(axes.T):
        for axis in (top, bottom):
            axis.imshow(images[column])
            axis.set_axis_off()
        if dataset.unlabelled is None:
            name = dataset.class_names[source.labels[order[column]]]
            title = name if len(name) < 13 else f"{name[:11]}…"
            top.set_title(title, fontsize=_FONT_SIZE, parse_math=False)  # $ is a $
        for box in boxes[column]:
            outline(top, box, "tab:red", 0.8)
        for place in places[column]:
            outline(bottom, (*place, *patch_size), "tab:cyan", 0.6)
    figure.suptitle(
        "top: boxes that may hold an object (at most half of the image)\n"
        "bottom: patches sampled from them",
        fontsize=_FONT_SIZE,
    )
    return figure


def boxes_and_patches(
    split: Split, patch_size: tuple[int, int], seed: int, number: int, first: int = 0
) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """Returns the indices of images, their boxes, and the places of their patches.

    They are `number` images in the order in which PatchesInit takes them, from the
    place `first` on.
    """
    order = patches.class_balanced_order(split.labels, derive_seed(seed, "images"))
    order = order[first : first + number]
    images = split.images[order]
    boxes = patches.propose_filtered_boxes(images, *patch_size)
    window = patches.Window(patch_size)
    positions, offsets = patches.box_positions(boxes, *images.shape[1:3], window)
    drawn = patches.SAMPLES_PER_IMAGE, derive_seed(seed, "patches", 1)
    chosen, image = _core.sample_positions(offsets, *drawn, first_image=first)
    places = [positions[chosen[image == each]] for each in range(len(order))]
    return order, boxes, places


def draw_first_layer(
    layer: keras.layers.Conv2D, dataset: Dataset, report: dict[str, Any] | None
) -> Figure:
    """Draws the first convolution's filters beside the patterns they come from.

    `report` is what PatchesInit did to this layer. Filters of more or fewer channels
    than three show the mean over them.
    """
    kernel = coloured(np.moveaxis(layer.kernel.numpy(), -1, 0)[:_MAX_FILTERS])
    low = kernel.min(axis=(1, 2, 3), keepdims=True)
    span = kernel.max(axis=(1, 2, 3), keepdims=True) - low
    panels = {
        f"filters of {layer.name},\neach stretched to full range": (kernel - low)
        / np.where(span > 0, span, 1)
    }
    if report is not None:
        height, width = layer.kernel_size
        padded = ((0, 0), (height, height), (width, width), (0, 0))
        found_in = dataset.patterns_from.images[report["image"][:_MAX_FILTERS]]
        images = np.pad(found_in, padded)
        crops = [
            image[row + height : row + 2 * height, left + width : left + 2 * width]
            for image, row, left in zip(
                images, report["row"], report["column"], strict=False
            )
        ]
        # Not where the layer sees something else than the images, such as larger ones.
        if len({crop.shape for crop in crops}) == 1:
            panels = {"patterns,\nas found in the images": np.stack(crops), **panels}
    figure = Figure(figsize=(3.3 * len(panels), 3.3))
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (title, tiles) in zip(axes, panels.items(), strict=True):
        axis.imshow(mosaic(tiles))
        axis.set_title(title, fontsize=_FONT_SIZE, parse_math=False)
        axis.set_axis_off()
    return figure


def draw_curves(rows: list[dict[str, float]]) -> Figure:
    """Draws loss, accuracy and mask flips: colours are splits, dots are top-5."""
    epochs = [row["epoch"] for row in rows]
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    loss, accuracy, flips = figure.subplots(1, 3)
    for split in (split for split in _COLOURS if f"{split}_loss" in rows[0]):
        look = {"color": _COLOURS[split], "marker": "."}
        loss.plot(epochs, [r[f"{split}_loss"] for r in rows], label=split, **look)
        for top, dashes in _DASHES.items():
            values = [100 * r[f"{split}_{top}"] for r in rows]
            accuracy.plot(epochs, values, linestyle=dashes, **look)
    flips.plot(epochs, [100 * r["mask_flips"] for r in rows], "k.-")
    for axis, title in (
        (loss, "cross-entropy / nats"),
        (accuracy, "accuracy / %"),
        (flips, "mask bits flipped in the epoch / %"),
    ):
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
    tops = (
        Line2D([], [], color="k", linestyle=dashes, label=top.replace("top", "top-"))
        for top, dashes in _DASHES.items()
    )
    entries = [*loss.lines, *tops]
    figure.legend(handles=entries, loc="outside lower center", ncols=4, frameon=False)
    return figure


def outline(
    axis: Axes, box: Sequence[int], colour: str, line_width: float = 1.0
) -> None:
    """Draws the edge of a box of pixels: top, left, height and width."""
    top, left, height, width = box
    corner = (left - 0.5, top - 0.5)
    axis.add_patch(
        Rectangle(corner, width, height, fill=False, ec=colour, lw=line_width)
    )


def coloured(tiles: np.ndarray) -> np.ndarray:
    """Returns tiles (…, channels) with three channels, or three times their mean."""
    if tiles.shape[-1] == 3:
        return tiles
    return np.repeat(tiles.mean(axis=-1, keepdims=True), 3, axis=-1)


def mosaic(
    tiles: np.ndarray, line: int = 1, border: int = 0, colour: float | None = None
) -> np.ndarray:
    """Arranges tiles (n, height, width, channels) in a square with lines and a border.

    These, and cells without a tile, are white by default: 255 in uint8, 1.0 in floats.
    """
    if colour is None:
        colour = 255 if tiles.dtype == np.uint8 else 1.0
    side = int(np.ceil(np.sqrt(len(tiles))))
    margins = ((0, side * side - len(tiles)), (0, line), (0, line), (0, 0))
    tiles = np.pad(tiles, margins, constant_values=colour)
    _, height, width, channels = tiles.shape
    rows = tiles.reshape(side, side, height, width, channels).swapaxes(1, 2)
    square = rows.reshape(side * height, side * width, channels)
    # No line after the last tile.
    square = square[: side * height - line, : side * width - line]
    frame = ((border, border), (border, border), (0, 0))
    return np.pad(square, frame, constant_values=colour)
