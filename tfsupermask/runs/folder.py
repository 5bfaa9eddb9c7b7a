"""The run folder: the names of its files, the run that it belongs to, and its lock."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tfsupermask._files import make_folder, write_json
from tfsupermask._reading import check_names, read_json
from tfsupermask._validation import InputError, fail
from tfsupermask.data import Dataset
from tfsupermask.runs.config import Config, removed_options

LOCK = ".lock"
_MAX_SIDE = 4096


def inside(name: str, text: str) -> property:
    """Returns a property that is a path in the folder `root`, with a docstring."""
    return property(lambda self: self.root / name, doc=text)


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """Paths inside one run's folder.

    Attributes:
        root: The folder itself.

    Example:
        >>> from pathlib import Path
        >>> folder = RunFolder(Path("runs/my_run"))
        >>> folder.summary.name, folder.summary.is_file()
        ('summary.json', True)
    """

    root: Path

    config = inside("config.json", "The resolved configuration and the images.")
    metrics = inside("metrics.csv", "One line an epoch.")
    summary = inside("summary.json", "The result in a few numbers.")
    init_report = inside("init.json", "What PatchesInit did.")
    init_progress = inside("init_progress", "Layers that PatchesInit has done so far.")
    checkpoints = inside("checkpoints", "Folder of the checkpoints.")
    events = inside("events", "Folder of TensorBoard's event files.")
    saved_model = inside("saved_model", "Folder of the SavedModel.")
    pictures = inside("pictures", "Folder of the pictures.")


@contextlib.contextmanager
def claimed(folder: RunFolder, config: Config, dataset: Dataset) -> Iterator[None]:
    """Claims a free folder, or with `config.resume` one of the same run, and locks it.

    Free is a folder that is new, or holds no more than what a run leaves that was
    refused before it was initialised. Raises InputError for any other folder, and
    leaves it untouched.
    """
    description = {
        "config": dataclasses.asdict(config),
        "data": {
            "sha256": dataset.sha256,
            "image_shape": list(dataset.image_shape),
            "class_names": list(dataset.class_names),
            "mean": dataset.mean.tolist(),
            "std": dataset.std.tolist(),
        },
    }
    with contextlib.ExitStack() as stack:
        try:
            make_folder(folder.root)
            _check_free_or_same(folder, config, description)
            stack.enter_context(locked(folder.root))
            # Again, as another process may have just had the lock.
            if _check_free_or_same(folder, config, description):
                write_json(folder.config, description)
        except OSError as error:
            reason = error.strerror
            raise fail(
                f"`workdir` must be a folder that can be written to ({reason}).",
                workdir=str(folder.root),
            ) from error
        yield


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps other processes out of an existing folder until the body or process ends.

    The package `filelock` takes the same lock, but cannot say which process has it.
    """
    with open(folder / LOCK, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise fail(
                "`workdir` must not be in use by another process; wait for it or give "
                "another --workdir.",
                workdir=str(folder),
                process=file.read().strip() or "unknown",
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}@{os.uname().nodename}")
        file.flush()
        yield


def read_description(folder: RunFolder) -> dict[str, dict[str, Any]]:
    """Returns what a run's config.json holds, or raises if a value is wrong.

    Its `removed` are the options that no longer exist, see `removed_options`.
    """
    content = read_json(folder.config)
    config, images = content.get("config"), content.get("data")
    if not isinstance(config, dict) or not isinstance(images, dict):
        raise fail(
            "config.json must hold a config and data.",
            path=str(folder.config),
            keys=sorted(content)[:5],
        )
    removed = removed_options(config)
    try:
        config = dataclasses.asdict(Config.from_saved(config))
        _check_images(images)
    except InputError as error:
        raise InputError(f"{str(folder.config)!r}: {error}") from None
    return {**content, "config": config, "removed": removed}


def _check_images(images):
    check_names("class_names", images.get("class_names"))
    shape = images.get("image_shape")
    _check_list("image_shape", shape, 3, lambda size: type(size) is int)
    if not all(1 <= size <= _MAX_SIDE for size in shape):
        raise fail(f"`image_shape` must be in [1, {_MAX_SIDE}].", image_shape=shape)
    channels = shape[2]
    for name in ("mean", "std"):
        _check_list(name, images.get(name), channels, _is_finite)
    if min(images["std"]) <= 0:
        raise fail("`std` must be greater than 0.", std=images["std"])


def _check_list(name, values, length, is_right):
    listed = isinstance(values, list) and len(values) == length
    if not listed or not all(map(is_right, values)):
        raise fail(f"`{name}` must be {length} numbers.", **{name: values})


def _is_finite(value):
    return type(value) in (int, float) and math.isfinite(value)


def _is_one(name, before, now, begun):
    """Returns whether two values are paths of one place.

    It may have moved since a run began, which does not look there again: then there is
    nothing at the first path, and both end in the same name.
    """
    if name not in ("mask_from", "weights_from") or None in (before, now):
        return False
    before, now = map(os.path.abspath, (before, now))
    moved = begun and not os.path.exists(before)
    return before == now or (moved and Path(before).name == Path(now).name)


def _check_free_or_same(folder, config, description):
    """Returns whether a folder is free; raises unless it is or holds this very run."""
    files = (path for path in folder.root.iterdir() if path.name != LOCK)
    found = [path for path in files if path.suffix != ".partial"]  # half written
    if found == [folder.config]:
        read_description(folder)  # which raises if the file is someone else's
        return True
    if found:
        _check_same_run(folder, config, description)
    return not found


def _check_same_run(folder, config, description):
    if not folder.config.is_file():
        raise fail(
            "`workdir` must be a new or empty folder, or hold a run (a config.json).",
            workdir=str(folder.root),
        )
    there, begun = read_description(folder), any(folder.checkpoints.glob("*.npz"))
    if there["removed"] and not begun:
        raise fail(
            "`workdir` holds a run that is not initialised yet, with options that were "
            "removed; give another --workdir.",
            **there["removed"],
        )
    before = {**Config(**there["config"]).identity(), **there["data"]}
    for name, value in {**config.identity(), **description["data"]}.items():
        one = before.get(name) == value or _is_one(name, before.get(name), value, begun)
        if not one:
            of_images = "images of " if name in there["data"] else ""
            raise fail(
                f"`workdir` {str(folder.root)!r} holds a run with {of_images}{name}="
                f"{before.get(name)!r}; give another --workdir.",
                **{name: value},
            )
    if not config.resume:
        raise fail(
            "`workdir` holds this very run already; leave out --noresume to go on with "
            "it, or give another --workdir.",
            workdir=str(folder.root),
        )
