"""Decodes image files to square RGB arrays."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator

import cv2
import numpy as np

from tfsupermask._validation import InputError, check_integer
from tfsupermask.data.headers import FORMATS, is_whole_png, read_size

EXPECTED_FORMAT = (
    "expected 8-bit RGB with 3 channels; `cv2.imwrite(path, cv2.imread(path))` "
    "converts a file"
)

# Every photograph passes: cameras write at least this many bytes a pixel.
_MAX_BYTES = 1 << 26
_MAX_PIXELS = 1 << 26
_PIXELS_OF_SMALL_FILES = 1 << 22
_PIXELS_PER_BYTE = 64
_MAX_SCANS = 100
_SCAN, _END = b"\xff\xda", b"\xff\xd9"
_ANY_SHAPE, _MAX_SCALED_PIXELS = 16, 1 << 20
_UNDECODABLE = f"it is no whole image of a known format ({', '.join(FORMATS)})"


class UnreadableImageError(InputError):
    """The file is missing, empty, too large, or not a whole image of a known format."""


class ImageFormatError(InputError):
    """The image is not 8-bit RGB but `found`, such as `"16-bit grayscale"`."""

    def __init__(self, message: str, found: str):
        super().__init__(message)
        self.found = found


def decode_image(path: str | os.PathLike, image_size: int) -> np.ndarray:
    """Returns an image file as a square RGB array.

    The image is turned by its EXIF orientation. Its shorter side is resized to
    `image_size` (averaging areas to shrink, bicubic to enlarge), and the centre of the
    longer side is kept. Only the first page is read. The format is taken from the
    file's content, not from its name.

    A file may have 64 MB, 2²⁶ pixels and 100 scans, and above 2²² pixels at most 64
    pixels a byte. Photographs are within these limits. A file that claims more could
    fill the memory, and is refused before it is decoded.

    Args:
        path: The image file: BMP, JPEG, PNG, TIFF or WebP.
        image_size: Pixels, at least 1.

    Returns:
        uint8 array (image_size, image_size, 3).

    Raises:
        InputError: The file cannot be read or decoded or is too large, the image is not
            8-bit RGB (the caller decides about converting grayscale, transparent or
            16-bit images), or `image_size` is out of range.

    Example:
        >>> decode_image("photo.jpg", image_size=64).shape
        (64, 64, 3)
    """
    image_size = check_integer("image_size", image_size, 1)
    with quiet_opencv():
        return decode_checked_image(path, image_size)


def decode_checked_image(path: str | os.PathLike, image_size: int) -> np.ndarray:
    """Decodes as `decode_image`, for threads: the caller checks the size and mutes."""
    path = os.fspath(path)
    encoded = _read_bytes(path)
    _check_header(encoded, path)
    # Colour decoding applies the EXIF orientation; unchanged decoding keeps the format.
    found = _describe(_decode(encoded, cv2.IMREAD_UNCHANGED, path))
    if found != "8-bit RGB":
        raise ImageFormatError(f"{path!r} is {found}: {EXPECTED_FORMAT}.", found)
    upright = _decode(encoded, cv2.IMREAD_COLOR, path)
    square = _middle(_resize_shorter_side(upright, image_size), image_size)
    return cv2.cvtColor(square, cv2.COLOR_BGR2RGB)


@contextlib.contextmanager
def quiet_opencv() -> Iterator[None]:
    """Mutes OpenCV's messages about broken files, for which errors are raised here."""
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def _read_bytes(path):
    # Not cv2.imread, which on some systems cannot open a path outside ASCII.
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise _unreadable(path, "it is a folder")
        if not stat.S_ISREG(status.st_mode):
            # Opening a pipe would wait forever, and reading a device never ends.
            raise _unreadable(path, "it is no regular file")
        if status.st_size > _MAX_BYTES:
            raise _unreadable(
                path,
                f"it has {status.st_size:,} bytes, an image at most {_MAX_BYTES:,}",
            )
        encoded = np.fromfile(path, np.uint8)
    except OSError as error:
        raise _unreadable(path, str(error.strerror or error)) from error
    except ValueError as error:
        raise _unreadable(path, str(error)) from error
    if not encoded.size:
        raise _unreadable(path, "the file is empty")
    return encoded


def _check_header(encoded, path):
    """Raises unless a file can hold the image that its header claims."""
    content = encoded.tobytes()
    claimed = read_size(content)
    if claimed is None:
        raise _unreadable(path, _UNDECODABLE)
    kind, width, height = claimed
    most = max(_PIXELS_OF_SMALL_FILES, _PIXELS_PER_BYTE * len(content))
    if width * height > min(most, _MAX_PIXELS):
        raise _unreadable(
            path,
            f"it claims {width} × {height} pixels, and a file of its size may hold at "
            f"most {min(most, _MAX_PIXELS):,} pixels",
        )
    if kind == "PNG" and not is_whole_png(content):
        raise _unreadable(path, "it is a PNG without its end")
    if kind != "JPEG":
        return
    if content.count(_SCAN) > _MAX_SCANS:
        raise _unreadable(path, f"a JPEG must have at most {_MAX_SCANS} scans")
    # OpenCV fills the missing rest of a cut file with grey.
    if content.find(_END, content.rfind(_SCAN)) < 0:
        raise _unreadable(path, "it is a JPEG without its end")


def _decode(encoded, flags, path):
    try:
        image = cv2.imdecode(encoded, flags)
    except cv2.error:
        image = None
    if image is None:
        raise _unreadable(path, _UNDECODABLE)
    return image


def _unreadable(path, reason):
    return UnreadableImageError(f"{path!r} cannot be read: {reason}.")


def _describe(image):
    kind = f"{8 * image.itemsize}-bit" + (" float" if image.dtype.kind == "f" else "")
    channels = 1 if image.ndim == 2 else image.shape[2]
    names = {1: "grayscale", 3: "RGB", 4: "RGBA"}
    return f"{kind} {names.get(channels, f'with {channels} channels')}"


def _resize_shorter_side(image, image_size):
    height, width = image.shape[:2]
    shorter = min(height, width)
    if shorter == image_size:
        return image
    # Only the middle of a very long image is enlarged: the ends are cut off later.
    longest = max(_ANY_SHAPE * image_size, _MAX_SCALED_PIXELS // image_size)
    image = _middle(image, max(shorter, longest * shorter // image_size))
    height, width = image.shape[:2]
    size = tuple(
        max(image_size, round(n * image_size / shorter)) for n in (width, height)
    )
    shrinking = image_size < shorter
    interpolation = cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC
    return cv2.resize(image, size, interpolation=interpolation)


def _middle(image, longest):
    """Returns the middle of an image, neither side longer than `longest`."""
    top, left = (max(0, n - longest) // 2 for n in image.shape[:2])
    return image[top : top + longest, left : left + longest]
