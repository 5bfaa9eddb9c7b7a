"""The Tiny-ImageNet-200 of the package's registry."""

from __future__ import annotations

import collections
import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfsupermask.data import tfds as tfds_lib
from tfsupermask.data.dataset import Dataset, Split, check_fixed_size
from tfsupermask.data.images import quiet_opencv
from tfsupermask.data.tiny_imagenet import archive as archive_lib
from tfsupermask.data.tiny_imagenet.decoding import IMAGE_SIZE, decode_image

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

_NAME = "tiny_imagenet"


def load(
    data_dir: str | os.PathLike | None = None, image_size: int | None = None
) -> Dataset:
    """Returns Tiny-ImageNet-200, its official validation split as the test split.

    It is read, without a copy being made, from the archive `tiny-imagenet-200.zip` or
    the folder `tiny-imagenet-200` extracted from it, the archive first. Where neither
    is there, TensorFlow Datasets prepares `tiny_imagenet/1.0.0` from a download, once;
    reading that starts TensorFlow's runtime, see `tfsupermask.data.tfds.load`. All
    three give the same arrays: class by class, in the order of the files' numbers.

    A copy may hold a part of the images. Classes keep their official index whether or
    not they have images; they are called by the first of their words, with the
    WordNet identifier where two share it. Grayscale images are repeated in the three
    channels. What is wrong with a copy is counted and named in one warning, and the
    rest is used. The archive's unlabelled test images are not.

    Args:
        data_dir: the folder that holds, or is to hold, one of the three. Defaults to
            that of TensorFlow Datasets: `$TFDS_DATA_DIR` or `~/tensorflow_datasets`.
        image_size: integer, `None` (default) or 64.

    Returns:
        The `Dataset`; its images may be mirrored in training.

    Raises:
        DataNotFoundError: if the data is not there and cannot be downloaded.
        InputError: if it is damaged beyond use, or `image_size` is not 64.

    Example:
        >>> dataset = data.load("tiny_imagenet", data_dir=".")
        >>> dataset.class_names[:2]
        ('Egyptian cat', 'reel')

    Reference:
        - Le & Yang, 2015, "Tiny ImageNet visual recognition challenge".
    """
    check_fixed_size(_NAME, image_size, IMAGE_SIZE)
    path = archive_lib.find_archive(tfds_lib.resolve_root(data_dir))
    return _read_prepared(data_dir) if path is None else _read_archive(path)


def _read_archive(path: pathlib.Path) -> Dataset:
    with archive_lib.open_archive(path) as archive:
        images = archive.read_images()
    labels = {
        split: np.array([example.label for example in examples], np.int64)
        for split, examples in archive.examples.items()
    }
    return _make_dataset(
        train=Split(images["train"], labels["train"]),
        test=Split(images["validation"], labels["validation"]),
        class_names=_class_names(archive.wnids, archive.words),
    )


def _read_prepared(data_dir: str | os.PathLike | None) -> Dataset:
    from tfsupermask.data.tiny_imagenet import tiny_imagenet_dataset_builder  # noqa: F401

    alternatives = (archive_lib.ZIP_NAME, archive_lib.FOLDER_NAME)
    with tfds_lib.open_prepared(_NAME, data_dir, alternatives) as builder:
        return _make_dataset(
            train=_read_split(builder, "train"),
            test=_read_split(builder, "validation"),
            class_names=_class_names(
                builder.info.features["label"].names, builder.info.metadata["words"]
            ),
        )


def _read_split(builder: tfds.core.DatasetBuilder, split: str) -> Split:
    import tensorflow_datasets as tfds

    # TensorFlow decodes JPEG by a faster, less exact transform than OpenCV.
    decoders = tfds.decode.PartialDecoding(
        {"image": True, "label": True, "file_name": True},
        decoders={"image": tfds.decode.SkipDecoding()},
    )
    examples = tfds_lib.read_examples(builder, split, decoders)
    numbers = [archive_lib.image_number(n.decode()) for n in examples["file_name"]]
    order = np.lexsort((numbers, examples["label"]))
    with quiet_opencv():
        images = [decode_image(examples["image"][i]) for i in order]
    return Split(np.stack(images), examples["label"][order])


def _class_names(wnids: Sequence[str], words: Sequence[str]) -> tuple[str, ...]:
    first = [
        text.split(",")[0].strip() or wnid
        for wnid, text in zip(wnids, words, strict=True)
    ]
    counts = collections.Counter(first)
    return tuple(
        f"{name} ({wnid})" if counts[name] > 1 else name
        for wnid, name in zip(wnids, first, strict=True)
    )


def _make_dataset(train: Split, test: Split, class_names: tuple[str, ...]) -> Dataset:
    return Dataset(
        name=_NAME,
        train=train,
        test=test,
        class_names=class_names,
        horizontal_flip=True,
    )
