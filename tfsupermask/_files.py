"""Writes that leave either the old file or the new one, never half of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO


def write_atomically(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Writes a file so that `path` holds either its old content or all of the new.

    The new content is written beside it first, to a file of that name and `.partial`;
    what is left there of an earlier attempt, a link too, is removed. `write` writes it
    to an open binary file. If that fails, or the disk does, the old content is there.
    """
    aside = path.with_name(path.name + ".partial")
    aside.unlink(missing_ok=True)
    try:
        # Made anew: a link would be followed, a pipe would wait.
        with open(aside, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException as error:
        if isinstance(error, OSError) and error.errno and not error.filename:
            error.filename = str(path)  # writes to an open file do not name it
        aside.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def make_folder(path: Path) -> None:
    """Makes a folder and those above it that are missing, to last a power cut."""
    if path.is_dir():
        return
    if path.parent != path:
        make_folder(path.parent)
    path.mkdir(exist_ok=True)
    _sync_folder(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Writes what JSON can hold, indented, atomically."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


def _sync_folder(path):
    # Without it a new name may be gone after a power cut, whatever its file holds.
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
