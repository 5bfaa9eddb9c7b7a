"""The model in an exported file, from raw images to logits and probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from tfsupermask._reading import check_names
from tfsupermask._validation import fail
from tfsupermask.conversion import fold


class Preprocessing(NamedTuple):
    """What a classifier adds to a network; mean and std in intensities from 0 to 1."""

    mean: np.ndarray
    std: np.ndarray
    class_names: tuple[str, ...]


def check_preprocessing(
    model: keras.Model,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    class_names: Sequence[str] | None,
) -> Preprocessing | None:
    """Returns the three together, `None` if the export is not a classifier."""
    if mean is None and std is None and class_names is None:
        return None
    if mean is None or std is None:
        raise fail(
            "`mean` and `std` must be given together, `class_names` only with them.",
            mean=mean,
            std=std,
            class_names=class_names,
        )
    channels, classes = _channels_and_classes(model)
    mean, std = np.float32(mean), np.float32(std)
    fits = mean.shape == std.shape == (channels,)
    if not fits or not np.isfinite([mean, std]).all() or not (std > 0).all():
        raise fail(
            f"`mean` and `std` must hold {channels} finite numbers, one a channel, "
            "those of `std` positive.",
            mean=mean.tolist(),
            std=std.tolist(),
        )
    names = tuple(map(str, range(classes) if class_names is None else class_names))
    if len(names) != classes:
        raise fail(
            f"`class_names` must hold {classes} names, one a logit.",
            class_names=len(names),
        )
    return Preprocessing(mean, std, check_names("class_names", names))


def _channels_and_classes(model):
    """Returns the numbers of input channels and of logits."""
    shapes = [getattr(model, f"{side}_shape", None) for side in ("input", "output")]
    single = all(isinstance(shape, tuple) for shape in shapes)
    if not single or (len(shapes[0]), len(shapes[1])) != (4, 2):
        raise fail(
            "`mean` and `std` are for models from images (batch, height, width, "
            "channels) to logits (batch, classes).",
            input_shape=shapes[0],
            output_shape=shapes[1],
        )
    return shapes[0][-1], shapes[1][-1]


def input_structure(network: keras.Model):
    """Returns the Keras tensors that a network takes, in the structure of its call."""
    inputs = getattr(network, "inputs", None)
    if not inputs:
        raise fail(
            "A subclassed model must be wrapped as keras.Model(inputs, model(inputs)) "
            "with inputs = keras.Input(shape).",
            model=network.name,
        )
    return inputs[0] if len(inputs) == 1 else network.input


def compute_in_float32(network: keras.Model) -> None:
    """Changes layers in half precision, which runtimes have no operators for."""
    for layer in network._flatten_layers():
        # Quantized layers need their mode to read their weights.
        mode, quantized, _ = layer.dtype_policy.name.partition("_from_")
        layer.dtype_policy = f"{mode}_from_float32" if quantized else "float32"


def classify(network, images, preprocessing: Preprocessing) -> dict:
    """Returns `logits` and `probabilities` of images with intensities 0 to 1."""
    normalised = (images - preprocessing.mean) / preprocessing.std
    logits = ops.cast(network(normalised, training=False), "float32")
    return {"logits": logits, "probabilities": ops.softmax(logits)}


def inference_model(
    model: keras.Model,
    preprocessing: Preprocessing | None,
    image_dtype: str = "uint8",
) -> keras.Model:
    """Returns the folded model; with preprocessing as a classifier of raw images."""
    network = fold(model)
    if preprocessing is None:
        return network
    images = keras.Input(model.input_shape[1:], dtype=image_dtype, name="images")
    intensities = ops.cast(images, "float32") / 255.0
    return keras.Model(images, classify(network, intensities, preprocessing))
