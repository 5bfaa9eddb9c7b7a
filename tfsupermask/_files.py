"""Writes that leave either the old file or the new one, never half of it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from tfsupermask._validation import InputError, fail

# TensorFlow takes a path with one of these for many.
_PATTERN = "*?[\\"
_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS)


def check_local(name: str, path: str | os.PathLike) -> str:
    """Returns a path as a text; of `gs://bucket/run` a folder `gs:` would be made."""
    text = os.fspath(path)
    if "://" in text:
        raise fail(
            f"`{name}` must be a path on this machine, not an address.", **{name: text}
        )
    return text


def check_no_pattern(name: str, path: str | os.PathLike) -> str:
    """Returns a path of a SavedModel, or of what will hold one, as a text."""
    text = check_local(name, path)
    if set(text) & set(_PATTERN):
        raise fail(
            f"`{name}` must be a path without {' '.join(_PATTERN)} as TensorFlow finds "
            "no model under such a name.",
            **{name: text},
        )
    return text


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Makes errors of the disk OSErrors that name a path, those of libraries too."""
    try:
        yield
    except OSError as error:
        if error.errno and not error.filename:
            error.filename = str(path)  # writes to an open file do not name it
        raise
    except Exception as error:
        # The system's words are in the message; a code stands for several of them.
        of_tensorflow = _is_of_tensorflow(error)
        codes = errno.errorcode if of_tensorflow else _FULL
        found = [code for code in codes if os.strerror(code) in str(error)]
        if not found and not of_tensorflow:
            raise
        code = found[0] if found else errno.EIO
        raise OSError(code, os.strerror(code), str(path)) from error


def needs_no_traceback(error: Exception) -> bool:
    """Returns whether the message says all: the user's, the system's, TensorFlow's."""
    known = isinstance(error, InputError | OSError | MemoryError)
    return known or _is_of_tensorflow(error)


def _is_of_tensorflow(error):
    # Without importing it.
    return type(error).__module__ == "tensorflow.python.framework.errors_impl"


def write_atomically(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Writes a file so that `path` holds either its old content or all of the new.

    The new content is written beside it first, to a file of that name and `.partial`;
    what is left there of an earlier attempt, a link too, is removed. `write` writes it
    to an open binary file, and may read it again. If that fails, or the disk does, the
    old content is there.
    """
    aside = path.with_name(path.name + ".partial")
    aside.unlink(missing_ok=True)
    try:
        # Made anew: a link would be followed, a pipe would wait.
        with writing(path), open(aside, "x+b") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


@contextlib.contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Waits until no other process is in the body with the same file, which stays."""
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_folder(path: Path, write: Callable[[Path], Any]) -> None:
    """Lets `write` make a folder, and puts it in an older one's place when it is whole.

    Until then it is in a folder of that name and `.partial`, which is removed also if
    that fails.
    """
    aside = path.with_name(path.name + ".partial")
    new, old = aside / "new", aside / "old"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        with writing(path):
            aside.mkdir(parents=True)
            write(new)
            if path.exists():
                os.replace(path, old)
            os.replace(new, path)
    finally:
        if old.exists() and not path.exists():
            os.replace(old, path)
        shutil.rmtree(aside, ignore_errors=True)
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
