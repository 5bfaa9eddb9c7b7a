"""What an export's name says: whether it is one, its format, its precision."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tfsupermask._files import check_local, check_no_pattern
from tfsupermask._validation import fail
from tfsupermask.tickets import PRECISIONS

_PRECISIONS = {
    "": ("float32",),
    ".keras": ("float32",),
    ".tflite": ("float32", "float16", "int8"),
    ".onnx": ("float32",),
    ".ticket": PRECISIONS,
}


def check_format(path: str | os.PathLike, precision: str) -> str:
    """Returns the suffix of `path`, which decides the format; empty for a SavedModel.

    Digits after a dot, as in `model-0.5`, do not count as a suffix.

    Args:
        path: Path of the export.
        precision: Precision of the weights, for example `"float32"`.

    Raises:
        InputError: The suffix is unknown, or its format has no such precision.

    Example:
        >>> check_format("conv6.tflite", "int8"), check_format("conv6-0.5", "float32")
        ('.tflite', '')
    """
    suffix = Path(check_local("output", path)).suffix
    suffix = "" if re.fullmatch(r"\.\d+", suffix) else suffix
    if suffix not in _PRECISIONS:
        *others, last = filter(None, _PRECISIONS)
        raise fail(
            f"The output must end in {', '.join(others)} or {last}, or have no suffix "
            "for the folder of a SavedModel.",
            output=str(path),
        )
    if suffix == "":
        check_no_pattern("output", path)
    if precision not in _PRECISIONS[suffix]:
        raise fail(
            f"The precision of {suffix or 'a SavedModel'} must be one of "
            f"{', '.join(_PRECISIONS[suffix])}.",
            precision=precision,
        )
    return suffix


def is_export(path: str | os.PathLike) -> bool:
    """Returns whether `path` looks like an export.

    Args:
        path: Any path; it need not exist.

    Example:
        >>> is_export("runs/my_run/saved_model"), is_export("photo.jpg")
        (True, False)
    """
    path = Path(path)
    of_file = path.suffix in _PRECISIONS and path.suffix != ""
    return is_saved_model(path) or (of_file and path.is_file())


def is_saved_model(path: str | os.PathLike) -> bool:
    """Returns whether `path` is the folder of a SavedModel."""
    return (Path(path) / "saved_model.pb").is_file()
