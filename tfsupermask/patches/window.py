"""How a convolution looks at its input."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Window:
    """How a convolution slides over its input map: sizes in map pixels.

    `padding` is `"same"` or `"valid"`; each pair is (vertical, horizontal).
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
