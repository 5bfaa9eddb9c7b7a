"""The formats, told apart by the name of the file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfsupermask._validation import fail
from tfsupermask.export.keras_file import export_keras
from tfsupermask.export.litert import PRECISIONS as LITERT_PRECISIONS
from tfsupermask.export.litert import export_litert
from tfsupermask.export.onnx import export_onnx
from tfsupermask.export.saved_model import export_saved_model
from tfsupermask.tickets import PRECISIONS as TICKET_PRECISIONS
from tfsupermask.tickets import save_ticket

_PRECISIONS = {
    "": ("float32",),
    ".keras": ("float32",),
    ".tflite": LITERT_PRECISIONS,
    ".onnx": ("float32",),
    ".ticket": TICKET_PRECISIONS,
}


def check_format(path: str | os.PathLike, precision: str) -> str:
    """Returns the suffix that decides the format of `path`, empty for a SavedModel.

    Digits after a dot, as in `model-0.5`, are no suffix.

    Args:
        path: Where to export.
        precision: That of the weights, for example `"float32"`.

    Raises:
        InputError: The suffix is unknown, or its format has no such precision.

    Example:
        >>> check_format("conv6.tflite", "int8"), check_format("conv6-0.5", "float32")
        ('.tflite', '')
    """
    suffix = Path(path).suffix
    suffix = "" if re.fullmatch(r"\.\d+", suffix) else suffix
    if suffix not in _PRECISIONS:
        *others, last = filter(None, _PRECISIONS)
        raise fail(
            f"The output must end in {', '.join(others)} or {last}, or have no suffix "
            "for the folder of a SavedModel.",
            output=str(path),
        )
    if precision not in _PRECISIONS[suffix]:
        raise fail(
            f"The precision of {suffix or 'a SavedModel'} must be one of "
            f"{', '.join(_PRECISIONS[suffix])}.",
            precision=precision,
        )
    return suffix


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
    """Exports a model in the format that the name of `path` asks for.

    Args:
        model: Keras model; from normalised images to logits if `mean` is given.
        path: A file that ends in `.keras`, `.tflite`, `.onnx` or `.ticket`; a name
            without a suffix is the folder of a SavedModel.
        mean: (channels,) mean of the training images, in units of 0..1 intensity.
        std: (channels,) standard deviation likewise. Without the two, which is the
            default, the model is exported as it is.
        class_names: One name for each logit. Defaults to their numbers.
        precision: `"float32"` (default); for `.tflite` also `"float16"` and `"int8"`,
            for `.ticket` also `"float16"` and `"bfloat16"`.
        representative_images: For `"int8"` alone, see `export_litert`.
        recipe: For `.ticket`, what to note in it: a JSON object. Defaults to nothing.

    Returns:
        `path`.

    Raises:
        InputError: The format has no such precision, or as in the format's function.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> model = models.build("conv2", (8, 8, 3))
        >>> for name in ("conv2.keras", "conv2.tflite", "conv2"):
        ...     print(export_model(model, f"{folder}/{name}").name)
        conv2.keras
        conv2.tflite
        conv2
    """
    suffix = check_format(path, precision)
    contract = {"mean": mean, "std": std, "class_names": class_names}
    if suffix == ".ticket":
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return save_ticket(model, path, precision=precision, recipe=recipe, **contract)
    if suffix == ".tflite":
        return export_litert(
            model,
            path,
            precision=precision,
            representative_images=representative_images,
            **contract,
        )
    export = {"": export_saved_model, ".keras": export_keras, ".onnx": export_onnx}
    return export[suffix](model, path, **contract)
