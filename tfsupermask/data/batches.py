"""Batches as pure functions of the seed and the epoch.

Nothing here keeps a state that matters: the images of any step of any epoch can be
asked for at any time, in any order and in any slices. So a run that resumes sees the
batches it would have seen, and workers that each take a part of every batch see
together what one worker would.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from tfsupermask import _core
from tfsupermask._validation import check_integer, fail
from tfsupermask.data.dataset import Split

_ORDER_STREAM = 0
_AUGMENTATION_STREAM = 1


def epoch_order(num_images: int, seed: int, epoch: int) -> np.ndarray:
    """Returns the order in which an epoch visits the images.

    Args:
        num_images: integer of at least 0.
        seed: integer of at least 0, the run's.
        epoch: integer of at least 0.

    Returns:
        int64 array of shape `[num_images]`, a permutation.

    Raises:
        InputError: if an argument is not such an integer.

    Example:
        >>> order = epoch_order(50_000, seed=0, epoch=3)
        >>> len(order), bool((order == epoch_order(50_000, seed=0, epoch=4)).all())
        (50000, False)
    """
    num_images = check_integer("num_images", num_images)
    return _generator(seed, epoch, _ORDER_STREAM).permutation(num_images)


@dataclasses.dataclass(frozen=True, eq=False)
class Augmentation:
    """The random crops and flips of one epoch, by position in the epoch.

    Args:
        rows: int32 array of shape `[n]`, the crop's first row relative to the image:
            in [-padding, padding], negative where it starts in the padding.
        columns: int32 array of shape `[n]`, likewise.
        flips: bool array of shape `[n]`, whether the crop is then mirrored.

    Example:
        >>> augmentation = Augmentation.draw(
        ...     50_000, seed=0, epoch=3, padding=4, horizontal_flip=True
        ... )
        >>> int(augmentation.rows.min()), int(augmentation.rows.max())
        (-4, 4)
    """

    rows: np.ndarray
    columns: np.ndarray
    flips: np.ndarray

    @classmethod
    def draw(
        cls,
        num_images: int,
        seed: int,
        epoch: int,
        padding: int,
        horizontal_flip: bool,
    ) -> Augmentation:
        """Returns the augmentation of an epoch, a pure function of the arguments.

        Args:
            num_images: integer of at least 0, the positions in the epoch.
            seed: integer of at least 0, the run's.
            epoch: integer of at least 0.
            padding: integer of at least 0, pixels; 0 leaves the images in place.
            horizontal_flip: whether half of the images are mirrored.

        Returns:
            The `Augmentation`.

        Raises:
            InputError: if an integer is out of its range.

        Example:
            >>> Augmentation.draw(3, seed=0, epoch=0, padding=0, horizontal_flip=False)
            Augmentation(rows=array([0, 0, 0], dtype=int32), columns=array([0, 0, 0],
            dtype=int32), flips=array([False, False, False]))
        """
        num_images = check_integer("num_images", num_images)
        padding = check_integer("padding", padding)
        generator = _generator(seed, epoch, _AUGMENTATION_STREAM)
        rows, columns = generator.integers(
            -padding, padding + 1, size=(2, num_images), dtype=np.int32
        )
        flips = generator.integers(0, 2, size=num_images, dtype=np.uint8) == 1
        return cls(rows, columns, flips & horizontal_flip)


class TrainBatches:
    """Shuffled, cropped and flipped batches of a split, epoch by epoch.

    Each epoch visits the images in a new order; those left over after the last whole
    batch are dropped. An image is padded with zeros (black: the padding is made on
    the raw image, before any normalisation), cropped to its own size at random, and
    mirrored with probability one half.

    Args:
        split: the `Split` to draw from.
        batch_size: integer of at least 1, the global batch: that of all workers.
        seed: integer of at least 0.
        padding: integer of at least 0, pixels, smaller than the images; usually
            `dataset.crop_padding`.
        horizontal_flip: whether to mirror; usually `dataset.horizontal_flip`.

    Raises:
        InputError: if a number is out of its range, or `batch_size` is larger than
            the number of images.

    Example:
        >>> dataset = data.load("digits")
        >>> batches = TrainBatches(
        ...     dataset.train, batch_size=64, seed=0, padding=dataset.crop_padding,
        ...     horizontal_flip=dataset.horizontal_flip,
        ... )
        >>> batches.steps_per_epoch
        22
        >>> images, labels = batches.chunk(epoch=0, first_step=0, num_steps=5)
        >>> images.shape, labels.shape
        ((5, 64, 32, 32, 3), (5, 64))

    Reference:
        - Thesis §5.2, crop-4 and flip.
    """

    def __init__(
        self,
        split: Split,
        batch_size: int,
        seed: int,
        padding: int,
        horizontal_flip: bool,
    ):
        self.batch_size = check_integer("batch_size", batch_size, 1)
        self.seed = check_integer("seed", seed)
        self.padding = check_integer("padding", padding)
        self.horizontal_flip = horizontal_flip
        if batch_size > len(split):
            raise fail(
                "`batch_size` must be at most the number of training images.",
                batch_size=batch_size,
                num_images=len(split),
            )
        if padding >= min(split.images.shape[1:3]):
            raise fail(
                "`padding` must be smaller than the images.",
                padding=padding,
                image_shape=split.images.shape[1:],
            )
        self._images = np.ascontiguousarray(split.images)
        self._labels = split.labels
        self._cached_epoch = None

    @property
    def steps_per_epoch(self) -> int:
        """Number of whole batches in the split."""
        return len(self._labels) // self.batch_size

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
            epoch: integer of at least 0.
            first_step: integer in [0, steps_per_epoch).
            num_steps: integer of at least 1, ending within the epoch.
            first_position: integer in [0, batch_size), the first image of each batch
                to return. A worker gives the start of its share. Defaults to 0.
            num_positions: integer of at least 1, ending within the batch, how many
                images of each batch to return. Defaults to all from `first_position`.

        Returns:
            Images, uint8 `[num_steps, num_positions, height, width, 3]`, and labels,
            int64 `[num_steps, num_positions]`.

        Raises:
            InputError: if steps or positions are not all there.

        Example:
            >>> split = data.load("digits").train
            >>> batches = TrainBatches(split, 64, 0, padding=4, horizontal_flip=False)
            >>> images, labels = batches.chunk(0, 0, num_steps=5, first_position=32)
            >>> images.shape, labels.shape
            ((5, 32, 32, 32, 3), (5, 32))
        """
        epoch = check_integer("epoch", epoch)
        _check_first("step", first_step, self.steps_per_epoch)
        _check_first("position", first_position, self.batch_size)
        if num_positions is None:
            num_positions = self.batch_size - first_position
        _check_number("step", first_step, num_steps, self.steps_per_epoch)
        _check_number("position", first_position, num_positions, self.batch_size)
        order, augmentation = self._epoch(epoch)
        steps = np.arange(first_step, first_step + num_steps)[:, None]
        batch_positions = np.arange(first_position, first_position + num_positions)
        positions = (steps * self.batch_size + batch_positions).ravel()
        index = order[positions]
        images = self._augmented(index, positions, augmentation)
        shape = (num_steps, num_positions)
        return (
            images.reshape(shape + images.shape[1:]),
            self._labels[index].reshape(shape),
        )

    def _epoch(self, epoch: int) -> tuple[np.ndarray, Augmentation]:
        # One tuple, read and replaced at once, so that threads may share the object.
        cached = self._cached_epoch
        if cached is None or cached[0] != epoch:
            number = len(self._labels)
            order = epoch_order(number, self.seed, epoch)
            augmentation = Augmentation.draw(
                number, self.seed, epoch, self.padding, self.horizontal_flip
            )
            self._cached_epoch = cached = (epoch, order, augmentation)
        return cached[1:]

    def _augmented(
        self, index: np.ndarray, positions: np.ndarray, augmentation: Augmentation
    ) -> np.ndarray:
        height, width = self._images.shape[1:3]
        images = _core.gather_patches(
            self._images,
            index,
            augmentation.rows[positions],
            augmentation.columns[positions],
            height,
            width,
        )
        flips = augmentation.flips[positions]
        images[flips] = images[flips, :, ::-1]
        return images


