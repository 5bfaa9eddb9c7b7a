"""A folder of the user's images, with a sub-folder for each class."""

from __future__ import annotations

import concurrent.futures
import hashlib
import logging
import os
import pathlib

import numpy as np

from tfsupermask._reading import check_names
from tfsupermask._validation import InputError, check_integer, fail, listed
from tfsupermask.data import images as images_lib
from tfsupermask.data.dataset import Dataset, Split

_EXTENSIONS = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_TEST_NAMES = ("test", "val", "validation")
_TEST_FRACTION = 0.2
_DEFAULT_IMAGE_SIZE = 64
_MAX_IMAGE_SIZE = 4096

_logger = logging.getLogger(__name__)

_Files = dict[str, list[pathlib.Path]]  # The image files of each class.


def load(
    data_dir: str | os.PathLike | None = None, image_size: int | None = None
) -> Dataset:
    """Returns the images of a folder as a dataset.

    `data_dir` holds either `train/<class>/*` and `test/<class>/*` (or `val`, or
    `validation`; the first of the three that exists is the test split), or
    `<class>/*` alone. In the second case a fifth of each class, at least one image, is
    held out as the test split; the choice depends only on the files' names. Classes are
    in the order of their names. `tfsupermask.data.decode_image` makes every image
    square.

    Args:
        data_dir: The folder; it is required. Image files end in .bmp, .jpeg, .jpg,
            .png, .tif, .tiff or .webp, in upper or lower case. Hidden and other files,
            pipes and devices are ignored. Links are followed.
        image_size: Side of the images in pixels, 1 to 4,096. Defaults to 64.

    Raises:
        InputError: The folder does not exist, has another layout or fewer than two
            classes, a class name has control characters, an image file is unreadable
            or not 8-bit RGB, or `image_size` is out of range.

    Example:
        >>> dataset = data.load("folder", data_dir="my_images", image_size=96)
        >>> dataset.class_names, dataset.image_shape
        (('circle', 'cross', 'square'), (96, 96, 3))
    """
    if image_size is None:
        image_size = _DEFAULT_IMAGE_SIZE
    if check_integer("image_size", image_size, 1) > _MAX_IMAGE_SIZE:
        raise fail(
            f"`image_size` must be at most {_MAX_IMAGE_SIZE}.", image_size=image_size
        )
    train, test = _find_splits(_check_folder(data_dir))
    train_split, test_split = _read_splits([train, test], image_size)
    return Dataset(
        name="folder",
        train=train_split,
        test=test_split,
        class_names=tuple(train),
        horizontal_flip=True,
    )


def _check_folder(data_dir):
    if data_dir is None:
        raise fail(
            "The dataset 'folder' needs `data_dir`, the folder of the images.",
            data_dir=data_dir,
        )
    root = pathlib.Path(data_dir)
    if not root.is_dir():
        state = "is not a folder" if root.exists() else "does not exist"
        raise fail(f"The folder of images {state}.", data_dir=str(data_dir))
    return root


def _find_splits(root: pathlib.Path) -> tuple[_Files, _Files]:
    """Returns the files of the training and the test split, for either layout."""
    has_train = (root / "train").is_dir()
    test_names = [name for name in _TEST_NAMES if (root / name).is_dir()]
    if not has_train and not test_names:
        return _hold_out(_find_classes(root))
    if not has_train or not test_names:
        there = "train" if has_train else test_names[0]
        missing = "'test', 'val' or 'validation'" if has_train else "'train'"
        raise fail(
            f"A folder that holds {there!r} must also hold {missing}.",
            data_dir=str(root),
        )
    train, test = _find_classes(root / "train"), _find_classes(root / test_names[0])
    if train.keys() != test.keys():
        raise fail(
            f"'train' and {test_names[0]!r} must hold the same classes.",
            data_dir=str(root),
            only_in_train=sorted(train.keys() - test.keys()),
            only_in_test=sorted(test.keys() - train.keys()),
        )
    return train, test


