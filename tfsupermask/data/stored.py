"""Decoded images that stay in a file and are read when they are needed."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import itertools
import json
import os
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from tfsupermask._files import write_json

_THREADS = 4
_BYTES_PER_BLOCK = 1 << 25


class StoredImages:
    """A uint8 array (n, height, width, 3) that stays at the beginning of a file.

    An index reads images into an array, as with NumPy. `select` gives some of them
    without reading. Nothing that was read is kept.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, path: str | os.PathLike, shape: tuple[int, int, int, int]):
        self._file = _File(path, shape[1:])
        self._rows = np.arange(shape[0])

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(n, height, width, 3)."""
        return (len(self._rows), *self._file.image_shape)

    @functools.cached_property
    def identity(self) -> str:
        """Text that tells these images in this order from others."""
        rows = hashlib.sha256(np.ascontiguousarray(self._rows)).hexdigest()[:16]
        return f"{self._file.path.stem}-{rows}"

    def remember(self, key: str, compute: Callable[[], Any]) -> Any:
        """Returns what `compute` makes of the images, kept as JSON under a `key`."""
        if not os.path.isfile(self._file.path):
            return compute()
        path = self._file.path.with_name(f"{self.identity}-{key}.json")
        with contextlib.suppress(OSError, ValueError):
            return json.loads(path.read_text())
        value = compute()
        with contextlib.suppress(OSError):  # others' files may only be read
            write_json(path, value)
        return value

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index) -> np.ndarray:
        rows = self._rows[index]
        images = self._file.read(np.ravel(rows))
        return images.reshape(*np.shape(rows), *images.shape[1:])

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(self[:], dtype)


class _File:
    """An open file of images; threads may read it at the same time."""

    def __init__(self, path, image_shape):
        self.path, self.image_shape = Path(path), tuple(image_shape)
        self._descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)
        self._size = int(np.prod(image_shape))

    def read(self, rows):
        """Returns the images in these rows of the file."""
        images = np.empty((len(rows), *self.image_shape), np.uint8)
        starts = np.flatnonzero(np.diff(rows, prepend=-2) != 1)
        pieces = itertools.pairwise([*starts, len(rows)])
        with ThreadPoolExecutor(_THREADS) as pool:
            for _ in pool.map(lambda piece: self._fill(images, rows, *piece), pieces):
                pass
        return images

    def _fill(self, images, rows, first, end):
        left = memoryview(images[first:end]).cast("B")
        offset = int(rows[first]) * self._size
        while left:
            count = os.preadv(self._descriptor, [left], offset)
            if not count:
                what = "The file of decoded images is shorter than it was"
                raise OSError(errno.EIO, what, str(self.path))
            left, offset = left[count:], offset + count


def images_per_block(image_shape: tuple[int, int, int]) -> int:
    """Returns how many images are decoded or looked through at once: 32 MiB, or one."""
    return max(1, _BYTES_PER_BLOCK // int(np.prod(image_shape)))


def select(images: np.ndarray | StoredImages, indices: np.ndarray | slice):
    """Returns some images: of an array a part, of stored images without reading."""
    if not isinstance(images, StoredImages):
        return images[indices]
    some = object.__new__(StoredImages)
    some._file, some._rows = images._file, images._rows[indices]
    return some
