"""Reads that trust nothing: regular files alone, no larger than expected."""

from __future__ import annotations

import csv
import json
import os
import stat
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tfsupermask._validation import fail

MAX_JSON = 1 << 24
# What reading files that are cut, damaged, or of another program may raise.
DAMAGED = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    csv.Error,
)

_MAX_NAME = 1024
_CONTROL = {"Cc", "Cs", "Zl", "Zp"}  # Unicode's categories


def read_file(path: str | os.PathLike, most: int) -> bytes:
    """Returns the content of a regular file of at most `most` bytes.

    A pipe or a device is not even opened: that could wait for ever.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise fail("What is read must be a regular file.", path=os.fspath(path))
    with open(path, "rb") as file:
        # Asked for as many as it says, since a hole of a terabyte costs nothing.
        size = os.fstat(file.fileno()).st_size
        content = file.read(most + 1) if size <= most else b""
    if max(size, len(content)) > most:
        raise fail(
            f"A file of this kind must have at most {most:,} bytes.",
            path=os.fspath(path),
            size=size,
        )
    return content


def read_json(path: Path) -> dict[str, Any]:
    """Returns the object that a JSON file of at most 16 MB holds."""
    return parse_json(read_file(path, MAX_JSON), str(path))


def parse_json(text: bytes, name: str) -> dict[str, Any]:
    """Returns the object that JSON text holds; `name` is for the message."""
    try:
        value = json.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise fail(
            f"{name!r} must be well-formed JSON.", error=str(error)[:200]
        ) from error
    if not isinstance(value, dict):
        raise fail(f"{name!r} must hold a JSON object.", type=type(value).__name__)
    return value


def check_names(what: str, names: Iterable[str]) -> tuple[str, ...]:
    """Returns names that come from a file, if they can be shown to people.

    They are Unicode without control characters, with which a name could command a
    terminal. `what` is for the message.
    """
    if not isinstance(names, (list, tuple)):
        raise fail(f"`{what}` must be a list of texts.", type=type(names).__name__)
    for name in names:
        short = isinstance(name, str) and len(name) <= _MAX_NAME
        if not short or _CONTROL & set(map(unicodedata.category, name)):
            raise fail(
                f"`{what}` must be texts of at most {_MAX_NAME} characters, Unicode "
                "without control characters.",
                received=name[:100] if isinstance(name, str) else type(name).__name__,
            )
    return tuple(names)
