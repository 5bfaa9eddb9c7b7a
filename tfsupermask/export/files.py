"""Writes exported files, and the class names in them."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tfsupermask._files import write_atomically, writing
from tfsupermask._reading import MAX_JSON
from tfsupermask._validation import fail

_CLASS_NAMES = "class_names.json"


def export_file(path: str | os.PathLike, write: Callable[[Path], None]) -> Path:
    """Lets `write` make a temporary file, and moves it to `path` when it is whole."""
    path = Path(path)
    if path.is_dir():
        raise fail("`path` must be a file, not a folder.", path=str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        aside = Path(folder, "model").with_suffix(path.suffix)
        with writing(aside):
            write(aside)
        with open(aside, "rb") as whole:
            write_atomically(path, lambda file: shutil.copyfileobj(whole, file))
    return path


def add_class_names(path: Path, class_names: Sequence[str]) -> None:
    """Adds `class_names.json` to a zip archive, or as one after the end of a file.

    Readers of a `.tflite` do not look after its end, and every unzip program does.
    """
    with zipfile.ZipFile(path, "a") as archive:
        # A fresh ZipInfo has a fixed date: the same model gives the same bytes.
        archive.writestr(zipfile.ZipInfo(_CLASS_NAMES), json.dumps(list(class_names)))


def read_class_names(path: Path) -> tuple[str, ...]:
    """Returns the names from `add_class_names`; KeyError or BadZipFile without any."""
    with zipfile.ZipFile(path) as archive:
        if archive.getinfo(_CLASS_NAMES).file_size > MAX_JSON:
            raise fail(
                f"The class names must have at most {MAX_JSON:,} bytes.",
                path=str(path),
            )
        return tuple(json.loads(archive.read(_CLASS_NAMES)))
