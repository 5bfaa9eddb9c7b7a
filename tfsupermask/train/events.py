"""What TensorBoard is told of a run, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf
from tensorboard.plugins.histogram.metadata import create_summary_metadata

from tfsupermask.layers import MaskedWeight, masked_weights
from tfsupermask.train.pictures import mosaic

_BUCKETS = 30
_MAX_TILES = 64
_PIXELS = 8  # by which a weight's side is magnified
_LINE = 208  # grey between the tiles, neither white nor black


def write_events(writer: tf.summary.SummaryWriter, row: dict[str, float]) -> None:
    """Adds the scalars of one epoch, a row of `metrics.csv`, to the event file."""
    with writer.as_default(step=row["epoch"]):
        for name, value in row.items():
            if name != "epoch":
                tf.summary.scalar(name.replace("_", "/", 1), value)
    writer.flush()


def write_model_events(
    writer: tf.summary.SummaryWriter,
    model: keras.Model,
    epoch: int,
    churn: Mapping[str, float] | None = None,
) -> None:
    """Adds the look of a model's masks to the event file.

    For each masked weight: the histogram of its scores (tag `scores/<name>`), its
    sparsity (`sparsity/<name>`) and, if given, its churn (`churn/<name>`). For the
    first convolution: pictures of its kernel, its mask and their product
    (`first_layer/...`), one tile a filter.

    Args:
        writer: Where to.
        model: Built model with supermask layers.
        epoch: Number of epochs done, the step in TensorBoard.
        churn: By the masked weight's name, the fraction of its mask bits that flipped
            in the epoch.

    Example:
        >>> import tempfile
        >>> writer = tf.summary.create_file_writer(tempfile.mkdtemp())
        >>> write_model_events(writer, models.build("conv2", (8, 8, 3)), epoch=1)
    """
    with writer.as_default(step=epoch):
        for weight in masked_weights(model):
            _write_histogram(f"scores/{weight.name}", weight.score.numpy())
            tf.summary.scalar(
                f"sparsity/{weight.name}", 1 - weight.num_kept / weight.num_weights
            )
        for name, fraction in (churn or {}).items():
            tf.summary.scalar(f"churn/{name}", fraction)
        first = first_convolution(model)
        pictures = {} if first is None else filter_pictures(first)
        for name, picture in pictures.items():
            tf.summary.image(f"first_layer/{name}", picture[None])
    writer.flush()


def first_convolution(model: keras.Model) -> MaskedWeight | None:
    """Returns the first masked weight that is a 2D convolution's, if there is one.

    Example:
        >>> first_convolution(models.build("conv2")).name
        'conv1/kernel'
    """
    convolutions = (
        weight
        for weight in masked_weights(model)
        if isinstance(weight.layer, keras.layers.Conv2D)
    )
    return next(convolutions, None)


def filter_pictures(weight: MaskedWeight) -> dict[str, np.ndarray]:
    """Returns pictures of a 2D convolution's kernel, its mask and their product.

    Grey is zero, brighter is positive, on one scale for all filters; the mask is white
    where it keeps and black where it removes. Kernels of three channels come in colour,
    others show the mean over their channels. At most 64 filters are shown.

    Args:
        weight: The masked weight of a built convolution.

    Returns:
        By name, uint8 (height, width, 3).

    Example:
        >>> weight = first_convolution(models.build("conv2", (8, 8, 3)))
        >>> pictures = filter_pictures(weight)
        >>> list(pictures), pictures["mask"].shape
        (['kernel', 'mask', 'kernel_times_mask'], (224, 224, 3))
    """
    kernel, mask = (
        np.moveaxis(array.numpy()[..., :_MAX_TILES], -1, 0)
        for array in (weight.kernel, weight.mask)
    )
    masked = kernel * mask
    # The last percent would leave the others grey.
    scale = np.quantile(np.abs(kernel), 0.99) or 1.0
    shades = {
        "kernel": 0.5 + kernel / (2 * scale),
        "mask": mask,
        "kernel_times_mask": 0.5 + masked / (2 * scale),
    }
    return {name: _grid(_coloured(tiles)) for name, tiles in shades.items()}


def _write_histogram(tag, values):
    # `tf.summary.histogram` makes a one-hot row of each value: gigabytes for VGG-16.
    counts, edges = np.histogram(values, _BUCKETS)
    buckets = np.stack([edges[:-1], edges[1:], counts], axis=1)
    tf.summary.write(tag, buckets, metadata=create_summary_metadata(None, None))


def _coloured(tiles):
    if tiles.shape[-1] != 3:
        tiles = np.repeat(tiles.mean(axis=-1, keepdims=True), 3, axis=-1)
    return np.uint8(np.round(255 * np.clip(tiles, 0, 1)))


def _grid(tiles):
    """Arranges uint8 (n, h, w, 3) tiles, magnified, in a square with grey lines."""
    tiles = tiles.repeat(_PIXELS, axis=1).repeat(_PIXELS, axis=2)
    return mosaic(tiles, line=_PIXELS // 2, border=_PIXELS // 4, colour=_LINE)
