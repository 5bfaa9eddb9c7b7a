"""JPEG files of one size to arrays."""

from __future__ import annotations

import cv2
import numpy as np

from tfsupermask._validation import InputError
from tfsupermask.data.headers import jpeg_header

IMAGE_SIZE = 64
UNDECODABLE = "images that cannot be decoded"
_OTHER_SIZE = f"images of another size than {IMAGE_SIZE}×{IMAGE_SIZE}"


class UnusableImageError(InputError):
    """The image cannot be used.

    Args:
        kind: which kind of images cannot be used for this reason, in the plural.
    """

    def __init__(self, kind: str):
        super().__init__(f"The image is among the {kind}.")
        self.kind = kind


def decode_image(encoded: bytes) -> np.ndarray:
    """Returns a JPEG file as an RGB array; grayscale is repeated in the channels.

    Args:
        encoded: the contents of the file.

    Returns:
        uint8 array of shape `[64, 64, 3]`.

    Raises:
        UnusableImageError: if it is no whole JPEG, or of another size.
    """
    # The size is read before the pixels are decoded, as a small file may claim many.
    size, end = jpeg_header(encoded)
    # Some versions of OpenCV fill what is missing of a cut file with grey.
    if size is None or encoded.find(b"\xff\xd9", end) < 0:
        raise UnusableImageError(UNDECODABLE)
    if size != (IMAGE_SIZE, IMAGE_SIZE):
        raise UnusableImageError(_OTHER_SIZE)
    try:
        image = cv2.imdecode(
            np.frombuffer(encoded, np.uint8),
            # The boxes belong to the image as stored, whatever EXIF says of its side.
            cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION,
        )
    except cv2.error:
        image = None
    if image is None:
        raise UnusableImageError(UNDECODABLE)
    return image
