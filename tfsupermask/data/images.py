"""Decodes image files to square RGB arrays."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Iterator

import cv2
import numpy as np

from tfsupermask._validation import InputError, check_integer
from tfsupermask.data.complaints import listener
from tfsupermask.data.headers import FORMATS, Header, read_header

_MAX_BYTES = 1 << 29
_MAX_PIXELS = 1 << 27
_LARGE = 1 << 25  # bytes or pixels
_PLACES = 64
_ROWS = 1024
_ANY_SHAPE, _MAX_SCALED_PIXELS = 16, 1 << 20
# With all three the pixels come as they are stored, but turned.
_AS_STORED = cv2.IMREAD_COLOR | cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH
_REDUCED = {n: getattr(cv2, f"IMREAD_REDUCED_COLOR_{n}") for n in (8, 4, 2)}
_UNDECODABLE = f"it is no whole image of a known format ({', '.join(FORMATS)})"

_one_large = threading.RLock()
_places, _next = threading.Semaphore(_PLACES), threading.Lock()


class UnreadableImageError(InputError):
    """The file is missing, too large, damaged, or no image of a known format."""


class UnreadFileError(UnreadableImageError):
    """The system could not read the file, which may pass."""


def decode_image(path: str | os.PathLike, image_size: int) -> np.ndarray:
    """Returns an image file as a square RGB array.

    The shorter side is resized to `image_size` (averaging areas to shrink, bicubic to
    enlarge), and the centre of the longer side is kept. docs/images.md says what
    becomes of grey, alpha, 16 bits, EXIF and pages. A file that claims more than 2²⁷
    pixels (2²⁶ of 16 bits) or has more than 512 MB is refused before it is decoded, so
    that it cannot fill the memory.

    Args:
        path: The image file: BMP, GIF, JPEG, PNG, TIFF or WebP.
        image_size: Pixels, at least 1.

    Returns:
        uint8 array (image_size, image_size, 3).

    Raises:
        InputError: The file cannot be read or decoded, is damaged or too large, its
            numbers are not integers of 8 or 16 bits, or `image_size` is out of range.

    Example:
        >>> decode_image("photo.jpg", image_size=64).shape
        (64, 64, 3)
    """
    image_size = check_integer("image_size", image_size, 1)
    try:
        return decode_square(path, image_size)[0]
    except UnreadableImageError as error:
        raise UnreadableImageError(
            f"{os.fspath(path)!r} cannot be read: {error}."
        ) from None


def decode_square(
    source: str | os.PathLike | bytes, image_size: int
) -> tuple[np.ndarray, str]:
    """Decodes as `decode_image`, and returns what was converted, such as "16-bit grey".

    The source is a path or a file's content. It may be called in threads. Its errors
    are the reasons alone, without the path.
    """
    with contextlib.ExitStack() as stack:
        content = source if isinstance(source, bytes) else _read(source, stack)
        header = _check_header(content)
        if max(len(content), header.width * header.height) > _LARGE:
            stack.enter_context(_one_large)
        flags = _AS_STORED | _reduction(header, image_size)
        image, stored_as = decode_pixels(content, header, flags)
        square = as_square(image, image_size)
        return cv2.cvtColor(square, cv2.COLOR_BGR2RGB), stored_as


def as_square(image: np.ndarray, image_size: int) -> np.ndarray:
    """Returns an image (height, width[, 1 or 3]), scaled and cropped, in 3 channels."""
    square = _middle(_resize_shorter_side(image, image_size), image_size)
    is_grey = square.ndim == 2 or square.shape[2] == 1
    return cv2.cvtColor(square, cv2.COLOR_GRAY2RGB) if is_grey else square


def _reduction(header, image_size):
    """Returns the flag that decodes a JPEG at 1/2, 1/4 or 1/8 of its size, or 0."""
    if header.kind == "JPEG":
        for factor, flag in _REDUCED.items():
            if min(header.width, header.height) // factor >= 4 * image_size:
                return flag
    return 0


def _check_header(content: bytes) -> Header:
    """Returns the header of a file that can be decoded within the limits."""
    header = read_header(content)
    if header is None:
        raise UnreadableImageError(_UNDECODABLE)
    most = _MAX_PIXELS * 8 // max(8, header.bits)
    if header.width * header.height > most:
        raise UnreadableImageError(
            f"it claims {header.width} × {header.height} pixels, and an image of "
            f"{header.bits} bits may have at most {most:,}"
        )
    if header.fault:
        raise UnreadableImageError(header.fault)
    return header


def decode_pixels(content: bytes, header: Header, flags: int) -> tuple[np.ndarray, str]:
    """Returns 8-bit pixels, BGR or grey, and what they were if they were not."""
    encoded = np.frombuffer(content, np.uint8, header.end or -1)
    with _places:
        image, damaged = _decode(encoded, flags)
    if damaged and image is not None:  # or another is, in another thread
        with _alone():
            image, damaged = _decode(encoded, flags)
    if image is None:
        raise UnreadableImageError(_UNDECODABLE)
    if damaged:
        raise UnreadableImageError("it is damaged")
    if image.dtype not in (np.uint8, np.uint16):
        raise UnreadableImageError(
            f"its numbers are {image.dtype}, not integers of 8 or 16 bits"
        )
    return _to_eight_bits(image, header)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Waits until no image is being decoded, and lets none begin."""
    with _next:
        for _ in range(_PLACES):
            _places.acquire()
    try:
        yield
    finally:
        _places.release(_PLACES)


