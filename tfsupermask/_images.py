"""What functions on images take: arrays, and images in a file that read like one."""

from __future__ import annotations

from typing import Any, Protocol


class ImageArray(Protocol):
    """Images (n, …): their shape and type, and those at given indices as an array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, …)."""

    @property
    def ndim(self) -> int:
        """Number of dimensions."""

    @property
    def dtype(self) -> Any:
        """NumPy type of the numbers."""

    def __len__(self) -> int: ...

    def __getitem__(self, indices: Any, /) -> Any: ...
