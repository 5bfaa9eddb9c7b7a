"""Datasets, in memory or in files, and batches of them."""

from __future__ import annotations

import functools
import os
from typing import Any

from tfsupermask._validation import check_choice, check_fraction, fail
from tfsupermask.data import digits, given, image_folder, tfds, tiny_imagenet
from tfsupermask.data.batches import CROPS, TrainBatches, eval_chunks
from tfsupermask.data.dataset import DataNotFoundError, Dataset, Split
from tfsupermask.data.given import from_examples
from tfsupermask.data.image_folder import BAD_IMAGES, TEST_FRACTION, read_images
from tfsupermask.data.images import decode_image
from tfsupermask.data.storage import PLACES, Storage
from tfsupermask.data.subsets import hold_out, limit

_LOADERS = {
    "digits": digits.load,
    "cifar10": functools.partial(tfds.load, "cifar10"),
    "cifar100": functools.partial(tfds.load, "cifar100"),
    "folder": image_folder.load,
    "tiny_imagenet": tiny_imagenet.load,
    given.NAME: given.load,
}
_FOR_ANY = ("test_fraction", "flip")
_OPTIONS = {
    "folder": (*_FOR_ANY, "bad_images", "limit_images", "limit_test_images"),
    tfds.PREFIX: (*_FOR_ANY, "train_split", "test_split"),
}

NAMES = tuple(name for name in _LOADERS if name != given.NAME)


def load(
    name: str,
    data_dir: str | os.PathLike | None = None,
    image_size: int | None = None,
    *,
    images_in: str = "auto",
    cache_dir: str | os.PathLike | None = None,
    **options: Any,
) -> Dataset:
    """Returns a dataset by name.

    Args:
        name: One of `NAMES`: `"digits"`, `"cifar10"`, `"cifar100"`, `"tiny_imagenet"`,
            `"folder"` for files of one's own, in the layouts of docs/images.md; or
            `"tfds:NAME[/CONFIG][:VERSION]"`, any dataset of TensorFlow Datasets with
            images and class labels.
        data_dir: Folder of its files; a leading `~` is the user's home. For `"folder"`
            it is required, for `"digits"` ignored. Defaults to that of TensorFlow
            Datasets, where missing files are downloaded: `$TFDS_DATA_DIR` or
            `~/tensorflow_datasets`.
        image_size: Side of the images in pixels. For `"folder"` from 1 to 4,096, by
            default 64; for `"tfds:…"` by default the images' own if all are equal
            squares, 224 for imagenet2012, else 64. The others accept only their own
            size, 64 for `"tiny_imagenet"` and 32 for the rest.
        images_in: `"memory"`; `"disk"`, where they are decoded once, to a file that
            later runs use again; or `"auto"` (default): disk if they take more than
            half of the free memory.
        cache_dir: Folder of such files. Defaults to `tfsupermask` in
            `$XDG_CACHE_HOME` or `~/.cache`.
        **options: Of `"folder"` and `"tfds:…"` alone. `test_fraction` (0.2) is held out
            without a test split; `flip` (`True`) lets training mirror images. Of
            `"folder"`: `bad_images` (`"fail"`) may be `"skip"` to leave out files that
            cannot be read; `limit_images` and `limit_test_images` are the numbers of
            training and test images to read (all). Of `"tfds:…"`: `train_split` and
            `test_split`, such as `"train[:90%]"`.

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
    check_name("name", name)
    if data_dir is not None:
        data_dir = os.path.expanduser(data_dir)
    wrong = sorted(options.keys() - options_of(name))
    if wrong:
        raise fail(
            f"The dataset {name!r} has no such options.",
            **{option: options[option] for option in wrong},
        )
    check_fraction("test_fraction", options.get("test_fraction", TEST_FRACTION))
    check_choice("flip", options.get("flip", True), (False, True))
    loader = _LOADERS.get(name) or functools.partial(
        tfds.load, name.removeprefix(tfds.PREFIX)
    )
    storage = Storage(images_in, cache_dir)
    return loader(data_dir=data_dir, image_size=image_size, storage=storage, **options)


def is_name(value: Any) -> bool:
    """Returns whether `load` knows a value, or it has the form of a name of TFDS."""
    return isinstance(value, str) and (
        value in _LOADERS or bool(tfds.NAME.fullmatch(value))
    )


def check_name(name: str, value: Any) -> str:
    """Returns `value`, which must be the name of a dataset."""
    if not is_name(value):
        raise fail(
            f"`{name}` must be one of {', '.join(map(repr, NAMES))}, or "
            f"'{tfds.PREFIX}NAME[/CONFIG][:VERSION]'.",
            **{name: value},
        )
    return value


def options_of(name: str) -> tuple[str, ...]:
    """Returns the options of `load` that a dataset has beside those of all."""
    return _OPTIONS.get(tfds.PREFIX if name.startswith(tfds.PREFIX) else name, ())


__all__ = [
    "BAD_IMAGES",
    "CROPS",
    "NAMES",
    "PLACES",
    "TEST_FRACTION",
    "DataNotFoundError",
    "Dataset",
    "Split",
    "TrainBatches",
    "decode_image",
    "eval_chunks",
    "from_examples",
    "hold_out",
    "limit",
    "load",
    "read_images",
]
