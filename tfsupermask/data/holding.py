"""Where decoded images are held: in memory, or in a copy on disk that is reused."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from tfsupermask._files import make_folder, write_atomically
from tfsupermask._machine import available_memory
from tfsupermask._validation import check_choice, fail
from tfsupermask.data.stored import StoredImages

PLACES = ("auto", "memory", "disk")
_SHARE = 0.5  # of the free memory; the rest is for training
_SPARE_BYTES = 1 << 30

Decode = Callable[[], Iterator[np.ndarray]]


def default_cache_dir() -> Path:
    """Returns `$XDG_CACHE_HOME/tfsupermask`, by default `~/.cache/tfsupermask`."""
    return (
        Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "tfsupermask"
    )


def hold(
    shape: tuple[int, int, int, int],
    decode: Decode,
    key: str,
    place: str = "auto",
    cache_dir: str | os.PathLike | None = None,
) -> np.ndarray | StoredImages:
    """Returns the images of a split, decoded once and held in memory or on disk.

    Args:
        shape: (n, height, width, 3).
        decode: Function that returns an iterator over uint8 blocks of images, in order
            and n in all.
        key: All that the images depend on, as text, such as the sizes and times of
            their files. A copy on disk with the same key is taken as it is.
        place: `"memory"`, `"disk"`, or `"auto"` (default): memory if the images take
            at most half of what is free, else disk.
        cache_dir: Folder of the copies. Defaults to `default_cache_dir()`.

    Returns:
        An array, or `StoredImages`.

    Raises:
        InputError: `place` is none of these, or the images fit neither into memory nor
            on the disk.

    Example:
        >>> black = np.zeros((2, 8, 8, 3), np.uint8)
        >>> hold((4, 8, 8, 3), lambda: iter([black, black]), "black").shape
        (4, 8, 8, 3)
    """
    size = int(np.prod(shape))
    check_choice("place", place, PLACES)
    if place == "auto":
        place = "memory" if size <= _SHARE * available_memory() else "disk"
    folder = default_cache_dir() if cache_dir is None else Path(cache_dir).expanduser()
    copy = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.uint8"
    if place == "memory" and not copy.is_file():
        images = np.empty(shape, np.uint8)
        _fill(images, decode())
        return images
    if not copy.is_file():
        _write_copy(copy, size, decode)
    stored = StoredImages(copy, shape)
    return stored[:] if place == "memory" else stored


def _fill(images, blocks):
    first = 0
    for block in blocks:
        images[first : first + len(block)] = block
        first += len(block)


def _write_copy(copy, size, decode):
    """Writes the copy, unless another process does so at the same time."""
    make_folder(copy.parent)
    with _turn(copy.with_suffix(".lock")):
        if copy.is_file():
            return
        free = shutil.disk_usage(copy.parent).free
        if size + _SPARE_BYTES > free:
            raise fail(
                f"The images take {size:,} bytes, which neither the memory has nor "
                f"'{copy.parent}' (`cache_dir`), with one GiB to spare.",
                free_on_disk=free,
            )
        warnings.warn(
            f"The images are decoded to '{copy}' ({size:,} bytes), to be read from "
            "there as they are needed, also by later runs.",
            stacklevel=3,
        )
        write_atomically(copy, lambda file: [file.write(b.data) for b in decode()])


@contextlib.contextmanager
def _turn(path):
    """Waits until no other process is in the body."""
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
