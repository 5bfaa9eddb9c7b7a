"""Writes that leave either the old file or the new one, never half of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO


def write_atomically(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Writes a file so that `path` holds either its old content or all of the new.

    Args:
        path: The file; its folder must exist.
        write: Function that writes the content to an open binary file.

    Raises:
        OSError: The file cannot be written. It holds its old content then, as it does
            when `write` raises an error of its own.

    Example:
        >>> from pathlib import Path
        >>> write_atomically(Path("notes.txt"), lambda file: file.write(b"all of it"))
        >>> Path("notes.txt").read_text()
        'all of it'
    """
    aside = path.with_name(path.name + ".partial")
    with open(aside, "wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON, atomically.

    Args:
        path: The file; its folder must exist.
        value: What JSON can hold.

    Raises:
        OSError: The file cannot be written. It holds its old content then.
        TypeError: `value` holds what JSON cannot.

    Example:
        >>> from pathlib import Path
        >>> write_json(Path("result.json"), {"accuracy": 0.96})
        >>> print(Path("result.json").read_text(), end="")
        {
          "accuracy": 0.96
        }
    """
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))
