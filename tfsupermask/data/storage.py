"""Where decoded images are: in memory, or in a file that later runs use again."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from tfsupermask._files import check_local, make_folder, one_at_a_time, write_atomically
from tfsupermask._machine import available_memory
from tfsupermask._validation import check_choice, fail
from tfsupermask._version import __version__
from tfsupermask.data.stored import StoredImages, images_per_block

PLACES = ("auto", "memory", "disk")
_SHARE = 0.5  # of the free memory; the rest is for training
_SPARE_BYTES = 1 << 30
_IMAGES_PER_BLOCK = 256

# Blocks of images, and one JSON value an image: its label, or what was wrong with it.
Blocks = Iterator[tuple[np.ndarray, list[Any]]]


@dataclasses.dataclass(frozen=True)
class Storage:
    """Holds decoded images in memory or in files, as `tfsupermask.data.load` says."""

    images_in: str = "auto"
    cache_dir: str | os.PathLike | None = None

    def __post_init__(self):
        check_choice("images_in", self.images_in, PLACES)
        check_local("cache_dir", self.cache_dir or "")

    def hold(
        self,
        shape: tuple[int, int, int, int],
        decode: Callable[[], Blocks],
        source: Any,
        lasts: Callable[[Any], bool] = lambda value: True,
    ) -> tuple[np.ndarray | StoredImages, list[Any]]:
        """Returns images, and a value for each, decoded now or by an earlier run.

        `source` is all that they depend on, for JSON, such as the names, sizes and
        times of their files; `None` if nobody knows. Then no other run can use them,
        and neither if there is a value that does not last.
        """
        size = int(np.prod(shape))
        decoder = [__version__, cv2.__version__]
        key = json.dumps([decoder, shape, source or os.urandom(16).hex()]).encode()
        path = self._folder() / f"{hashlib.sha256(key).hexdigest()[:32]}.images"
        in_memory = self.images_in == "memory" or (
            self.images_in == "auto" and size <= _SHARE * available_memory()
        )
        if not os.path.isfile(path):
            if in_memory:
                return _in_memory(shape, _all(decode(), shape[0]))
            self._write(path, shape, decode, shared=source is not None)
        stored, values = StoredImages(path, shape), _values(path, size)
        if source is None or not all(map(lasts, values)):
            path.unlink(missing_ok=True)  # it stays open until nobody uses the images
            return stored, values
        return stored[:] if in_memory else stored, values

    def _folder(self):
        if self.cache_dir is not None:
            return Path(os.path.expanduser(self.cache_dir))
        caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        return Path(os.path.expanduser(caches)) / "tfsupermask"

    def _write(self, path, shape, decode, shared):
        """Writes the file, unless another process does so at the same time."""
        size = int(np.prod(shape))
        make_folder(path.parent)
        turn = one_at_a_time(path.with_suffix(".lock"))
        with turn if shared else contextlib.nullcontext():
            if os.path.isfile(path):
                return
            free = shutil.disk_usage(path.parent).free
            if size + _SPARE_BYTES > free:
                raise fail(
                    f"The images take {size:,} bytes: `cache_dir` must have room for "
                    "them and one GiB to spare.",
                    cache_dir=str(path.parent),
                    free=free,
                )
            warnings.warn(
                f"The images are decoded to {str(path)!r}, {size:,} bytes, and read "
                "from there.",
                stacklevel=4,
            )
            # Else an error, while it is kept, keeps the threads and the bar.
            with contextlib.closing(_all(decode(), shape[0])) as blocks:
                write_atomically(path, lambda file: _write_blocks(file, blocks))


def decoded(
    items: Iterable[Any],
    image_shape: tuple[int, int, int],
    decode: Callable[[Any], tuple[np.ndarray | None, Any]],
) -> Blocks:
    """Yields blocks of images that threads decode.

    `decode` makes of an item an image, or `None` for a black one, and its JSON value.
    """
    items = iter(items)
    number = min(images_per_block(image_shape), _IMAGES_PER_BLOCK)
    with ThreadPoolExecutor() as pool:
        while some := list(itertools.islice(items, number)):
            block, values = np.zeros((len(some), *image_shape), np.uint8), []
            for place, (image, value) in enumerate(pool.map(decode, some)):
                if image is not None:
                    block[place] = image
                values.append(value)
            yield block, values


def file_states(paths: Iterable[str | os.PathLike]) -> list[tuple[str, int, int]]:
    """Returns paths, bytes and times of change of files, to tell whether they changed.

    A file that is not there has 0 of both. The times are those of the system: copies
    and archives may give a new file an old time of its content.
    """
    return [(os.path.abspath(path), *_state(path)) for path in paths]


def _state(path):
    with contextlib.suppress(OSError):
        status = os.stat(path)
        return status.st_size, status.st_ctime_ns
    return 0, 0


def _in_memory(shape, blocks):
    try:
        images = np.empty(shape, np.uint8)
    except MemoryError as error:
        raise fail(
            "The images must fit into memory; `images_in` 'disk' reads them as they "
            "are needed.",
            shape=shape,
        ) from error
    values = []
    for block, some in blocks:
        images[len(values) : len(values) + len(block)] = block
        values += some
    return images, values


def _write_blocks(file, blocks):
    """Writes the images, and behind them the values."""
    values = []
    for block, some in blocks:
        file.write(np.ascontiguousarray(block).data)
        values += some
    file.write(json.dumps(values).encode())


def _values(path, size):
    with open(path, "rb") as file:
        file.seek(size)
        try:
            return json.loads(file.read())
        except ValueError as error:
            raise fail(
                "A file of decoded images is damaged; delete it.", path=str(path)
            ) from error


def _all(blocks, number):
    """Yields the blocks, and shows how far they are; raises if images are missing."""
    found = 0
    with tqdm(
        total=number, desc="decoding", unit=" images", leave=False, disable=None
    ) as bar:
        for block, values in blocks:
            found += len(block)
            if found > number:
                break
            yield block, values
            bar.update(len(block))
    if found != number:
        raise fail(
            "There must be the same number of images whenever they are read.",
            first=number,
            then=found,
        )
