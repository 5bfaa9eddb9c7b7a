"""Objectness: boxes that may hold an object (thesis §4.2.1)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from tfsupermask import _core
from tfsupermask._images import ImageArray
from tfsupermask._validation import fail

MAX_AREA_FRACTION = 0.5  # thesis §5.2
# Selective search takes 1.4 s for an image of 512 pixels, 0.04 s for one of 128.
_SEARCH_SIDE = 128


def rgb_of(images: ImageArray) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function from indices of images to what selective search sees of them.

    It sees the first three channels, or the first as grey if there are fewer, and the
    first frame of a video. Bytes stay as they are. Other numbers are stretched
    linearly: the smallest of all images becomes 0 and the largest 255.

    Args:
        images: Array of numbers (n, height, width, channels), also (n, height, width)
            or (n, frames, height, width, channels).

    Returns:
        The function; it returns uint8 arrays (indices, height, width, 3).

    Example:
        >>> images = np.linspace(-1, 1, 2 * 8 * 8 * 13).reshape(2, 8, 8, 13)
        >>> seen = rgb_of(images)(np.array([0, 1]))
        >>> seen.shape, seen.dtype, seen[0, 0, 0, 0]
        ((2, 8, 8, 3), dtype('uint8'), np.uint8(0))
    """

    def seen(images):
        if images.ndim == 3:
            images = images[..., None]
        elif images.ndim == 5:
            images = images[:, 0]
        return images[..., : 3 if images.shape[-1] >= 3 else 1]

    bytes_ = images.dtype == np.uint8
    stretch = (lambda values: values) if bytes_ else _stretch(seen(images))

    def rgb(indices):
        chosen = stretch(seen(images[indices]))
        return np.broadcast_to(chosen, (*chosen.shape[:3], 3))

    return rgb


def _stretch(images):
    """Returns a function that maps the range of finite values linearly to bytes."""
    finite = images[np.isfinite(images)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0, 0)
    scale = 255 / (high - low) if high > low else 0

    def stretch(values):
        known = np.nan_to_num(np.float64(values), nan=low, posinf=high, neginf=low)
        return np.rint((known - low) * scale).astype(np.uint8)

    return stretch


def propose_boxes(image: np.ndarray) -> np.ndarray:
    """Returns boxes (top, left, height, width) by OpenCV's fast selective search.

    An image with a shorter side above 128 pixels is searched at that size.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise fail(
            "`image` must be a uint8 array (height, width, 3).",
            dtype=image.dtype.name,
            shape=image.shape,
        )
    size = np.array(image.shape[:2])
    scale = max(1, min(size) / _SEARCH_SIDE)
    reduced = np.rint(size / scale).astype(int)
    image = cv2.resize(image, reduced[::-1], interpolation=cv2.INTER_AREA)
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    try:
        search.setBaseImage(np.ascontiguousarray(image[..., ::-1]))
        search.switchToSelectiveSearchFast()
        found = search.process()
    except cv2.error:
        # Selective search asserts on some tiny or uniform images.
        found = ()
    left_top_width_height = np.asarray(found, np.int32).reshape(-1, 4)
    boxes = left_top_width_height[:, [1, 0, 3, 2]]
    corners = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    first, end = (np.int32(np.rint(each * scale)) for each in corners)
    end = np.minimum(end, np.int32(size))
    return np.concatenate([first, end - first], axis=1)


def propose_filtered_boxes(
    images: np.ndarray, min_height: int, min_width: int
) -> list[np.ndarray]:
    """Returns for each image the boxes that patches may be sampled from.

    Boxes are clipped to the image; those that cover more than half of it, those smaller
    than a patch and duplicates are dropped.

    Args:
        images: uint8 array (n, height, width, 3), RGB.
        min_height: Height of a patch in pixels.
        min_width: Width of a patch in pixels.

    Returns:
        A list of n int32 arrays (boxes, 4) of (top, left, height, width), sorted.

    Raises:
        InputError: `images` are not as above.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
        >>> boxes = propose_filtered_boxes(images, min_height=3, min_width=3)
        >>> len(boxes), bool((boxes[0][:, 2:] >= 3).all())
        (2, True)

    Reference:
        - Thesis §4.2.1 and §5.2.
        - Uijlings et al., 2013, "Selective search for object recognition".
    """
    opencv_threads = cv2.getNumThreads()
    # One image a thread is faster than OpenCV's threads inside one small image.
    cv2.setNumThreads(1)
    try:
        with ThreadPoolExecutor(_core.hardware_threads()) as pool:
            found = list(pool.map(propose_boxes, images))
    finally:
        cv2.setNumThreads(opencv_threads)
    boxes, offsets = _core.filter_boxes(
        np.concatenate([np.empty((0, 4), np.int32), *found]),
        np.cumsum([0, *map(len, found)]),
        *images.shape[1:3],
        max_area_fraction=MAX_AREA_FRACTION,
        min_height=min_height,
        min_width=min_width,
    )
    # OpenCV finds them in another order each time.
    of_each = (boxes[first:end] for first, end in itertools.pairwise(offsets))
    return [some[np.lexsort(some.T[::-1])] for some in of_each]
