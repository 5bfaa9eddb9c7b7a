"""Datasets in memory, and batches of them."""

from __future__ import annotations

import functools
import os
from typing import Any

from tfsupermask._validation import check_choice, fail
from tfsupermask.data import digits, image_folder, tfds, tiny_imagenet
from tfsupermask.data.batches import TrainBatches, eval_chunks
from tfsupermask.data.dataset import DataNotFoundError, Dataset, Split
from tfsupermask.data.image_folder import BAD_IMAGES, TEST_FRACTION
from tfsupermask.data.images import decode_image
from tfsupermask.data.subsets import hold_out, limit

_LOADERS = {
    "digits": digits.load,
    "cifar10": functools.partial(tfds.load, "cifar10"),
    "cifar100": functools.partial(tfds.load, "cifar100"),
    "folder": image_folder.load,
    "tiny_imagenet": tiny_imagenet.load,
}

NAMES = tuple(_LOADERS)


def load(
    name: str,
    data_dir: str | os.PathLike | None = None,
    image_size: int | None = None,
    **options: Any,
) -> Dataset:
    """Returns a dataset by name.

    Args:
        name: One of `NAMES`: `"digits"`, `"cifar10"`, `"cifar100"`, `"folder"`,
            `"tiny_imagenet"`.
        data_dir: Folder of its files; a leading `~` is the user's home. The `load` of
            each dataset's module says what the default `None` means.
        image_size: Side of the images in pixels. For `"folder"` from 1 to 4,096, by
            default 64. The others accept only their own size, 64 for `"tiny_imagenet"`
            and 32 for the rest.
        **options: Of `"folder"` alone. `test_fraction` (0.2) is held out of folders
            without a test split; `flip` (`True`) lets training mirror images;
            `bad_images` (`"fail"`) may be `"skip"` to leave out files that cannot be
            read; `limit_images` is the number of training images to read (all).

    Returns:
        The `Dataset`.

    Raises:
        DataNotFoundError: The files are not there and cannot be downloaded.
        InputError: `name` is unknown, the files cannot be used, or the dataset does
            not come in `image_size`.

    Example:
        >>> dataset = load("digits")
        >>> dataset.train.images.shape, dataset.num_classes
        ((1433, 32, 32, 3), 10)
    """
    loader = _LOADERS[check_choice("name", name, NAMES)]
    if data_dir is not None:
        data_dir = os.path.expanduser(data_dir)
    if options and name != "folder":
        raise fail(f"The dataset {name!r} has no options.", **options)
    return loader(data_dir=data_dir, image_size=image_size, **options)


__all__ = [
    "BAD_IMAGES",
    "NAMES",
    "TEST_FRACTION",
    "DataNotFoundError",
    "Dataset",
    "Split",
    "TrainBatches",
    "decode_image",
    "eval_chunks",
    "hold_out",
    "limit",
    "load",
]
