"""A folder of the user's images, with a sub-folder for each class."""

from __future__ import annotations

import collections
import os
import pathlib
import tempfile
import warnings

import numpy as np

from tfsupermask._validation import (
    InputError,
    check_choice,
    check_integer,
    fail,
    listed,
)
from tfsupermask.data.dataset import Dataset, Split
from tfsupermask.data.folder_files import Files, list_files, list_images
from tfsupermask.data.images import UnreadableImageError, UnreadFileError, decode_square
from tfsupermask.data.storage import PLACES, Storage, decoded, file_states
from tfsupermask.data.stored import StoredImages, select
from tfsupermask.data.subsets import limit_split

TEST_FRACTION = 0.2
BAD_IMAGES = ("fail", "skip")
DEFAULT_IMAGE_SIZE = 64
_MAX_IMAGE_SIZE = 4096
_MAX_SHOWN = 100
_PASSING = "passing"  # behind what the system said about a file


def load(
    data_dir: str | os.PathLike | None,
    image_size: int | None,
    *,
    test_fraction: float = TEST_FRACTION,
    flip: bool = True,
    bad_images: str = BAD_IMAGES[0],
    limit_images: int | None = None,
    limit_test_images: int | None = None,
    storage: Storage,
) -> Dataset:
    """Returns the images of a folder in any of the layouts of docs/images.md.

    Classes are in the order of their names. One warning counts what was left out or
    converted.
    """
    if image_size is None:
        image_size = DEFAULT_IMAGE_SIZE
    _check_size(image_size)
    check_choice("bad_images", bad_images, BAD_IMAGES)
    root = _check_folder(data_dir)
    class_names, files, notes = list_files(root, test_fraction)
    limits = {"train": limit_images, "test": limit_test_images}
    skips = bad_images == "skip"  # reading says which images there are to limit
    if not skips:
        files = _limited(files, limits)
    read = _read(files, root, image_size, bad_images, storage, notes)
    splits = {
        name: Split(images, files[name].labels[good])
        for name, (images, good) in read.items()
    }
    gone = np.setdiff1d(files["train"].labels, splits["train"].labels)
    if gone.size:
        raise fail(
            "Every class needs an image to train on that can be read.",
            classes=[class_names[label] for label in gone],
        )
    _warn(root, notes)
    if skips:
        splits = _limited(splits, limits)
    return Dataset(
        name="folder", **splits, class_names=class_names, horizontal_flip=flip
    )


def _limited(images, limits):
    """Returns the splits' images, or files, no more than their limits."""
    limited = {
        split: limit_split(images[split], limit, "folder", split)
        for split, limit in limits.items()
        if limit is not None
    }
    return {**images, **limited}


def has_validation(data_dir: str | os.PathLike | None) -> bool:
    """Returns whether a folder has validation images beside its test images."""
    root = _check_folder(data_dir and os.path.expanduser(data_dir))
    return "validation" in list_files(root, TEST_FRACTION)[1]


def read_images(
    folder: str | os.PathLike,
    image_size: int,
    bad_images: str = BAD_IMAGES[0],
    images_in: str = PLACES[0],
    cache_dir: str | os.PathLike | None = None,
) -> np.ndarray | StoredImages:
    """Returns all images in a folder, at any depth, without labels.

    They are read and made square as those of `load`.

    Args:
        folder: The folder.
        image_size: Side of the images in pixels, 1 to 4,096.
        bad_images: "fail" (default) or "skip", as for `load`.
        images_in: "memory", "disk" or "auto", as for `tfsupermask.data.load`.
        cache_dir: Folder of files of decoded images, likewise.

    Returns:
        uint8 (n, image_size, image_size, 3), in the order of the files' paths.

    Raises:
        InputError: The folder does not exist or holds no image, an image cannot be
            read, or an argument is out of range.

    Example:
        >>> read_images("my_images", image_size=32).shape
        (120, 32, 32, 3)
    """
    _check_size(image_size)
    check_choice("bad_images", bad_images, BAD_IMAGES)
    root = _check_folder(folder, "folder")
    paths, notes = list_images(root)
    if not paths:
        raise fail("The folder must hold images.", folder=str(root))
    storage = Storage(images_in, cache_dir)
    files = {"": Files(paths, np.zeros(len(paths), int))}
    images, good = _read(files, root, image_size, bad_images, storage, notes)[""]
    if not good.any():
        raise fail("The folder must hold images that can be read.", folder=str(root))
    _warn(root, notes)
    return images


def _check_size(image_size):
    if check_integer("image_size", image_size, 1) > _MAX_IMAGE_SIZE:
        raise fail(
            f"`image_size` must be at most {_MAX_IMAGE_SIZE}.", image_size=image_size
        )


def _warn(root, notes):
    if notes:
        warnings.warn(f"{str(root)!r}: {'; '.join(notes)}.", stacklevel=4)


def _check_folder(data_dir, name="data_dir"):
    if data_dir is None:
        raise fail(
            "The dataset 'folder' needs `data_dir`, the folder of the images.",
            data_dir=data_dir,
        )
    root = pathlib.Path(data_dir)
    if not root.is_dir():
        state = "is not a folder" if root.exists() else "does not exist"
        raise fail(f"The folder of images {state}.", **{name: str(data_dir)})
    return root


def _read(splits, root, image_size, bad_images, storage, notes):
    """Decodes all files; returns the good ones by split, and which of all they are.

    The notes get what was converted or skipped.
    """
    read, converted, bad = {}, collections.Counter(), {}
    for name, files in splits.items():
        images, results = _decode(files.paths, image_size, storage)
        kinds, reasons = zip(*(value[:2] for value in results), strict=True)
        converted.update(filter(None, kinds))
        bad |= {p: why for p, why in zip(files.paths, reasons, strict=True) if why}
        good = np.array([not why for why in reasons], bool)
        if not good.all():
            images = select(images, good)
        read[name] = images, good
    if converted:
        kinds = ", ".join(f"{n:,} {kind}" for kind, n in converted.most_common())
        notes.append(f"converted to 8-bit RGB: {kinds}")
    if bad:
        found = _describe_bad(bad, root, sum(map(len, splits.values())))
        if bad_images == "fail":
            raise InputError(
                f"{str(root)!r}: {found}. `bad_images` 'skip' (--bad_images=skip) "
                "leaves them out."
            )
        notes.append(f"skipped: {found}")
    return read


def _decode(paths, image_size, storage):
    """Returns the images; what each was converted from, and why it cannot be read."""

    def decode(path):
        try:
            image, kind = decode_square(path, image_size)
        except UnreadFileError as error:
            return None, ["", str(error), _PASSING]
        except UnreadableImageError as error:
            return None, ["", str(error)]
        return image, [kind, ""]

    shape = (image_size, image_size, 3)
    return storage.hold(
        (len(paths), *shape),
        lambda: decoded(paths, shape, decode),
        ["folder", file_states(paths)],
        lasts=lambda value: value[-1] != _PASSING,
    )


def _describe_bad(bad, root, number):
    """Returns a sentence about files that cannot be read, and lists them in a file."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="bad_images-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        for path, why in bad.items():
            file.write(f"{path if path.isprintable() else ascii(path)}\t{why}\n")
    shown = [
        f"{os.path.relpath(path, root)[-_MAX_SHOWN:]!r} ({why})"
        for path, why in bad.items()
    ]
    return (
        f"{len(bad)} of {number} image files cannot be read, all listed in "
        f"{file.name!r}: {listed(shown)}"
    )
