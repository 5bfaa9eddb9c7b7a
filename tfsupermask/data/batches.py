"""Batches as pure functions of the seed and the epoch.

The images of any step can be read at any time, in any slices. So a resumed run gets the
batches of an undisturbed one, and workers that each take a part of every batch together
get those of one worker.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from tfsupermask import _core
from tfsupermask._validation import check_choice, check_integer, fail
from tfsupermask.data.dataset import Split

_ORDER_STREAM = 0
_AUGMENTATION_STREAM = 1
_CROP_STREAM = 2
CROPS = ("shift", "resized")
_AREAS, _RATIOS = (0.08, 1.0), (3 / 4, 4 / 3)


def epoch_order(num_images: int, seed: int, epoch: int) -> np.ndarray:
    """Returns the order in which an epoch visits the images, int64."""
    return _generator(seed, epoch, _ORDER_STREAM).permutation(num_images)


def epoch_augmentation(
    num_images: int, seed: int, epoch: int, padding: int, horizontal_flip: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns crops' first rows and columns, in ± padding, and which to mirror."""
    generator = _generator(seed, epoch, _AUGMENTATION_STREAM)
    rows, columns = generator.integers(
        -padding, padding + 1, size=(2, num_images), dtype=np.int32
    )
    flips = generator.integers(0, 2, size=num_images, dtype=np.uint8) == 1
    return rows, columns, flips & horizontal_flip


def epoch_crops(num_images: int, seed: int, epoch: int) -> np.ndarray:
    """Returns an epoch's resized crops as fractions, float64 (num_images, 4).

    They are height, width, and the place between top and bottom, left and right. The
    area is uniform in [8 %, 100 %], the logarithm of width / height in ± log(4 / 3);
    what is longer than the image is cut.
    """
    generator = _generator(seed, epoch, _CROP_STREAM)
    area = generator.uniform(*_AREAS, num_images)
    ratio = np.exp(generator.uniform(*np.log(_RATIOS), num_images))
    sides = np.minimum(1, np.sqrt([area / ratio, area * ratio]))
    return np.concatenate([sides, generator.random((2, num_images))]).T


def _generator(seed, epoch, stream):
    return np.random.Generator(
        np.random.Philox(np.random.SeedSequence([seed, epoch, stream]))
    )


class TrainBatches:
    """Shuffled, cropped and flipped batches of a split, epoch by epoch.

    Each pass visits the images in a new order; of an epoch, images after the last whole
    batch are dropped. An image is cropped at random and mirrored with probability one
    half.

    Args:
        split: The `Split` to draw from.
        batch_size: Number of images in a batch, over all workers; in [1, number of
            images in an epoch].
        seed: Non-negative integer.
        padding: Pixels, at least 0 and smaller than the images; usually
            `dataset.crop_padding`.
        horizontal_flip: Whether to mirror; usually `dataset.horizontal_flip`.
        crop: `"shift"` (default) pads an image with zeros (black, before any
            normalisation) and crops it to its own size. `"resized"` scales a part of 8
            to 100 % of its area, with sides from 3 : 4 to 4 : 3, to its own size.
        passes: How often an epoch visits each image, at least 1. Defaults to 1.

    Raises:
        InputError: A number is out of range.

    Example:
        >>> train = data.load("digits").train
        >>> batches = TrainBatches(train, 64, seed=0, padding=4, horizontal_flip=False)
        >>> batches.steps_per_epoch
        22
        >>> images, labels = batches.chunk(epoch=0, first_step=0, num_steps=5)
        >>> images.shape, labels.shape
        ((5, 64, 32, 32, 3), (5, 64))

    Reference:
        - Thesis §5.2, crop-4 and flip.
        - Szegedy et al., 2015, "Going deeper with convolutions", resized crops.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        seed: int,
        padding: int,
        horizontal_flip: bool,
        crop: str = CROPS[0],
        passes: int = 1,
    ):
        self.crop = check_choice("crop", crop, CROPS)
        self.batch_size = check_integer("batch_size", batch_size, 1)
        self.seed = check_integer("seed", seed)
        self.padding = check_integer("padding", padding)
        self.horizontal_flip = horizontal_flip
        self.passes = check_integer("passes", passes, 1)
        in_epoch = passes * len(split)
        if batch_size > in_epoch:
            raise fail(
                "`batch_size` must be at most the number of training images in an "
                "epoch.",
                batch_size=batch_size,
                num_images=in_epoch,
            )
        if padding >= min(split.images.shape[1:3]):
            raise fail(
                "`padding` must be smaller than the images.",
                padding=padding,
                image_shape=split.images.shape[1:],
            )
        self._images = split.images
        if isinstance(self._images, np.ndarray):
            self._images = np.ascontiguousarray(self._images)
        self._labels = split.labels
        self._cached_epoch = None

    @property
    def steps_per_epoch(self) -> int:
        """Number of whole batches in an epoch."""
        return self.passes * len(self._labels) // self.batch_size

    def chunk(
        self,
        epoch: int,
        first_step: int,
        num_steps: int,
        first_position: int = 0,
        num_positions: int | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns consecutive batches of an epoch, or the same part of each.

        Args:
            epoch: Non-negative integer.
            first_step: Integer in [0, steps_per_epoch).
            num_steps: Number of batches, at least 1, all within the epoch.
            first_position: First image of each batch to return, in [0, batch_size): the
                start of a worker's share. Defaults to 0.
            num_positions: Number of images of each batch to return, at least 1, all
                within the batch. Defaults to all from `first_position`.

        Returns:
            Images, uint8 (num_steps, num_positions, height, width, 3), and labels,
            int64 (num_steps, num_positions).

        Raises:
            InputError: A step or position is out of range.
        """
        epoch = check_integer("epoch", epoch)
        _check_range("step", first_step, num_steps, self.steps_per_epoch)
        least = 1 if num_positions is None else num_positions
        _check_range("position", first_position, least, self.batch_size)
        if num_positions is None:
            num_positions = self.batch_size - first_position
        order, augmentation = self._epoch(epoch)
        steps = np.arange(first_step, first_step + num_steps)[:, None]
        batch_positions = np.arange(first_position, first_position + num_positions)
        positions = (steps * self.batch_size + batch_positions).ravel()
        index = order[positions]
        images = self._augmented(index, *(each[positions] for each in augmentation))
        shape = (num_steps, num_positions)
        return (
            images.reshape(shape + images.shape[1:]),
            self._labels[index].reshape(shape),
        )

    def _epoch(self, epoch):
        # A single tuple is read and replaced at once, so threads may share the object.
        cached = self._cached_epoch
        if cached is None or cached[0] != epoch:
            first = epoch * self.passes
            passes = map(self._pass, range(first, first + self.passes))
            order, *augmentation = map(np.concatenate, zip(*passes, strict=True))
            self._cached_epoch = cached = (epoch, order, augmentation)
        return cached[1:]

    def _pass(self, number):
        """Returns the order of one pass through the images, flips, and crops."""
        of = len(self._labels), self.seed, number
        rows, columns, flips = epoch_augmentation(
            *of, self.padding, self.horizontal_flip
        )
        resized = self.crop == "resized"
        crops = (epoch_crops(*of),) if resized else (rows, columns)
        return epoch_order(*of), flips, *crops

    def _augmented(self, index, flips, *crops):
        whole, (height, width) = self._images, self._images.shape[1:3]
        if not isinstance(whole, np.ndarray):
            whole, index = whole[index], np.arange(len(index))
        if self.crop == "resized":
            with ThreadPoolExecutor(_core.hardware_threads()) as pool:
                images = np.stack(list(pool.map(_resized, whole[index], *crops)))
        else:
            images = _core.gather_patches(whole, index, *crops, height, width)
        images[flips] = images[flips, :, ::-1]
        return images


