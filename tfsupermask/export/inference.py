"""What an exported file computes: raw images in, logits and probabilities out.

A model given with the `mean` and `std` of its training images becomes a *classifier*,
the same in every format:

- input `images`: uint8 (batch, height, width, channels), intensities 0 to 255, any
  batch size; normalised inside;
- output `logits`: float32 (batch, classes), what the model returns;
- output `probabilities`: float32 (batch, classes), their softmax;
- the class names, where each format has a place for them.

A model given without them is exported as it is: inputs and outputs are its own, under
the names that Keras gives them. Either way the masks are folded into the kernels.
"""

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
    """What makes a classifier of a network.

    Attributes:
        mean: float32 (channels,), in units of 0..1 intensity.
        std: float32 (channels,), likewise.
        class_names: One string for each logit.
    """

    mean: np.ndarray
    std: np.ndarray
    class_names: tuple[str, ...]


def check_preprocessing(
    model: keras.Model,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    class_names: Sequence[str] | None,
) -> Preprocessing | None:
    """Returns the three together, `None` for a model that is exported as it is.

    Args:
        model: Keras model from normalised images to logits.
        mean: (channels,) mean of the training images, in units of 0..1 intensity.
        std: (channels,) standard deviation likewise, positive.
        class_names: One name for each logit. Defaults to their numbers from 0.

    Raises:
        InputError: Only one of `mean` and `std` is given, there are class names without
            them, or they do not fit the model.

    Example:
        >>> model = models.build("conv2", num_classes=2)
        >>> check_preprocessing(model, [0.5] * 3, [0.2] * 3, None).class_names
        ('0', '1')
    """
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
    """Returns the numbers of channels in and of logits out."""
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
    """Returns the Keras tensors that a network takes, as its call wants them.

    Raises:
        InputError: It is a subclassed model, which does not say what it takes.

    Example:
        >>> input_structure(models.build("conv2")).shape
        (None, 32, 32, 3)
    """
    inputs = getattr(network, "inputs", None)
    if not inputs:
        raise fail(
            "A subclassed model must be wrapped as keras.Model(inputs, model(inputs)) "
            "with inputs = keras.Input(shape).",
            model=network.name,
        )
    return inputs[0] if len(inputs) == 1 else network.input


def classify(network, images, preprocessing: Preprocessing) -> dict:
    """Returns `logits` and `probabilities` of images with intensities 0 to 1."""
    normalised = (images - preprocessing.mean) / preprocessing.std
    logits = ops.cast(network(normalised, training=False), "float32")
    return {"logits": logits, "probabilities": ops.softmax(logits)}


def inference_model(
    model: keras.Model,
    preprocessing: Preprocessing | None = None,
    image_dtype: str = "uint8",
) -> keras.Model:
    """Returns the folded model; with preprocessing, as a classifier of raw images.

    Args:
        model: Keras model with supermask layers, or without.
        preprocessing: As from `check_preprocessing`.
        image_dtype: What holds the intensities 0 to 255, `"uint8"` (default) or
            `"float32"`.

    Example:
        >>> model = models.build("conv2", num_classes=2)
        >>> prepared = check_preprocessing(model, [0.5] * 3, [0.2] * 3, None)
        >>> classifier = inference_model(model, prepared)
        >>> outputs = classifier(np.zeros((5, 32, 32, 3), np.uint8))
        >>> sorted(outputs), outputs["logits"].shape
        (['logits', 'probabilities'], TensorShape([5, 2]))
    """
    network = fold(model)
    if preprocessing is None:
        return network
    images = keras.Input(model.input_shape[1:], dtype=image_dtype, name="images")
    intensities = ops.cast(images, "float32") / 255.0
    return keras.Model(images, classify(network, intensities, preprocessing))
