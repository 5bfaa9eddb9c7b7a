"""Reads that trust nothing: regular files alone, no larger than expected."""

from __future__ import annotations

import json
import os
import stat
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tfsupermask._validation import fail

MAX_JSON = 1 << 24

_MAX_NAME = 1024
_CONTROL = {"Cc", "Cs", "Zl", "Zp"}  # Unicode's categories


def read_file(path: str | os.PathLike, most: int) -> bytes:
    """Returns the content of a regular file.

    Args:
        path: The file. A pipe or a device is not even opened: that could wait for ever.
        most: The most bytes that it may have.

    Raises:
        InputError: It is no regular file, or larger.
        OSError: It cannot be read.

    Example:
        >>> from pathlib import Path
        >>> Path("notes.txt").write_text("all of it")
        9
        >>> read_file("notes.txt", most=100)
        b'all of it'
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
    """Returns the object that a JSON file of at most 16 MB holds.

    Raises:
        InputError: It is no such file.

    Example:
        >>> from pathlib import Path
        >>> _ = Path("result.json").write_text('{"accuracy": 0.96}')
        >>> read_json(Path("result.json"))
        {'accuracy': 0.96}
    """
    return parse_json(read_file(path, MAX_JSON), str(path))


def parse_json(text: bytes, name: str) -> dict[str, Any]:
    """Returns the object that JSON text holds.

    Args:
        text: UTF-8.
        name: What the text is called, for the message.

    Raises:
        InputError: It is no JSON, too deep, or no object.

    Example:
        >>> parse_json(b"[1, 2]", "state")
        Traceback (most recent call last):
            ...
        tfsupermask._validation.InputError: 'state' must hold a JSON object.
        Received: type='list'
    """
    try:
        tree = json.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise fail(
            f"{name!r} must be well-formed JSON.", error=str(error)[:200]
        ) from error
    if not isinstance(tree, dict):
        raise fail(f"{name!r} must hold a JSON object.", type=type(tree).__name__)
    return tree


def check_names(what: str, names: Iterable[str]) -> tuple[str, ...]:
    r"""Returns names that come from a file, if they can be shown to people.

    Args:
        what: What the names are called, for the message.
        names: Strings of at most 1,024 characters of Unicode. Control characters, with
            which a name could command a terminal, are refused.

    Raises:
        InputError: One is something else.

    Example:
        >>> check_names("class_names", ["cat", "chat été", "猫"])
        ('cat', 'chat été', '猫')
        >>> check_names("class_names", ["\x1b[2J"])
        Traceback (most recent call last):
            ...
        tfsupermask._validation.InputError: `class_names` must be texts of at most 1024
        characters, Unicode without control characters. Received: received='\x1b[2J'
    """
    if not isinstance(names, (list, tuple)):
        raise fail(f"`{what}` must be a list of texts.", type=type(names).__name__)
    for name in names:
        if not _can_be_shown(name):
            raise fail(
                f"`{what}` must be texts of at most {_MAX_NAME} characters, Unicode "
                "without control characters.",
                received=name[:100] if isinstance(name, str) else type(name).__name__,
            )
    return tuple(names)


def _can_be_shown(name):
    return (
        isinstance(name, str)
        and len(name) <= _MAX_NAME
        and not any(unicodedata.category(letter) in _CONTROL for letter in name)
    )
