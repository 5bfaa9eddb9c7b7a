"""What initialisations ask of images and their labels."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from tfsupermask._validation import fail


def check_images(
    model: keras.Model, images: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """Returns the labels as int64; they and the images must fit the model's input."""
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        raise fail(
            "`images` must be a uint8 NumPy array.",
            type=type(images).__name__,
            dtype=getattr(images, "dtype", None),
        )
    inputs = [tuple(tensor.shape) for tensor in getattr(model, "inputs", [])]
    if len(inputs) != 1 or not tf.TensorShape(inputs[0]).is_compatible_with(
        images.shape
    ):
        raise fail(
            "`images` must have the shape of the model's one input.",
            images=images.shape,
            inputs=inputs,
        )
    return check_labels(images, labels)


def check_labels(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the labels as int64; there must be images, and a class for each."""
    labels = np.asarray(labels)
    integer = np.issubdtype(labels.dtype, np.integer)
    if not len(images):
        raise fail("`images` must hold at least one image.", shape=images.shape)
    if labels.shape != images.shape[:1] or not integer or labels.min() < 0:
        raise fail(
            f"`labels` must hold one class index of at least 0 for each of the "
            f"{len(images)} images.",
            shape=labels.shape,
            dtype=labels.dtype.name,
        )
    return labels.astype(np.int64)
