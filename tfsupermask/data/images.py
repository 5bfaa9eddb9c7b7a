"""Image files to square RGB arrays."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import cv2
import numpy as np

from tfsupermask._validation import InputError, check_integer

EXPECTED_FORMAT = (
    "expected 8-bit RGB with 3 channels; `cv2.imwrite(path, cv2.imread(path))` "
    "converts a file"
)


class UnreadableImageError(InputError):
    """The file is missing, empty, or no image that OpenCV can decode."""


class ImageFormatError(InputError):
    """The image is not 8-bit RGB.

    Args:
        message: the sentence to print.
        found: what the image is instead, such as `"16-bit grayscale"`.
    """

    def __init__(self, message: str, found: str):
        super().__init__(message)
        self.found = found


def decode_image(path: str | os.PathLike, image_size: int) -> np.ndarray:
    """Returns an image file as a square RGB array.

    The image is turned as its EXIF orientation says, its shorter side is resized to
    `image_size` (averaging areas to shrink, bicubic to enlarge), and the centre of
    the longer side is kept.

    Args:
        path: the image file, in a format that OpenCV reads.
        image_size: integer of at least 1, pixels.

    Returns:
        uint8 array of shape `[image_size, image_size, 3]`.

    Raises:
        UnreadableImageError: if the file cannot be read or decoded.
        ImageFormatError: if the image is not 8-bit RGB: converting a grayscale,
            transparent or 16-bit image loses something, so it is left to the caller.
        InputError: if `image_size` is no such integer. The two above are of its kind.

    Example:
        >>> decode_image("photo.jpg", image_size=64).shape
        (64, 64, 3)
    """
    image_size = check_integer("image_size", image_size, 1)
    with quiet_opencv():
        return decode_checked_image(path, image_size)


def decode_checked_image(path: str | os.PathLike, image_size: int) -> np.ndarray:
    """As `decode_image`, for many threads: `image_size` validated, OpenCV quiet."""
    path = os.fspath(path)
    encoded = _read_bytes(path)
    stored = _decode(encoded, cv2.IMREAD_UNCHANGED, path)
    found = _describe(stored)
    if found != "8-bit RGB":
        raise ImageFormatError(f"{path!r} is {found}: {EXPECTED_FORMAT}.", found)
    # Only a colour decoding applies the EXIF orientation.
    upright = _decode(encoded, cv2.IMREAD_COLOR, path)
    square = _centre_crop(_resize_shorter_side(upright, image_size), image_size)
    return cv2.cvtColor(square, cv2.COLOR_BGR2RGB)


@contextlib.contextmanager
def quiet_opencv() -> Iterator[None]:
    """Mutes what OpenCV prints about broken files: the errors raised here tell it."""
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def _read_bytes(path: str) -> np.ndarray:
    # Not cv2.imread, which on some systems cannot open a path outside ASCII.
    try:
        encoded = np.fromfile(path, np.uint8)
    except OSError as error:
        raise UnreadableImageError(
            f"{path!r} cannot be read: {error.strerror or error}."
        ) from error
    if not encoded.size:
        raise UnreadableImageError(f"{path!r} cannot be read: the file is empty.")
    return encoded


def _decode(encoded: np.ndarray, flags: int, path: str) -> np.ndarray:
    try:
        image = cv2.imdecode(encoded, flags)
    except cv2.error:
        image = None
    if image is None:
        raise UnreadableImageError(
            f"{path!r} cannot be read: it is no image that OpenCV can decode."
        )
    return image


def _describe(image: np.ndarray) -> str:
    kind = f"{8 * image.itemsize}-bit" + (" float" if image.dtype.kind == "f" else "")
    channels = 1 if image.ndim == 2 else image.shape[2]
    names = {1: "grayscale", 3: "RGB", 4: "RGBA"}
    return f"{kind} {names.get(channels, f'with {channels} channels')}"


def _resize_shorter_side(image: np.ndarray, image_size: int) -> np.ndarray:
    height, width = image.shape[:2]
    shorter = min(height, width)
    if shorter == image_size:
        return image
    size = tuple(
        max(image_size, round(n * image_size / shorter)) for n in (width, height)
    )
    shrinking = image_size < shorter
    interpolation = cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC
    return cv2.resize(image, size, interpolation=interpolation)


def _centre_crop(image: np.ndarray, image_size: int) -> np.ndarray:
    top, left = ((n - image_size) // 2 for n in image.shape[:2])
    return image[top : top + image_size, left : left + image_size]
