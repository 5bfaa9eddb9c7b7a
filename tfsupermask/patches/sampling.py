"""Which patches to take: images and positions (thesis §4.2.1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfsupermask import _core
from tfsupermask._balance import class_balanced_order as class_balanced_order  # public
from tfsupermask._validation import check_integer, fail
from tfsupermask.patches.proposals import propose_filtered_boxes
from tfsupermask.patches.stream import Patches, PatchSource, Window

SAMPLES_PER_IMAGE = 50  # thesis §5.2
_IMAGES_PER_CHUNK = 256


def grid_positions(height: int, width: int, window: Window) -> np.ndarray:
    """Returns the (row, column) of the window's upper left corner for every output."""

    def starts(length, extent, stride):
        if window.padding == "same":
            outputs = -(-length // stride)
            padding = max(0, (outputs - 1) * stride + extent - length)
            return np.arange(outputs) * stride - padding // 2
        return np.arange(0, length - extent + 1, stride)

    axes = zip((height, width), window.extent, window.strides, strict=True)
    rows, columns = (starts(*axis) for axis in axes)
    grid = np.meshgrid(rows, columns, indexing="ij")
    return np.stack(grid, axis=-1).reshape(-1, 2).astype(np.int32)


def box_positions(boxes: Sequence[np.ndarray], height: int, width: int, window: Window):
    """Returns the positions inside at least one box of each image.

    Args:
        boxes: For each image an int32 array (n, 4) of (top, left, height, width).
        height: Height of the images in pixels.
        width: Width of the images in pixels.
        window: The convolution's window.

    Returns:
        int32 positions (k, 2) of all images one after another, and int64 offsets
        (images + 1,) at which each image's begin. An image without boxes has all of
        its positions.

    Raises:
        ValueError: Boxes and sizes do not fit each other.

    Example:
        >>> boxes = [np.array([[0, 0, 4, 4]], np.int32), np.empty((0, 4), np.int32)]
        >>> positions, offsets = box_positions(boxes, 8, 8, Window((3, 3)))
        >>> offsets
        array([ 0,  4, 40])

    Reference:
        - Thesis §4.2.1.
    """
    offsets = np.cumsum([0, *map(len, boxes)])
    return _core.candidate_positions(
        np.concatenate(boxes), offsets, height, width, *window.extent
    )


def sample_patches(
    source: PatchSource, window: Window, num_patches: int, seed: int
) -> Patches:
    """Samples patches without replacement, at most 50 from each image.

    Images are taken in the source's order until there are enough patches.

    Args:
        source: What they are cut from.
        window: The window of the convolution that the patches are for.
        num_patches: P, at least 1.
        seed: Non-negative integer below 2⁶⁴.

    Returns:
        `num_patches` patches, grouped by image.

    Raises:
        InputError: `num_patches` is out of range, or the filter does not fit
            into the map of a convolution without padding.

    Example:
        >>> maps = np.random.default_rng(0).random((10, 8, 8, 3), np.float32)
        >>> numbers = np.arange(10)
        >>> source = PatchSource(lambda chosen: maps[chosen], numbers, order=numbers)
        >>> patches = sample_patches(source, Window((3, 3)), num_patches=100, seed=0)
        >>> len(patches), [block.shape for block in patches.blocks()]
        (100, [(100, 3, 3, 3)])

    Reference:
        - Thesis §4.2.1 and §5.2.
    """
    check_integer("num_patches", num_patches, 1)
    order = source.order
    map_size = source.maps_of(order[:1]).shape[1:3]
    drawn: list[np.ndarray] = []
    found = first = 0
    while found < num_patches and first < len(order):
        # No more images than must be: selective search takes its time over each.
        at_least = -(-(num_patches - found) // SAMPLES_PER_IMAGE)
        chosen = order[first : first + min(at_least, _IMAGES_PER_CHUNK)]
        positions, offsets = _positions(chosen, source.objects_in, map_size, window)
        indices, local = _core.sample_positions(
            offsets, SAMPLES_PER_IMAGE, seed, first_image=first
        )
        drawn.append(np.column_stack([chosen[local], positions.take(indices, axis=0)]))
        found += len(indices)
        first += len(chosen)
    if found >= num_patches:
        image, row, column = np.concatenate(drawn)[:num_patches].T
        return Patches(source, window, image, row, column)
    raise fail(
        f"`num_patches` must be at most {found}: a layer can take {SAMPLES_PER_IMAGE} "
        f"patches at most from each of {len(order)} images, and takes twice the number "
        "from `double_from` on.",
        num_patches=num_patches,
    )


def _positions(chosen, objects_in, map_size, window):
    """Returns the candidate positions of a chunk of maps, and each map's offset."""
    height, width = map_size
    fits = window.extent[0] <= height and window.extent[1] <= width
    if window.padding == "valid" and not fits:
        raise fail(
            "A map must be at least as large as the filter.",
            map=(height, width),
            filter=window.extent,
        )
    images = objects_in(chosen) if objects_in and fits else None
    if images is not None and images.shape[1:3] == (height, width):
        boxes = propose_filtered_boxes(images, *window.extent)
        return box_positions(boxes, height, width, window)
    grid = grid_positions(height, width, window)
    offsets = np.arange(len(chosen) + 1, dtype=np.int64) * len(grid)
    return np.tile(grid, (len(chosen), 1)), offsets
