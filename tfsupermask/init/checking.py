"""What initialisations ask of images and their labels."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from tfsupermask._validation import fail
from tfsupermask.layers.walking import check_built


def check_images(
    model: keras.Model, images: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """Returns the labels as int64; they and the images must fit the model's input."""
    check_built(model)
    if (
        not isinstance(images, np.ndarray)
        or images.dtype.kind not in "uif"
        or images.ndim not in (3, 4, 5)
    ):
        raise fail(
            "`images` must be a NumPy array of numbers (n, height, width, channels).",
            type=type(images).__name__,
            dtype=getattr(images, "dtype", None),
            shape=getattr(images, "shape", None),
        )
    # A subclassed model does not say what it takes.
    inputs = [tuple(tensor.shape) for tensor in getattr(model, "inputs", [images])]
    if len(inputs) != 1 or not tf.TensorShape(inputs[0]).is_compatible_with(
        images.shape
    ):
        raise fail(
            "`images` must have the shape of the model's one input.",
            images=images.shape,
            inputs=inputs,
        )
    return check_labels(images, labels)


def as_float32(batch: np.ndarray) -> np.ndarray:
    """Makes of images what a model takes, if nobody says how."""
    return batch.astype(np.float32)


def check_labels(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the labels as int64 (n,); there must be images, and a class for each."""
    labels = np.asarray(labels)
    integer = np.issubdtype(labels.dtype, np.integer)
    if not len(images):
        raise fail("`images` must hold at least one image.", shape=images.shape)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2:
        raise fail(
            "`labels` must be class indices: of one-hot labels, "
            "`labels.argmax(axis=1)`.",
            shape=labels.shape,
        )
    if labels.shape != images.shape[:1] or not integer or labels.min() < 0:
        raise fail(
            f"`labels` must hold one class index of at least 0 for each of the "
            f"{len(images)} images.",
            shape=labels.shape,
            dtype=labels.dtype.name,
        )
    return labels.astype(np.int64)
