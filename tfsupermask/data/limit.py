"""Training on a part of the images."""

from __future__ import annotations

import dataclasses

import numpy as np

from tfsupermask._validation import check_integer, fail
from tfsupermask.data.dataset import Dataset, Split


def limit(dataset: Dataset, limit_images: int) -> Dataset:
    """Returns a dataset with so many of the training images only.

    The first image of each class comes before the second of any, so that the classes
    are as large as each other as far as that goes.

    Args:
        dataset: the images; those to test on all stay.
        limit_images: integer in [1, number of training images].

    Returns:
        The `Dataset`, its training images in the order that they had.

    Raises:
        InputError: if `limit_images` is out of its range.

    Example:
        >>> dataset = data.load("digits")
        >>> part = limit(dataset, 25)
        >>> np.bincount(part.train.labels), len(part.test) == len(dataset.test)
        (array([3, 3, 3, 3, 3, 2, 2, 2, 2, 2]), True)
    """
    train = dataset.train
    if check_integer("limit_images", limit_images, 1) > len(train):
        raise fail(
            f"`limit_images` must be at most the {len(train)} training images of "
            f"{dataset.name}.",
            limit_images=limit_images,
        )
    by_class = np.argsort(train.labels, kind="stable")
    rank = np.concatenate([np.arange(n) for n in np.bincount(train.labels)])
    first = by_class[np.argsort(rank, kind="stable")][:limit_images]
    kept = np.sort(first)
    return dataclasses.replace(
        dataset, train=Split(train.images[kept], train.labels[kept])
    )
