"""One call for all formats, chosen by the name of the file."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfsupermask._validation import fail
from tfsupermask.export.files import add_class_names, export_file
from tfsupermask.export.inference import check_preprocessing, inference_model
from tfsupermask.export.litert import check_images, write_litert
from tfsupermask.export.names import check_format
from tfsupermask.export.onnx import write_onnx
from tfsupermask.export.saved_model import export_saved_model
from tfsupermask.tickets import save_ticket


def export_model(
    model: keras.Model,
    path: str | os.PathLike,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    class_names: Sequence[str] | None = None,
    *,
    precision: str = "float32",
    representative_images: np.ndarray | None = None,
    recipe: Mapping[str, Any] | None = None,
) -> Path:
    """Exports a model in the format that the name of `path` decides.

    The masks are folded into the kernels; only a ticket keeps them. With `mean` and
    `std` of the training images the model becomes a classifier, the same in every
    format; only a ticket holds them beside the model:

    - input `images`: uint8 (batch, height, width, channels), intensities 0 to 255, any
      batch size; normalised inside;
    - output `logits`: float32 (batch, classes), what the model returns;
    - output `probabilities`: float32 (batch, classes), their softmax;
    - the class names: a tensor of a SavedModel (see `export_saved_model`), a member
      `class_names.json` of a `.keras` file, `class_names` in the metadata of `.onnx`,
      and for `.tflite` a zip archive after its end (`unzip -p model.tflite`).

    Without them it is exported with its own inputs and outputs, under the names that
    Keras gives them.

    A `.tflite` file has the same inputs and outputs in every precision. In `"float32"`
    the outputs are the model's, and layers in half precision compute in float32; in
    `"float16"` its weights are half as large, and sums are float32; in `"int8"` weights
    and activations are 8-bit integers, for devices that compute with these alone, but
    for operations that LiteRT has only in float32 and a classifier's two outputs. It
    then takes its uint8 images without a conversion (scale 1, zero point 0).

    Args:
        model: Keras model; from normalised images to logits if `mean` is given.
        path: A file that ends in `.keras`, `.tflite`, `.onnx` (which needs
            `pip install 'tfsupermask[onnx]'`) or `.ticket`; a name without a suffix is
            the folder of a SavedModel. An older one is replaced when the new one is
            complete.
        mean: (channels,) mean of the training images, in intensities from 0 to 1.
        std: (channels,) standard deviation in the same unit. By default there are no
            `mean` and `std`, and the model is not made a classifier.
        class_names: One name for each logit. Defaults to their numbers.
        precision: `"float32"` (default); for `.tflite` also `"float16"` and `"int8"`,
            for `.ticket` also `"float16"` and `"bfloat16"`.
        representative_images: Only for `"int8"`, to find the ranges of activations:
            about 200 inputs of the exported file from the training images, uint8 for a
            classifier.
        recipe: Only for `.ticket`: a JSON object to store in it. Defaults to nothing.

    Returns:
        `path`.

    Raises:
        InputError: The format does not have the precision or the model's operations, or
            the arguments do not fit each other or the model.

    Example:
        >>> import tempfile
        >>> model, folder = models.build("conv2", (8, 8, 3)), tempfile.mkdtemp()
        >>> export_model(model, f"{folder}/conv2.keras").name
        'conv2.keras'
        >>> path = f"{folder}/half.tflite"
        >>> path = export_model(model, path, [0.5] * 3, [0.2] * 3, precision="float16")
        >>> from ai_edge_litert.interpreter import Interpreter
        >>> classify = Interpreter(str(path)).get_signature_runner()
        >>> classify(images=np.zeros((5, 8, 8, 3), np.uint8))["probabilities"].shape
        (5, 10)
    """
    suffix = check_format(path, precision)
    if recipe is not None and suffix != ".ticket":
        raise fail("Only a `.ticket` can hold a `recipe`.", path=str(path))
    images = {"mean": mean, "std": std, "class_names": class_names}
    names_alone = suffix == ".ticket" and mean is None and std is None
    preprocessing = None if names_alone else check_preprocessing(model, **images)
    classifier = preprocessing is not None
    check_images(model, precision, representative_images, raw=classifier)
    if suffix == "":
        return export_saved_model(model, path, **images)
    if suffix == ".ticket":
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return save_ticket(model, path, precision=precision, recipe=recipe, **images)
    write = {".keras": _write_keras, ".onnx": write_onnx}.get(suffix)
    if suffix == ".tflite":
        write = functools.partial(
            write_litert, precision=precision, images=representative_images
        )
    return export_file(path, lambda aside: write(aside, model, preprocessing))


def _write_keras(path, model, preprocessing):
    inference_model(model, preprocessing).save(path)
    if preprocessing is not None:
        add_class_names(path, preprocessing.class_names)
