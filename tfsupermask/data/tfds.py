"""Datasets of TensorFlow Datasets, such as CIFAR: downloaded once, then read."""

from __future__ import annotations

import contextlib
import logging
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfsupermask._validation import InputError
from tfsupermask.data.dataset import (
    DataNotFoundError,
    Dataset,
    Split,
    check_fixed_size,
)

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

_IMAGE_SIZE = 32
_IMAGES_PER_READ = 1000
_PROBE_SECONDS = 5
_MAX_REASON = 300


def load(
    name: str,
    data_dir: str | os.PathLike | None = None,
    image_size: int | None = None,
) -> Dataset:
    """Returns a CIFAR dataset that TensorFlow Datasets prepared.

    Reading starts TensorFlow's runtime, so a program with several workers must make its
    `tf.distribute` strategy before.

    The images have the order of the files. Prepared data is read without network;
    missing data is first downloaded and prepared. A failed download leaves `data_dir`
    as it was.

    Args:
        name: `"cifar10"` or `"cifar100"` (its 100 fine labels).
        data_dir: The folder that holds, or is to hold, `cifar10/3.0.2`. Defaults to
            that of TensorFlow Datasets: `$TFDS_DATA_DIR` or `~/tensorflow_datasets`.
        image_size: `None` (default) or 32.

    Raises:
        DataNotFoundError: The data is not there and cannot be downloaded.
        InputError: The prepared data is damaged, or `image_size` is not 32.

    Reference:
        - Krizhevsky, 2009, "Learning multiple layers of features from tiny images".
    """
    check_fixed_size(name, image_size, _IMAGE_SIZE)
    with open_prepared(name, data_dir) as builder:
        return Dataset(
            name=name,
            train=_read(builder, "train"),
            test=_read(builder, "test"),
            class_names=tuple(builder.info.features["label"].names),
            horizontal_flip=True,
        )


@contextlib.contextmanager
def open_prepared(
    name: str,
    data_dir: str | os.PathLike | None,
    alternatives: Sequence[str] = (),
) -> Iterator[tfds.core.DatasetBuilder]:
    """Yields the builder of a prepared dataset; downloads and prepares it if missing.

    Errors in the body count as damage of the prepared data. `alternatives` are names
    that the caller has not found in `data_dir` either, for the error.
    """
    with _without_info_logs():
        builder = _open(name, data_dir)
        if not builder.data_path.exists():
            _download(name, builder, data_dir, alternatives)
            builder = _open(name, data_dir)
        with _explaining_damage(name, builder.data_dir):
            yield builder


def resolve_root(data_dir: str | os.PathLike | None) -> str | os.PathLike:
    """Returns `data_dir`, or for `None` the default folder of TensorFlow Datasets."""
    if data_dir is not None:
        return data_dir
    import tensorflow_datasets as tfds

    return os.path.expanduser(tfds.core.constants.DATA_DIR)


def read_examples(
    builder: tfds.core.DatasetBuilder,
    split: str,
    decoders: tfds.decode.PartialDecoding | None = None,
) -> dict[str, np.ndarray]:
    """Returns the features of a split's examples, in the order of the files."""
    import tensorflow_datasets as tfds

    in_order = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    examples = builder.as_dataset(
        split=split, shuffle_files=False, read_config=in_order, decoders=decoders
    )
    batches = list(examples.batch(_IMAGES_PER_READ).as_numpy_iterator())
    return {
        name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]
    }


def _open(name, data_dir):
    import tensorflow_datasets as tfds

    with _explaining_damage(name, os.path.join(resolve_root(data_dir), name)):
        return tfds.builder(name, data_dir=data_dir)


def _read(builder, split):
    examples = read_examples(builder, split)
    return Split(images=examples["image"], labels=examples["label"])


def _download(name, builder, data_dir, alternatives):
    """Prepares the dataset in a scratch folder, then moves it to its place."""
    import tensorflow_datasets as tfds

    target = pathlib.Path(os.path.abspath(builder.data_dir))
    try:
        _check_reachable(builder.info.homepage)
        with _scratch_folder(target.parent) as scratch:
            made = tfds.builder(name, data_dir=scratch)
            made.download_and_prepare(download_dir=scratch / "downloads")
            # Another process may have prepared the same data at the same time.
            if not target.exists():
                os.rename(made.data_dir, target)
    except Exception as error:  # Network, disk, checksum: no common base class.
        root = target.parent.parent
        needed = [*alternatives, f"{name}/{builder.version}"]
        paths = _either(str(root / each) for each in needed)
        raise DataNotFoundError(
            f"{name} was not found in {paths} and could not be downloaded "
            f"({_summary(error)}). Give --data_dir a folder that holds "
            f"{_either(needed)}, run once with network, or use "
            "--dataset=digits, which needs no download. "
            f"Received: data_dir={None if data_dir is None else str(data_dir)!r}"
        ) from error


def _either(names):
    *first, last = map(repr, names)
    return f"{', '.join(first)} or {last}" if first else last


def _check_reachable(url):
    # Without network, TensorFlow Datasets would retry for over three minutes.
    import requests

    try:
        requests.head(url, timeout=_PROBE_SECONDS).raise_for_status()
    except requests.RequestException as error:
        raise ConnectionError(f"{url} cannot be reached") from error


@contextlib.contextmanager
def _scratch_folder(parent):
    """Yields a temporary folder in `parent`; removes it and empty folders it made."""
    missing = [folder for folder in (parent, *parent.parents) if not folder.exists()]
    scratch = None
    try:
        parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.mkdtemp(prefix="incomplete.", dir=parent)
        yield pathlib.Path(scratch)
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
        for folder in missing:
            with contextlib.suppress(OSError):
                folder.rmdir()


@contextlib.contextmanager
def _explaining_damage(name, folder):
    try:
        yield
    except ImportError:
        raise
    except Exception as error:  # TensorFlow, protobuf, KeyError: no common base class.
        raise InputError(
            f"The prepared {name} in {str(folder)!r} cannot be read; it may be "
            f"incomplete or damaged ({_summary(error)}). Remove it and prepare it anew."
        ) from error


def _summary(error):
    """Returns the error's first line, without TensorFlow's names of graph nodes."""
    text = re.sub(r"\{\{.*?\}\}|\[Op:.*", "", str(error)).strip()
    if not text:
        return type(error).__name__
    # The text may quote content of the files: it is escaped and cut.
    first = repr(text.splitlines()[0])[1:-1][:_MAX_REASON]
    return f"{type(error).__name__}: {first}"


@contextlib.contextmanager
def _without_info_logs():
    """Mutes TensorFlow Datasets' lines about its internal calls."""
    import tensorflow_datasets  # noqa: F401 - it replaces the logger named "absl".

    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(max(level, logging.WARNING))
    try:
        yield
    finally:
        logger.setLevel(level)
