"""LiteRT (TensorFlow Lite) files for phones and small devices."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tfsupermask._validation import check_choice, fail
from tfsupermask.export.files import add_class_names, export_file
from tfsupermask.export.inference import (
    check_preprocessing,
    inference_model,
    input_structure,
)

PRECISIONS = ("float32", "float16", "int8")


def export_litert(
    model: keras.Model,
    path: str | os.PathLike,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    class_names: Sequence[str] | None = None,
    *,
    precision: str = "float32",
    representative_images: np.ndarray | None = None,
) -> Path:
    """Writes a `.tflite` file of the folded model, built-in operators alone.

    With `mean` and `std` it is a classifier of raw images as described in
    `tfsupermask.export.inference`, and holds the class names in a zip archive after its
    end (`unzip -p model.tflite class_names.json`).

    The precision is that of the inside; what goes in and comes out is the same for all:

    - `"float32"`: everything, outputs equal to the model's;
    - `"float16"`: the weights are stored so, half the size; sums are float32;
    - `"int8"`: weights and activations are 8-bit integers, a quarter of the size, for
      devices that compute with integers alone. A classifier's uint8 images enter as
      they are (scale 1, zero point 0); only its two outputs are turned into float32.
      An operation that LiteRT has in float32 alone stays so.

    Args:
        model: Keras model; from normalised images to logits if `mean` is given. Models
            that compute in half precision do so in float32 here.
        path: File to write, ending in `.tflite`; an older one is replaced at the end.
        mean: (channels,) mean of the training images, in units of 0..1 intensity.
        std: (channels,) standard deviation likewise. Without the two, which is the
            default, the model is exported as it is.
        class_names: One name for each logit. Defaults to their numbers.
        precision: `"float32"` (default), `"float16"` or `"int8"`.
        representative_images: For `"int8"` alone, which takes the ranges of the
            activations from them: about 200 training inputs, as the file will get them:
            uint8 images, or without `mean` what the model takes.

    Returns:
        The file.

    Raises:
        InputError: The arguments do not fit each other or the model, or the model has
            operations that LiteRT lacks.

    Example:
        >>> import tempfile
        >>> model = models.build("conv2", (8, 8, 3))
        >>> path = export_litert(
        ...     model, tempfile.mkdtemp() + "/tiny.tflite", [0.5] * 3, [0.2] * 3,
        ...     precision="float16",
        ... )
        >>> from ai_edge_litert.interpreter import Interpreter
        >>> classify = Interpreter(str(path)).get_signature_runner()
        >>> classify(images=np.zeros((5, 8, 8, 3), np.uint8))["probabilities"].shape
        (5, 10)
    """
    check_choice("precision", precision, PRECISIONS)
    preprocessing = check_preprocessing(model, mean, std, class_names)
    _check_images(model, precision, representative_images, preprocessing is not None)

    def write(aside):
        # The converter itself turns a float32 input into the uint8 of a quantized one.
        image_dtype = "float32" if precision == "int8" else "uint8"
        network = inference_model(model, preprocessing, image_dtype)
        input_structure(network)
        _compute_in_float32(network)
        options = _options(precision, representative_images, preprocessing is not None)
        try:
            network.export(aside, format="litert", verbose=False, **options)
        except Exception as error:  # the converter's own kinds are private
            raise fail(
                "The model must be made of operations that LiteRT has built in.",
                reason=str(error).partition("\n")[0],
            ) from error
        if preprocessing is not None:
            add_class_names(aside, preprocessing.class_names)

    return export_file(path, ".tflite", write)


def _check_images(model, precision, images, raw):
    if (precision == "int8") != (images is not None):
        raise fail(
            "`representative_images` must be given for precision 'int8' and for it "
            "alone.",
            precision=precision,
            representative_images=None if images is None else np.shape(images),
        )
    if images is None:
        return
    shape, expected = np.shape(images), getattr(model, "input_shape", None)
    single = isinstance(expected, tuple)
    if not single or shape[1:] != expected[1:] or shape[:1] in ((), (0,)):
        raise fail(
            "`representative_images` must be at least one of the model's inputs, of "
            f"shape {expected}.",
            shape=shape,
        )
    if raw and np.asarray(images).dtype != np.uint8:
        raise fail(
            "`representative_images` must be uint8, 0 to 255.",
            dtype=str(np.asarray(images).dtype),
        )


def _compute_in_float32(network):
    """Gives LiteRT what it can run: it has no half precision operators."""
    for layer in network._flatten_layers():
        layer.dtype_policy = "float32"


def _options(precision, images, raw):
    """Returns the converter's attributes for a precision."""
    builtins = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
    if precision == "float32":
        return {"target_spec": builtins}
    optimised = {"optimizations": [tf.lite.Optimize.DEFAULT]}
    if precision == "float16":
        return optimised | {"target_spec": builtins | {"supported_types": [tf.float16]}}
    images = np.array(images, np.float32)
    if raw:
        # One pixel of each end makes the input's scale 1 and its zero point 0: then
        # raw intensities are the quantized values.
        images.flat[0], images.flat[-1] = 0, 255
    return optimised | {
        "target_spec": {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]},
        "representative_dataset": lambda: ([image[None]] for image in images),
        "inference_input_type": tf.uint8 if raw else tf.float32,
    }
