"""Patches as places in maps, from which their values are cut when they are needed."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from tfsupermask import _core

# Also decides the blocks of patches, and so how sums over them are rounded.
_IMAGES_PER_BATCH = 64


@dataclasses.dataclass(frozen=True)
class Window:
    """How a convolution slides over its input map.

    Attributes:
        size: Height and width of a patch in pixels of the map.
        strides: Vertical and horizontal step in pixels. Defaults to (1, 1).
        padding: `"valid"` (default) or `"same"`.
        dilation: Vertical and horizontal distance between the pixels of a patch.
            Defaults to (1, 1), neighbours.

    Example:
        >>> Window((3, 3), dilation=(2, 2)).extent
        (5, 5)
    """

    size: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    padding: str = "valid"
    dilation: tuple[int, int] = (1, 1)

    @property
    def extent(self) -> tuple[int, int]:
        """Height and width that one patch covers, gaps of the dilation included."""
        return tuple(
            (size - 1) * rate + 1
            for size, rate in zip(self.size, self.dilation, strict=True)
        )


@dataclasses.dataclass(frozen=True)
class PatchSource:
    """What the patches of a convolution are cut from.

    Attributes:
        maps_of: Function from indices of images to the float32 maps
            (images, height, width, channels) that the convolution receives.
        labels: int64 array (n,), the class of each image.
        order: Permutation of the images, in which they are taken: see
            `class_balanced_order`.
        objects_in: Function from indices of images to what selective search sees of
            them, see `rgb_of`: patches come from its boxes (first layer), as far as
            the map is as large as the image. Defaults to `None`: they come from the
            whole map (later layers).

    Example:
        >>> maps, labels = np.zeros((2, 8, 8, 3), np.float32), np.array([0, 1])
        >>> source = PatchSource(lambda chosen: maps[chosen], labels, order=labels)
        >>> source.maps_of(source.order[:1]).shape
        (1, 8, 8, 3)
    """

    maps_of: Callable[[np.ndarray], np.ndarray]
    labels: np.ndarray
    order: np.ndarray
    objects_in: Callable[[np.ndarray], np.ndarray] | None = None


class Patches:
    """P patches: where they are, and their values block by block.

    Values are cut out of the maps whenever they are asked for, and never kept.

    Args:
        source: What they are cut from.
        window: Size and dilation of the patches.
        image: int array (P,), index of each patch's image; an image's patches follow
            one another.
        row: int array (P,), top row of the patch in the map; negative in the padding.
        column: int array (P,), left column likewise.

    Attributes:
        labels: int64 array (P,), the class of each patch's image.

    Example:
        >>> maps = np.random.default_rng(0).random((5, 8, 8, 3), np.float32)
        >>> numbers = np.arange(5)
        >>> source = PatchSource(lambda chosen: maps[chosen], numbers, order=numbers)
        >>> image, row, column = np.array([[4, 4], [0, 5], [0, 5]])
        >>> patches = Patches(source, Window((3, 3)), image, row, column)
        >>> len(patches), patches.labels, patches.take(np.array([1])).shape
        (2, array([4, 4]), (1, 3, 3, 3))

    Reference:
        - Thesis §4.2.1.
    """

    def __init__(
        self,
        source: PatchSource,
        window: Window,
        image: np.ndarray,
        row: np.ndarray,
        column: np.ndarray,
    ):
        self.labels = source.labels[image]
        self.image = np.ascontiguousarray(image, np.int64)
        self.row = np.ascontiguousarray(row, np.int32)
        self.column = np.ascontiguousarray(column, np.int32)
        self._window = window
        self._maps_of = source.maps_of

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
            yield _core.gather_patches(
                self._maps_of(images),
                place,
                self.row[here],
                self.column[here],
                *self._window.size,
                row_dilation=self._window.dilation[0],
                column_dilation=self._window.dilation[1],
            )

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Returns some patches' values: float32 (indices, height, width, channels)."""
        order = self.image[indices].argsort(kind="stable")
        values = np.concatenate([*self.only(indices[order]).blocks()])
        return values[order.argsort()]

    def only(self, chosen: np.ndarray) -> Patches:
        """Returns the patches that an array `chosen` selects, bool (P,) or indices."""
        part = copy.copy(self)
        for name in ("labels", "image", "row", "column"):
            setattr(part, name, getattr(self, name)[chosen])
        return part