def eval_chunks(
    split: Split, batch_size: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Returns an iterator over a split, in order, in batches of one size.

    The last batch is filled up with black images of label 0 and weight 0, so that
    sums over the weights count every image exactly once.

    Args:
        split: the `Split`.
        batch_size: integer of at least 1.

    Returns:
        An iterator of images, uint8 `[batch_size, height, width, 3]`, labels, int64
        `[batch_size]`, and weights, float32 `[batch_size]`, 1 for an image of the
        split and 0 for filling.

    Raises:
        InputError: if `batch_size` is no such integer.

    Example:
        >>> for images, labels, weights in eval_chunks(data.load("digits").test, 256):
        ...     print(images.shape, int(weights.sum()))
        (256, 32, 32, 3) 256
        (256, 32, 32, 3) 108
    """
    batch_size = check_integer("batch_size", batch_size, 1)
    return _eval_chunks(split, batch_size)


def _eval_chunks(
    split: Split, batch_size: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    for start in range(0, len(split), batch_size):
        images = split.images[start : start + batch_size]
        labels = split.labels[start : start + batch_size]
        weights = np.ones(len(labels), np.float32)
        yield tuple(_fill(part, batch_size) for part in (images, labels, weights))


def _fill(array: np.ndarray, length: int) -> np.ndarray:
    """Returns `array` with zeros appended up to `length` along the first axis."""
    missing = length - len(array)
    return np.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1))


def _generator(seed: int, epoch: int, stream: int) -> np.random.Generator:
    seed = check_integer("seed", seed)
    epoch = check_integer("epoch", epoch)
    return np.random.Generator(
        np.random.Philox(np.random.SeedSequence([seed, epoch, stream]))
    )


def _check_first(unit: str, first: int, limit: int) -> None:
    name = f"first_{unit}"
    if check_integer(name, first) >= limit:
        raise fail(f"`{name}` must be below {limit}.", **{name: first})


def _check_number(unit: str, first: int, number: int, limit: int) -> None:
    name = f"num_{unit}s"
    if first + check_integer(name, number, 1) > limit:
        raise fail(
            f"`first_{unit}` + `{name}` must be at most {limit}.",
            **{f"first_{unit}": first, name: number},
        )