def _find_classes(folder: pathlib.Path) -> _Files:
    """Returns the image files of each class folder in `folder`, sorted by name."""
    classes = sorted(
        path.name
        for path in folder.iterdir()
        if path.is_dir() and not path.name.startswith(".")
    )
    if len(classes) < 2:
        raise fail(
            f"{str(folder)!r} must hold one sub-folder of images a class, and at least "
            "two classes.",
            classes=classes,
        )
    check_names("classes", classes)
    entries = {name: sorted((folder / name).iterdir()) for name in classes}
    files = {name: [p for p in entries[name] if _is_image(p)] for name in classes}
    empty = [name for name in classes if not files[name]]
    if empty:
        raise fail(
            f"Every class folder in {str(folder)!r} must hold an image file (one of "
            f"{', '.join(_EXTENSIONS)}).",
            classes_without_images=empty,
        )
    ignored = sum(len(entries[name]) - len(files[name]) for name in classes)
    if ignored:
        _logger.info("Ignored %d hidden or non-image files in %s.", ignored, folder)
    return files


def _is_image(path):
    return (
        path.suffix.lower() in _EXTENSIONS
        and not path.name.startswith(".")
        and path.is_file()
    )


def _hold_out(files: _Files) -> tuple[_Files, _Files]:
    """Divides each class into train and test by the hashes of its files' names."""
    single = [name for name, paths in files.items() if len(paths) < 2]
    if single:
        raise fail(
            "Every class needs at least 2 images, one to train on and one to test on.",
            classes_with_one_image=single,
        )
    train, test = {}, {}
    for name, paths in files.items():
        num_test = max(1, round(_TEST_FRACTION * len(paths)))
        held_out = set(sorted(paths, key=_hash_name)[:num_test])
        train[name] = [path for path in paths if path not in held_out]
        test[name] = [path for path in paths if path in held_out]
    return train, test


def _hash_name(path):
    relative = f"{path.parent.name}/{path.name}"
    return hashlib.sha256(os.fsencode(relative)).digest()


def _read_splits(splits: list[_Files], image_size: int) -> list[Split]:
    """Decodes all files of all splits, or raises one error about all bad ones."""
    paths = [path for files in splits for group in files.values() for path in group]
    try:
        images = np.empty((len(paths), image_size, image_size, 3), np.uint8)
    except MemoryError as error:
        raise fail(
            "The images must fit into memory.", images=len(paths), image_size=image_size
        ) from error

    def decode(index):
        try:
            images[index] = images_lib.decode_checked_image(paths[index], image_size)
        except InputError as error:
            return paths[index], error
        return None

    with images_lib.quiet_opencv(), concurrent.futures.ThreadPoolExecutor() as pool:
        failed = list(filter(None, pool.map(decode, range(len(paths)))))
    if failed:
        raise InputError(_describe_failures(failed, len(paths)))

    labels = [_labels(files) for files in splits]
    ends = np.cumsum([*map(len, labels)])[:-1]
    return [Split(*pair) for pair in zip(np.split(images, ends), labels, strict=True)]


def _labels(files):
    return np.repeat(np.arange(len(files)), [len(paths) for paths in files.values()])


def _describe_failures(failed, number):
    """Returns a sentence about unreadable files, and one about other formats."""
    unreadable, other_format, reasons = [], [], []
    for path, error in failed:
        if isinstance(error, images_lib.ImageFormatError):
            other_format.append(f"{str(path)!r} ({error.found})")
        else:
            unreadable.append(repr(str(path)))
            reasons.append(str(error))
    sentences = []
    if unreadable:
        sentences.append(
            f"{len(unreadable)} of {number} image files are empty or cannot be "
            f"decoded: {listed(unreadable)}; {min(reasons)}"
        )
    if other_format:
        sentences.append(
            f"{len(other_format)} of {number} images are not 8-bit RGB: "
            f"{listed(other_format)}; {images_lib.EXPECTED_FORMAT}."
        )
    return " ".join(sentences)
