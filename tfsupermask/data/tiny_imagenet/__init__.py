"""Tiny-ImageNet-200, from its archive or downloaded once by TensorFlow Datasets."""

from __future__ import annotations

import collections
import os

import numpy as np

from tfsupermask.data import tfds as tfds_lib
from tfsupermask.data.dataset import Dataset, Split, check_fixed_size
from tfsupermask.data.storage import Storage, decoded
from tfsupermask.data.tiny_imagenet import archive as archive_lib
from tfsupermask.data.tiny_imagenet.members import IMAGE_SHAPE, IMAGE_SIZE, decode_image

_NAME = "tiny_imagenet"


def load(
    data_dir: str | os.PathLike | None, image_size: int | None, *, storage: Storage
) -> Dataset:
    """Returns Tiny-ImageNet-200, with its official validation split as the test split.

    It is read from the archive `tiny-imagenet-200.zip`, or else from the extracted
    folder `tiny-imagenet-200`; `data_dir` holds one or is it. If both are missing,
    TensorFlow Datasets downloads and prepares it once, see `tfsupermask.data.tfds`. All
    three give the same arrays: class by class, in the order of the files' numbers.

    A copy may hold a part of the images; one warning counts and names all its faults.
    Classes keep their official index even without images. A class is named by the first
    of its words, with the WordNet identifier if two classes share this word. The
    archive's test images have no labels and are not used.

    Reference:
        - Le & Yang, 2015, "Tiny ImageNet visual recognition challenge".
    """
    check_fixed_size(_NAME, image_size, IMAGE_SIZE)
    path = archive_lib.find_archive(tfds_lib.resolve_root(data_dir))
    if path is None:
        return _read_prepared(data_dir, storage)
    with archive_lib.open_archive(path) as archive:
        images = archive.read_images(storage)
    splits = {
        name: Split(images[name], np.array([each.label for each in examples], np.int64))
        for name, examples in archive.examples.items()
    }
    return _dataset(splits, archive.wnids, archive.words)


def _read_prepared(data_dir, storage):
    from tfsupermask.data.tiny_imagenet import tiny_imagenet_dataset_builder  # noqa: F401

    alternatives = (archive_lib.ZIP_NAME, archive_lib.FOLDER_NAME)
    builder = tfds_lib.prepared(_NAME, data_dir, alternatives)
    splits = {
        name: _read_split(builder, name, storage) for name in ("train", "validation")
    }
    with tfds_lib.explaining_damage(_NAME, builder.data_dir):
        info = builder.info
        return _dataset(splits, info.features["label"].names, info.metadata["words"])


def _read_split(builder, split, storage):
    encoded, labels, names = zip(
        *tfds_lib.examples(builder, split, ("image", "label", "file_name")), strict=True
    )
    numbers = [archive_lib.image_number(name.decode()) for name in names]
    order = np.lexsort((numbers, labels))
    images, _ = storage.hold(
        (len(order), *IMAGE_SHAPE),
        lambda: decoded(order, IMAGE_SHAPE, lambda i: (decode_image(encoded[i]), "")),
        [tfds_lib.state(builder), split],
    )
    return Split(images, np.array(labels, np.int64)[order])


def _dataset(splits, wnids, words):
    names = [
        text.split(",")[0].strip() or wnid
        for wnid, text in zip(wnids, words, strict=True)
    ]
    counts = collections.Counter(names)
    return Dataset(
        name=_NAME,
        train=splits["train"],
        test=splits["validation"],
        class_names=tuple(
            f"{name} ({wnid})" if counts[name] > 1 else name
            for wnid, name in zip(wnids, names, strict=True)
        ),
        horizontal_flip=True,
    )
