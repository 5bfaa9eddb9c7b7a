"""Patches that need not be in memory: coordinates, and their contents on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from tfsupermask import _core
from tfsupermask.patches.window import Window

_IMAGES_PER_BATCH = 250
_PATCHES_PER_BLOCK = 4096
_BYTES_KEPT = 2**30


class Patches:
    """P patches: where they are, and their values block by block.

    Values are computed from the images whenever they are asked for. They are kept from
    the first pass on where they take at most a gibibyte; that saves time and changes
    nothing else.

    Args:
        images: uint8 array (n, height, width, 3), RGB.
        labels: int64 array (n,), the class of each image.
        image: int array (P,), index of each patch's image.
        row: int array (P,), top row of the patch in the map; negative in the padding.
        column: int array (P,), left column likewise.
        window: Size and dilation of the patches.
        activations: Function from a batch of images to the float32 maps
            (batch, height, width, channels) that patches are cut from.

    Attributes:
        labels: int64 array (P,), the class of each patch's image.
        image: int64 array (P,).
        row: int32 array (P,).
        column: int32 array (P,).

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
        >>> patches = Patches(
        ...     images, labels=np.array([0, 1, 2, 3, 4]), image=np.array([4, 4]),
        ...     row=np.array([0, 5]), column=np.array([0, 5]), window=Window((3, 3)),
        ...     activations=lambda images: np.float32(images) / 255,
        ... )
        >>> len(patches), patches.labels, patches.take(np.array([1])).shape
        (2, array([4, 4]), (1, 3, 3, 3))

    Reference:
        - Thesis §4.2.1.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        image: np.ndarray,
        row: np.ndarray,
        column: np.ndarray,
        window: Window,
        activations: Callable[[np.ndarray], np.ndarray],
    ):
        self.labels = labels[image]
        self.image = np.ascontiguousarray(image, np.int64)
        self.row = np.ascontiguousarray(row, np.int32)
        self.column = np.ascontiguousarray(column, np.int32)
        self._images = images
        self._window = window
        self._activations = activations
        self._kept: list[np.ndarray] | None = None

    def __len__(self) -> int:
        return len(self.image)

    def blocks(self) -> Iterator[np.ndarray]:
        """Yields the values of all patches, a few thousand at a time, in order.

        Each is a float32 array (patches, height, width, channels).
        """
        if self._kept is not None:
            yield from self._kept
            return
        kept: list[np.ndarray] = []
        for first in range(0, len(self), _PATCHES_PER_BLOCK):
            block = self.take(
                np.arange(first, min(first + _PATCHES_PER_BLOCK, len(self)))
            )
            if block[0].nbytes * len(self) <= _BYTES_KEPT:
                kept.append(block)
            yield block
        if kept:
            self._kept = kept

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Returns some patches' values: float32 (indices, height, width, channels).

        Args:
            indices: int array, in [0, P); at least one.
        """
        needed, place = np.unique(self.image[indices], return_inverse=True)
        values = None
        for first in range(0, len(needed), _IMAGES_PER_BATCH):
            batch = needed[first : first + _IMAGES_PER_BATCH]
            inside = np.flatnonzero((place >= first) & (place < first + len(batch)))
            here = indices[inside]
            part = _core.gather_patches(
                self._activations(self._images[batch]),
                place[inside] - first,
                self.row[here],
                self.column[here],
                *self._window.size,
                row_dilation=self._window.dilation[0],
                column_dilation=self._window.dilation[1],
            )
            if values is None:
                values = np.empty((len(indices), *part.shape[1:]), part.dtype)
            values[inside] = part
        return values
