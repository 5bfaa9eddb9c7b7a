"""Limits the training images, and holds some of them out."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from tfsupermask._balance import class_balanced_order
from tfsupermask._validation import check_integer, fail
from tfsupermask.data.dataset import Dataset


def limit(dataset: Dataset, limit_images: int, split: str = "train") -> Dataset:
    """Returns a dataset with a part of the training images, or of the test images.

    The first image of each class is taken before the second of any, so that the classes
    get equal numbers as far as possible.

    Args:
        dataset: The images. Those of the other splits all stay.
        limit_images: In [1, number of images in the split].
        split: `"train"` (default) or `"test"`.

    Returns:
        The `Dataset`, with the images in their old order.

    Raises:
        InputError: `limit_images` is out of its range.

    Example:
        >>> dataset = data.load("digits")
        >>> part = limit(dataset, 25)
        >>> np.bincount(part.train.labels), len(part.test) == len(dataset.test)
        (array([3, 3, 3, 3, 3, 2, 2, 2, 2, 2]), True)
    """
    part = limit_split(getattr(dataset, split), limit_images, dataset.name, split)
    return dataclasses.replace(dataset, **{split: part})


def limit_split(images: Any, limit_images: int, name: str, split: str) -> Any:
    """Returns a part of whatever has labels, a length and takes an array of indices."""
    argument, kind = {
        "train": ("limit_images", "training"),
        "test": ("limit_test_images", "test"),
    }[split]
    if check_integer(argument, limit_images, 1) > len(images):
        raise fail(
            f"`{argument}` must be at most the {len(images)} {kind} images of {name}.",
            **{argument: limit_images},
        )
    return images[np.sort(class_balanced_order(images.labels, None)[:limit_images])]


def hold_out(dataset: Dataset, validation_images: int) -> Dataset:
    """Returns a dataset with a part of the training images as its validation images.

    They are taken from the end of each class, as `limit` takes from the beginning. The
    first of each class stays.

    Args:
        dataset: The images.
        validation_images: In [1, number of training images less one a class], how many
            to hold out.

    Returns:
        The `Dataset`, with the images in their old order.

    Raises:
        InputError: `validation_images` is out of its range.

    Example:
        >>> dataset = data.load("digits")
        >>> part = hold_out(dataset, 100)
        >>> len(dataset.train), len(part.train), len(part.validation)
        (1433, 1333, 100)
    """
    train = dataset.train
    stay = np.unique(train.labels, return_index=True)[1]
    if check_integer("validation_images", validation_images, 1) > len(train) - len(
        stay
    ):
        raise fail(
            f"`validation_images` must leave one of the {len(train)} training images "
            f"of {dataset.name} for each of {len(stay)} classes.",
            validation_images=validation_images,
        )
    backwards = len(train) - 1 - class_balanced_order(train.labels[::-1], None)
    backwards = np.append(backwards[~np.isin(backwards, stay)], stay)
    held, kept = np.split(backwards, [validation_images])
    return dataclasses.replace(
        dataset, train=train[np.sort(kept)], validation=train[np.sort(held)]
    )