def _decode(encoded, flags):
    """Returns an image or `None`, and whether a library complained meanwhile."""
    with listener:
        before = listener.count()
        try:
            image = cv2.imdecode(encoded, flags)
        except cv2.error:
            image = None
        return image, listener.count() > before


def _to_eight_bits(image, header):
    names = ["CMYK"] if header.cmyk else []
    if header.inverted:
        image = ~image
    if header.transparent is not None and image.ndim == 2:
        image[image == header.transparent] = np.iinfo(image.dtype).max
    if image.dtype == np.uint16:
        names.append("16-bit")
        image = cv2.convertScaleAbs(image, alpha=255 / 65535)
    if image.ndim == 2:
        names.append("grey")
    elif image.shape[2] == 4:
        if header.alpha and not header.cmyk:
            names.append("with alpha")
            image = _lay_over_white(image, header.premultiplied)
        else:
            image = image[..., :3]
    return image, " ".join(names)


def _lay_over_white(image, premultiplied):
    for top in range(0, len(image), _ROWS):  # a large image has no room for copies
        part = image[top : top + _ROWS]
        alpha = cv2.merge([part[..., 3]] * 3)
        colours = part[..., :3]
        if not premultiplied:
            colours = cv2.multiply(colours, alpha, scale=1 / 255)
        part[..., :3] = cv2.add(colours, 255 - alpha)
    return image[..., :3]


def _read(path, stack):
    """Returns the content of a regular file; of large ones one is read at a time."""
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise UnreadableImageError("it is a folder")
        if not stat.S_ISREG(status.st_mode):
            # Opening a pipe would wait forever, and reading a device never ends.
            raise UnreadableImageError("it is no regular file")
        if status.st_size > _MAX_BYTES:
            raise UnreadableImageError(
                f"it has {status.st_size:,} bytes, an image at most {_MAX_BYTES:,}"
            )
        if status.st_size > _LARGE:
            stack.enter_context(_one_large)
        # Not cv2.imread, which on some systems cannot open a path outside ASCII.
        with open(path, "rb") as file:
            content = file.read(status.st_size)
    except UnreadableImageError:  # a ValueError that will not pass
        raise
    except (OSError, ValueError) as error:
        raise UnreadFileError(getattr(error, "strerror", None) or str(error)) from error
    if not content:
        raise UnreadableImageError("the file is empty")
    return content


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