def _resized(image, crop):
    """Returns a part of an image, scaled to the size of the whole."""
    size = image.shape[:2]
    sides = np.maximum(1, np.rint(crop[:2] * size)).astype(int)
    top, left = np.rint(crop[2:] * (size - sides)).astype(int)
    part = image[top : top + sides[0], left : left + sides[1]]
    return cv2.resize(part, size[::-1], interpolation=cv2.INTER_LINEAR)


def eval_chunks(
    split: Split, batch_size: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Returns an iterator over a split, in order, in batches of one size.

    The last batch is filled up with black images with label 0 and weight 0, so that
    sums with the weights count every image exactly once.

    Args:
        split: The `Split`.
        batch_size: Number of images in a batch, at least 1.

    Returns:
        An iterator of images, uint8 (batch_size, height, width, 3), labels, int64
        (batch_size,), and weights, float32 (batch_size,): 1 for an image of the split
        and 0 for filling.

    Raises:
        InputError: `batch_size` is no such integer.

    Example:
        >>> for images, labels, weights in eval_chunks(data.load("digits").test, 256):
        ...     print(images.shape, int(weights.sum()))
        (256, 32, 32, 3) 256
        (256, 32, 32, 3) 108
    """
    batch_size = check_integer("batch_size", batch_size, 1)
    starts = range(0, len(split), batch_size)
    return (eval_rows(split, start, batch_size) for start in starts)


def eval_rows(
    split: Split, first: int, number: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns images, labels and weights from one on, filled up as by `eval_chunks`."""
    images = split.images[first : first + number]
    labels = split.labels[first : first + number]
    weights = np.ones(len(labels), np.float32)
    return tuple(_fill(array, number) for array in (images, labels, weights))


def _fill(array, length):
    """Returns an array with zeros appended up to a length along the first axis."""
    missing = length - len(array)
    return np.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1))


def _check_range(unit, first, number, limit):
    first_name, name = f"first_{unit}", f"num_{unit}s"
    if check_integer(first_name, first) >= limit:
        raise fail(f"`{first_name}` must be below {limit}.", **{first_name: first})
    if first + check_integer(name, number, 1) > limit:
        received = {first_name: first, name: number}
        raise fail(f"`{first_name}` + `{name}` must be at most {limit}.", **received)
