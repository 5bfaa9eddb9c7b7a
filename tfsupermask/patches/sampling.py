"""Which patches to take: images and positions (thesis §4.2.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tfsupermask import _core
from tfsupermask._validation import fail
from tfsupermask.patches.proposals import propose_filtered_boxes, rgb_of
from tfsupermask.patches.stream import Patches
from tfsupermask.patches.window import Window

SAMPLES_PER_IMAGE = 50  # thesis §5.2
_IMAGES_PER_CHUNK = 256


def class_balanced_order(labels: np.ndarray, seed: int) -> np.ndarray:
    """Returns all image indices, shuffled, the classes taking turns.

    Every prefix holds the classes in equal numbers, as long as they last.

    Args:
        labels: Integer array (n,).
        seed: Non-negative integer.

    Returns:
        int64 permutation (n,).

    Example:
        >>> labels = np.array([0, 0, 0, 1, 1, 1])
        >>> labels[class_balanced_order(labels, seed=0)].reshape(3, 2).sum(axis=1)
        array([1, 1, 1])

    Reference:
        - Thesis §4.2.1.
    """
    generator = np.random.Generator(np.random.Philox(seed))
    shuffled = generator.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    counts = np.unique(labels, return_counts=True)[1]
    turn = np.concatenate([np.arange(count) for count in counts])
    class_rank = np.repeat(generator.permutation(len(counts)), counts)
    return by_class[np.lexsort((class_rank, turn))]


def grid_positions(height: int, width: int, window: Window) -> np.ndarray:
    """Returns the (row, column) of the window's upper left corner for every output.

    These are the positions of the layer's own padding and strides: with `"same"` some
    lie outside the map, where it reads as zero.

    Args:
        height: Height of the map in pixels.
        width: Width of the map in pixels.
        window: The convolution's window.

    Returns:
        int32 array (positions, 2) in row-major order.

    Example:
        >>> len(grid_positions(8, 8, Window((3, 3), padding="same")))
        64
    """

    def starts(length, extent, stride):
        if window.padding == "same":
            outputs = -(-length // stride)
            padding = max(0, (outputs - 1) * stride + extent - length)
            return np.arange(outputs) * stride - padding // 2
        return np.arange(0, length - extent + 1, stride)

    axes = zip((height, width), window.extent, window.strides, strict=True)
    rows, columns = (starts(*axis) for axis in axes)
    return (
        np.stack(np.meshgrid(rows, columns, indexing="ij"), -1)
        .reshape(-1, 2)
        .astype(np.int32)
    )


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
    offsets = np.concatenate([[0], np.cumsum([len(b) for b in boxes])]).astype(np.int64)
    return _core.candidate_positions(
        np.concatenate(boxes), offsets, height, width, *window.extent
    )


def sample_patches(
    images: np.ndarray,
    labels: np.ndarray,
    order: np.ndarray,
    window: Window,
    num_patches: int,
    seed: int,
    *,
    from_boxes: bool,
    activations: Callable[[np.ndarray], np.ndarray],
) -> Patches:
    """Samples patches without replacement, at most 50 from each image.

    Images are taken in the given order until there are enough patches.

    Args:
        images: Array of numbers (n, height, width, channels), see `rgb_of`.
        labels: int64 array (n,).
        order: Permutation of the images, see `class_balanced_order`.
        window: The window of the convolution that the patches are for.
        num_patches: P, at least 1.
        seed: Non-negative integer below 2⁶⁴.
        from_boxes: Whether positions come from selective search over the image (first
            layer) or from the whole map (later layers). Boxes count only where the
            map is as large as the image.
        activations: Function from indices of images to the float32 maps
            (images, height, width, channels) that the convolution receives.

    Returns:
        `num_patches` patches, grouped by image.

    Raises:
        InputError: There are fewer positions than `num_patches`, or the filter does
            not fit into the map of a convolution without padding.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (10, 8, 8, 3), np.uint8)
        >>> labels = np.arange(10) % 2
        >>> patches = sample_patches(
        ...     images, labels, class_balanced_order(labels, seed=0), Window((3, 3)),
        ...     num_patches=100, seed=0, from_boxes=False,
        ...     activations=lambda chosen: np.float32(images[chosen]) / 255,
        ... )
        >>> len(patches), [block.shape for block in patches.blocks()]
        (100, [(100, 3, 3, 3)])

    Reference:
        - Thesis §4.2.1 and §5.2.
    """
    map_size = activations(order[:1]).shape[1:3]
    seen = rgb_of(images) if from_boxes else None
    drawn: list[np.ndarray] = []
    found = first = 0
    while found < num_patches and first < len(order):
        # No more images than must be: selective search takes its time over each.
        at_least = -(-(num_patches - found) // SAMPLES_PER_IMAGE)
        chosen = order[first : first + min(at_least, _IMAGES_PER_CHUNK)]
        positions, offsets = _positions(chosen, seen, map_size, window)
        indices, local = _core.sample_positions(
            offsets, SAMPLES_PER_IMAGE, seed, first_image=first
        )
        drawn.append(np.column_stack([chosen[local], positions.take(indices, axis=0)]))
        found += len(indices)
        first += len(chosen)
    if found >= num_patches:
        image, row, column = np.concatenate(drawn)[:num_patches].T
        return Patches(labels, image, row, column, window, activations)
    raise fail(
        f"`num_patches` must be at most {found}: a layer can take {SAMPLES_PER_IMAGE} "
        f"patches at most from each of {len(order)} images.",
        num_patches=num_patches,
    )


def _positions(chosen, seen, map_size, window):
    """Returns the candidate positions of a chunk of maps, and each map's offset."""
    height, width = map_size
    fits = window.extent[0] <= height and window.extent[1] <= width
    if window.padding == "valid" and not fits:
        raise fail(
            "A map must be at least as large as the filter.",
            map=(height, width),
            filter=window.extent,
        )
    if seen and fits and (images := seen(chosen)).shape[1:3] == (height, width):
        boxes = propose_filtered_boxes(images, *window.extent)
        return box_positions(boxes, height, width, window)
    grid = grid_positions(height, width, window)
    offsets = np.arange(len(chosen) + 1, dtype=np.int64) * len(grid)
    return np.tile(grid, (len(chosen), 1)), offsets
