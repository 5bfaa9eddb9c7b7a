"""Patches that need not be in memory: coordinates, and their contents on demand."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import numpy as np

from tfsupermask import _core
from tfsupermask.patches.window import Window

# Also decides the blocks of patches, and so how sums over them are rounded.
_IMAGES_PER_BATCH = 64


class Patches:
    """P patches: where they are, and their values block by block.

    Values are cut out of the maps whenever they are asked for, and never kept.

    Args:
        labels: int64 array (n,), the class of each image.
        image: int array (P,), index of each patch's image; an image's patches follow
            one another.
        row: int array (P,), top row of the patch in the map; negative in the padding.
        column: int array (P,), left column likewise.
        window: Size and dilation of the patches.
        activations: Function from indices of images to the float32 maps
            (images, height, width, channels) that patches are cut from.

    Attributes:
        labels: int64 array (P,), the class of each patch's image.
        image: int64 array (P,).
        row: int32 array (P,).
        column: int32 array (P,).

    Example:
        >>> maps = np.random.default_rng(0).random((5, 8, 8, 3), np.float32)
        >>> patches = Patches(
        ...     labels=np.array([0, 1, 2, 3, 4]), image=np.array([4, 4]),
        ...     row=np.array([0, 5]), column=np.array([0, 5]), window=Window((3, 3)),
        ...     activations=lambda images: maps[images],
        ... )
        >>> len(patches), patches.labels, patches.take(np.array([1])).shape
        (2, array([4, 4]), (1, 3, 3, 3))

    Reference:
        - Thesis §4.2.1.
    """

    def __init__(
        self,
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
        self._window = window
        self._activations = activations

    def __len__(self) -> int:
        return len(self.image)

    def blocks(self) -> Iterator[np.ndarray]:
        """Yields the values of all patches, a few thousand at a time, in order.

        Each is a float32 array (patches, height, width, channels).
        """
        starts = np.flatnonzero(np.diff(self.image, prepend=-1))
        ends = np.append(starts[_IMAGES_PER_BATCH::_IMAGES_PER_BATCH], len(self))
        for first, end in zip(starts[::_IMAGES_PER_BATCH], ends, strict=True):
            here = slice(first, end)
            place = np.cumsum(np.diff(self.image[here], prepend=self.image[first]) != 0)
            images = self.image[starts[(starts >= first) & (starts < end)]]
            yield self._cut(self._activations(images), place, here)

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
            maps = self._activations(batch)
            part = self._cut(maps, place[inside] - first, indices[inside])
            if values is None:
                values = np.empty((len(indices), *part.shape[1:]), part.dtype)
            values[inside] = part
        return values

    def only(self, chosen: np.ndarray) -> Patches:
        """Returns a part of the patches.

        Args:
            chosen: bool array (P,), which of them.
        """
        part = copy.copy(self)
        for name in ("labels", "image", "row", "column"):
            setattr(part, name, getattr(self, name)[chosen])
        return part

    def _cut(self, maps, place, chosen):
        """Returns the chosen patches, each from the map of its place."""
        return _core.gather_patches(
            maps,
            place,
            self.row[chosen],
            self.column[chosen],
            *self._window.size,
            row_dilation=self._window.dilation[0],
            column_dilation=self._window.dilation[1],
        )
