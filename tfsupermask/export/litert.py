"""LiteRT (TensorFlow Lite) files for phones and small devices."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tfsupermask._validation import fail
from tfsupermask.export.files import add_class_names
from tfsupermask.export.inference import (
    Preprocessing,
    compute_in_float32,
    inference_model,
    input_structure,
)


def write_litert(
    path: Path,
    model: keras.Model,
    preprocessing: Preprocessing | None,
    precision: str,
    images: np.ndarray | None,
):
    """Writes a `.tflite` file of the folded model, with only built-in operators."""
    # The converter itself changes a float32 input to uint8 when it quantizes.
    image_dtype = "float32" if precision == "int8" else "uint8"
    network = inference_model(model, preprocessing, image_dtype)
    input_structure(network)
    compute_in_float32(network)
    raw = preprocessing is not None
    dtype = np.float32 if raw else network.inputs[0].dtype
    options = _options(precision, images, dtype, raw)
    try:
        network.export(path, format="litert", verbose=False, **options)
    except Exception as error:  # the converter's exception classes are private
        raise fail(
            "The model must be made of operations that LiteRT has built in.",
            reason=str(error).partition("\n")[0],
        ) from error
    if preprocessing is not None:
        add_class_names(path, preprocessing.class_names)


def check_images(
    model: keras.Model, precision: str, images: np.ndarray | None, raw: bool
):
    """Raises unless images are given for int8 and only for it, and fit the model."""
    shape = None if images is None else np.shape(images)
    if (precision == "int8") != (images is not None):
        raise fail(
            "`representative_images` must be given for precision 'int8' and for it "
            "alone.",
            precision=precision,
            representative_images=shape,
        )
    if images is None:
        return
    expected = getattr(model, "input_shape", None)
    single = isinstance(expected, tuple)
    sizes = expected if single else ()
    fits = len(shape) == len(sizes) and all(
        size in (None, given) for size, given in zip(sizes[1:], shape[1:], strict=True)
    )
    if not fits or not any(shape[:1]):
        raise fail(
            "`representative_images` must be at least one of the model's inputs, of "
            f"shape {expected}.",
            shape=shape,
        )
    dtype = str(np.asarray(images).dtype)
    if raw and dtype != "uint8":
        raise fail("`representative_images` must be uint8, 0 to 255.", dtype=dtype)


def _options(precision, images, dtype, raw):
    """Returns the converter's attributes for a precision."""
    builtins = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
    if precision == "float32":
        return {"target_spec": builtins}
    optimised = {"optimizations": [tf.lite.Optimize.DEFAULT]}
    if precision == "float16":
        return optimised | {"target_spec": builtins | {"supported_types": [tf.float16]}}
    images = np.array(images, dtype)
    if raw:
        # With the smallest and the largest pixel the input has scale 1 and zero point
        # 0, so that raw intensities are the quantized values.
        images.flat[0], images.flat[-1] = 0, 255
    return optimised | {
        "target_spec": {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]},
        "representative_dataset": lambda: ([image[None]] for image in images),
        "inference_input_type": tf.uint8 if raw else tf.float32,
    }
