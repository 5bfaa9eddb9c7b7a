"""What a run writes for TensorBoard after each epoch."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf
from tensorboard.plugins.histogram.metadata import create_summary_metadata

from tfsupermask.layers import MaskedWeight, masked_weights
from tfsupermask.layers.walking import name_of_each
from tfsupermask.train.pictures import coloured, mosaic

_BUCKETS = 30
_MAX_TILES = 64
_PIXELS = 8  # side of the square that shows a weight
_LINE = 208  # the grey between tiles


def write_events(
    writer: tf.summary.SummaryWriter,
    row: Mapping[str, float],
    model: keras.Model,
    churn: Mapping[str, float],
) -> None:
    """Adds an epoch's row of `metrics.csv`, and what the model is, to the event file.

    That is what is trained, sparsities, the first filters, and `churn`, by the name of
    a masked weight the fraction of its mask bits that flipped in the epoch.
    """
    with writer.as_default(step=row["epoch"]):
        for name, value in row.items():
            if name != "epoch":
                tf.summary.scalar(name.replace("_", "/", 1), value)
        for weight, name in name_of_each(model).items():
            what = "weights" if weight.method.trains_kernel else "scores"
            _write_histogram(f"{what}/{name}", weight.trained.numpy())
            tf.summary.scalar(
                f"sparsity/{name}", 1 - weight.num_kept / weight.num_weights
            )
        for name, fraction in churn.items():
            tf.summary.scalar(f"churn/{name}", fraction)
        for name, picture in first_layer_pictures(model).items():
            tf.summary.image(f"first_layer/{name}", picture[None])
    writer.flush()


def first_layer_pictures(model: keras.Model) -> dict[str, np.ndarray]:
    """Returns `filter_pictures` of the first masked 2D convolution, if there is one."""
    for weight in masked_weights(model):
        if isinstance(weight.layer, keras.layers.Conv2D):
            return filter_pictures(weight)
    return {}


def filter_pictures(weight: MaskedWeight) -> dict[str, np.ndarray]:
    """Returns pictures (RGB, by name) of a convolution's kernel, mask and product.

    Grey is zero and brighter is positive, with one scale for all filters; the mask is
    white where it keeps. Kernels of three channels are in colour, others show the mean
    over their channels. At most 64 filters are shown.
    """
    kernel, mask, masked = (
        np.moveaxis(array.numpy()[..., :_MAX_TILES], -1, 0)
        for array in (weight.kernel, weight.mask, weight.effective())
    )
    # With the largest percent in the scale, the others would be grey.
    scale = np.quantile(np.abs(kernel), 0.99) or 1.0
    shades = {
        "kernel": 0.5 + kernel / (2 * scale),
        "mask": mask,
        "kernel_times_mask": 0.5 + masked / (2 * scale),
    }
    return {name: _grid(coloured(tiles)) for name, tiles in shades.items()}


def _write_histogram(tag, values):
    # `tf.summary.histogram` makes a one-hot row of each value: gigabytes for VGG-16.
    counts, edges = np.histogram(values, _BUCKETS)
    buckets = np.stack([edges[:-1], edges[1:], counts], axis=1)
    tf.summary.write(tag, buckets, metadata=create_summary_metadata(None, None))


def _grid(tiles):
    """Arranges tiles (n, h, w, 3) in 0..1, magnified, in a square with grey lines."""
    tiles = np.uint8(np.round(255 * np.clip(tiles, 0, 1)))
    tiles = tiles.repeat(_PIXELS, axis=1).repeat(_PIXELS, axis=2)
    return mosaic(tiles, line=_PIXELS // 2, border=_PIXELS // 4, colour=_LINE)
