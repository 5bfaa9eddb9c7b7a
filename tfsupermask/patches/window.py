"""How a convolution looks at its input."""

from __future__ import annotations

import dataclasses


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
