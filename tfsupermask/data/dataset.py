"""A loaded dataset: images, labels, class names and statistics."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from typing import Any

import numpy as np

from tfsupermask._reading import check_names
from tfsupermask._validation import InputError, check_integer, fail
from tfsupermask.data.stored import StoredImages, images_per_block, select


class DataNotFoundError(InputError):
    """The dataset is not on this machine and could not be downloaded."""


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Images and their labels.

    Args:
        images: uint8 (n, height, width, 3), RGB: an array, or `StoredImages`.
        labels: int64 (n,), the index of each image's class.

    Raises:
        InputError: A shape or a dtype is another.

    Example:
        >>> split = Split(np.zeros((2, 32, 32, 3), np.uint8), np.array([3, 8]))
        >>> len(split)
        2
    """

    images: np.ndarray | StoredImages
    labels: np.ndarray

    def __post_init__(self):
        images, labels = self.images, self.labels
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
            raise fail(
                "`images` must be a uint8 array of shape (n, height, width, 3).",
                dtype=str(images.dtype),
                shape=images.shape,
            )
        if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
            raise fail(
                "`labels` must be an int64 array with one label an image, "
                f"here of shape ({len(images)},).",
                dtype=str(labels.dtype),
                shape=labels.shape,
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, indices: np.ndarray | slice) -> Split:
        return Split(select(self.images, indices), self.labels[indices])


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """A classification dataset.

    Args:
        name: Its name in `tfsupermask.data.load`.
        train: Training images. The statistics are computed over them.
        test: Test images, of the same size.
        class_names: The name of each class, in the order of the labels, without control
            characters.
        horizontal_flip: Whether a mirrored image still belongs to its class, so that
            training may mirror it. False for digits.
        validation: Images held out of the training images, for choices between
            settings. Defaults to `None`: there are none.
        unlabelled: Images from which patterns come, in place of the training images,
            of their shape. Defaults to `None`: there are none.

    Raises:
        InputError: A split is empty or has another image shape or, like unlabelled
            images, another dtype, a label has no class name, or a name has control
            characters.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (10, 8, 8, 3), np.uint8)
        >>> split = Split(images, np.arange(10) % 2)
        >>> mine = Dataset("mine", split, split, ("cat", "dog"), horizontal_flip=True)
        >>> f"{mine.normalise(images).std():.3f}"
        '1.000'
    """

    name: str
    train: Split
    test: Split
    class_names: tuple[str, ...]
    horizontal_flip: bool
    validation: Split | None = None
    unlabelled: np.ndarray | StoredImages | None = None

    def __post_init__(self):
        names = check_names("class_names", self.class_names)
        object.__setattr__(self, "class_names", names)  # a list, too, becomes a tuple
        splits = self._splits()
        if self.unlabelled is not None:
            splits["unlabelled"] = self.patterns_from
        if not all(map(len, splits.values())):
            raise fail(
                f"{self.name} must have images in every split.",
                **{f"{name}_images": len(split) for name, split in splits.items()},
            )
        shapes = {name: split.images.shape[1:] for name, split in splits.items()}
        if len(set(shapes.values())) > 1:
            raise fail(
                f"{self.name} must have images of one shape.",
                **{f"{name}_shape": shape for name, shape in shapes.items()},
            )
        labels = np.concatenate([split.labels for split in splits.values()])
        if labels.min() < 0 or labels.max() >= self.num_classes:
            raise fail(
                f"{self.name} has {self.num_classes} classes, so its labels must be "
                f"in [0, {self.num_classes}).",
                smallest=int(labels.min()),
                largest=int(labels.max()),
            )

    def _splits(self):
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in splits.items() if split is not None}

    def normalise(self, images: np.ndarray) -> np.ndarray:
        """Returns the input of networks: float32 (images / 255 - mean) / std."""
        return normalise(np.float32(images), self.mean, self.std)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Shape of one image: (height, width, 3)."""
        return self.train.images.shape[1:]

    @property
    def patterns_from(self) -> Split:
        """The images that patterns come from; if unlabelled, all of one class."""
        if self.unlabelled is None:
            return self.train
        return Split(self.unlabelled, np.zeros(len(self.unlabelled), np.int64))

    @property
    def num_classes(self) -> int:
        """Number of classes, also of those without images."""
        return len(self.class_names)

    @property
    def crop_padding(self) -> int:
        """Pixels of padding for random crops: an eighth of the side, 4 at 32."""
        return min(self.image_shape[:2]) // 8

    @property
    def mean(self) -> np.ndarray:
        """Mean of the training images, float32 (3,), in 0..1 intensity."""
        return np.float32(self._facts["mean"])

    @property
    def std(self) -> np.ndarray:
        """Standard deviation, float32 (3,), in 0..1; 1 for a constant channel."""
        return np.float32(self._facts["std"])

    @functools.cached_property
    def sha256(self) -> str:
        """SHA-256 of class names, images and labels, in hexadecimal."""
        if self.unlabelled is None:
            return self._facts["sha256"]
        digest = hashlib.sha256(self._facts["sha256"].encode())
        for some in _blocks(self.unlabelled):
            digest.update(np.ascontiguousarray(some))
        return digest.hexdigest()

    @functools.cached_property
    def _facts(self) -> dict[str, Any]:
        """What one pass over all images finds; it is kept if they are in a file."""
        splits = self._splits().values()
        if not all(isinstance(split.images, StoredImages) for split in splits):
            return self._pass()
        digest = hashlib.sha256(json.dumps(self.class_names).encode())
        for split in splits:
            digest.update(split.images.identity.encode())
            digest.update(np.ascontiguousarray(split.labels))
        key = digest.hexdigest()[:16]
        return self.train.images.remember(key, self._pass)

    def _pass(self):
        digest = hashlib.sha256(json.dumps(self.class_names).encode())
        histograms = np.zeros((3, 256), np.int64)
        for split in self._splits().values():
            for some in _blocks(split.images):
                digest.update(np.ascontiguousarray(some))
                if split is self.train:
                    for channel, counts in enumerate(histograms):
                        counts += np.bincount(some[..., channel].ravel(), minlength=256)
            digest.update(np.ascontiguousarray(split.labels))
        mean, std = _statistics(histograms.tolist())
        return {"sha256": digest.hexdigest(), "mean": mean, "std": std}


def _blocks(images):
    """Yields images a few at a time, as bincount's int64 copies are large."""
    number = images_per_block(images.shape[1:])
    for start in range(0, len(images), number):
        yield images[start : start + number]


def normalise(images: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Returns the input of networks, for float32 images in 0..255."""
    return (images / np.float32(255) - mean) / std


def check_fixed_size(name: str, image_size: int | None, fixed: int) -> None:
    """Raises if `image_size` is not the size of the dataset's images."""
    if image_size is not None and check_integer("image_size", image_size) != fixed:
        raise fail(
            f"The images of {name} are {fixed}×{fixed}; leave `image_size` out.",
            image_size=image_size,
        )


def _statistics(histograms: list[list[int]]) -> tuple[list[float], list[float]]:
    """Returns mean and standard deviation of each channel, in 0..1 intensity."""
    # Sums of Python integers are exact, and so equal on every machine.
    means, deviations = [], []
    for counts in histograms:
        number = sum(counts)
        total = sum(value * count for value, count in enumerate(counts))
        squares = sum(value**2 * count for value, count in enumerate(counts))
        spread = number * squares - total**2
        means.append(total / (255 * number))
        deviations.append(spread**0.5 / (255 * number) if spread else 1.0)
    return means, deviations
