"""Pictures inside a page: PNG as data URIs."""

from __future__ import annotations

import base64

import cv2
import numpy as np

_RIGHT = (36, 99, 190)
_WRONG = (214, 92, 24)


def png_uri(png: bytes) -> str:
    """Returns the data URI of a PNG file's content."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def image_uri(image: np.ndarray) -> str:
    """Returns a data URI of uint8 pixels, (height, width, 3) RGB or 4 with opacity.

    Example:
        >>> image_uri(np.zeros((2, 2, 3), np.uint8))[:30]
        'data:image/png;base64,iVBORw0K'
    """
    order = [2, 1, 0, 3][: image.shape[2]]
    _, encoded = cv2.imencode(".png", np.ascontiguousarray(image[..., order]))
    return png_uri(encoded.tobytes())


def confusion_map(confusion: np.ndarray) -> np.ndarray:
    """Returns a confusion matrix as a picture of one pixel a cell.

    The opacity is the cell's share of its row, see `shade`; right predictions are
    blue, wrong ones orange.

    Returns:
        uint8 (classes, classes, 4).
    """
    right = np.eye(len(confusion), dtype=bool)[..., None]
    colour = np.where(right, np.uint8(_RIGHT), np.uint8(_WRONG))
    opacity = np.uint8(np.round(255 * shade(confusion)))
    return np.concatenate([colour, opacity[..., None]], axis=2)


def shade(confusion: np.ndarray) -> np.ndarray:
    """Returns the square root of each cell's share of its row, which shows small ones.

    Example:
        >>> shade(np.array([[3, 1], [0, 0]])).round(2).tolist()
        [[0.87, 0.5], [0.0, 0.0]]
    """
    totals = confusion.sum(axis=1, keepdims=True)
    return np.sqrt(confusion / np.maximum(totals, 1))
