"""scikit-learn's handwritten digits: real images that need no download."""

from __future__ import annotations

import os

import numpy as np

from tfsupermask.data.dataset import Dataset, Split, check_fixed_size
from tfsupermask.data.images import as_square
from tfsupermask.data.storage import Storage

_IMAGE_SIZE = 32
_LARGEST_VALUE = 16
_TEST_EVERY = 5


def load(
    data_dir: str | os.PathLike | None, image_size: int | None, *, storage: Storage
) -> Dataset:
    """Returns 1,797 handwritten digits of ten classes, as 32×32 RGB images.

    scikit-learn's grey 8×8 images are stretched from 0..16 to 0..255, enlarged, and
    repeated in the three channels. Every fifth image of a class, in the order of the
    release, is a test image: 80 % train, 20 % test, always the same.

    Reference:
        - `sklearn.datasets.load_digits`, the test set of "Optical recognition of
          handwritten digits", Alpaydin & Kaynak, 1998, UCI machine learning repository.
    """
    del data_dir
    check_fixed_size("digits", image_size, _IMAGE_SIZE)
    from sklearn.datasets import load_digits  # Slow to import.

    digits = load_digits()
    labels = digits.target.astype(np.int64)
    grey = np.rint(digits.images * (255 / _LARGEST_VALUE)).astype(np.uint8)
    images = np.stack([as_square(image, _IMAGE_SIZE) for image in grey])
    is_test = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        is_test[np.flatnonzero(labels == label)[::_TEST_EVERY]] = True
    held, _ = storage.hold(images.shape, lambda: iter([(images, [])]), "digits")
    digits_of = Split(held, labels)
    return Dataset(
        name="digits",
        train=digits_of[~is_test],
        test=digits_of[is_test],
        class_names=tuple(map(str, digits.target_names)),
        horizontal_flip=False,
    )
