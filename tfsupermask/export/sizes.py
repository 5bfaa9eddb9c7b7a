"""What a subnetwork weighs: as it is, in a file, compressed, and at the very least."""

from __future__ import annotations

import math
import os
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import keras

from tfsupermask._text import aligned
from tfsupermask._validation import InputError
from tfsupermask.layers import masked_weights
from tfsupermask.layers.walking import mask_variables
from tfsupermask.tickets import save_ticket

_ZEROS = "Removed weights are zeros in this format: only compression or a ticket saves."


def dense_bytes(model: keras.Model) -> int:
    """Returns the bytes of all weights as float32, removed ones included, masks not."""
    masks = mask_variables(model)
    weights = [weight for weight in model.weights if id(weight) not in masks]
    return 4 * sum(math.prod(weight.shape) for weight in weights)


def mask_bytes(model: keras.Model) -> int:
    """Returns the information limit of the masks, in whole bytes.

    To say which of n weights a mask removes, each with probability p, takes at least
    n · H(p) bits on average, where H(p) = -p log₂ p - (1 - p) log₂(1 - p).
    """
    bits = sum(
        weight.num_weights * _entropy(weight.num_kept / weight.num_weights)
        for weight in masked_weights(model)
    )
    return math.ceil(bits / 8)


def _entropy(p):
    return -sum(q * math.log2(q) for q in (p, 1 - p) if q > 0)


def file_bytes(path: str | os.PathLike) -> int:
    """Returns the bytes of a file, or of all files in a folder."""
    return sum(file.stat().st_size for file in _files(path))


def compressed_bytes(path: str | os.PathLike) -> int:
    """Returns how many bytes `gzip -9` makes of a file or folder, without headers."""
    return sum(len(zlib.compress(file.read_bytes(), 9)) for file in _files(path))


def _files(path) -> Iterator[Path]:
    path = Path(path)
    return filter(Path.is_file, path.rglob("*")) if path.is_dir() else iter([path])


def ticket_bytes(model: keras.Model) -> int | None:
    """Returns the bytes of the model's float32 ticket, `None` if it cannot have one."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            return file_bytes(save_ticket(model, Path(folder, "model.ticket")))
        except InputError:
            return None


def size_table(model: keras.Model, path: str | os.PathLike) -> str:
    """Returns a table of what the model and its export weigh.

    Args:
        model: Keras model with supermask layers.
        path: What was written of it.

    Returns:
        Lines of name, bytes and percentage of the dense float32 weights; last a
        sentence that says why a pruned file is not smaller, unless it is a ticket.

    Example:
        >>> import tempfile
        >>> model = models.build("conv2", (8, 8, 3), sparsity=0.9)
        >>> path = export_model(model, tempfile.mkdtemp() + "/conv2.keras")
        >>> print(size_table(model, path))
                                           bytes   of dense
        all weights, float32           1,475,328    100.0 %
        conv2.keras                    1,5...
        conv2.keras, compressed          2...
        ticket, float32                   2...
        masks alone, at the least         21,623      1.5 %
        Removed weights are zeros in this format: only compression or a ticket saves.
    """
    path, dense = Path(path), dense_bytes(model)
    sizes = {
        "all weights, float32": dense,
        path.name: file_bytes(path),
        f"{path.name}, compressed": compressed_bytes(path),
        "ticket, float32": None if path.suffix == ".ticket" else ticket_bytes(model),
        "masks alone, at the least": mask_bytes(model),
    }
    lines = [
        (name, f"{size:,}", f"{100 * size / dense:.1f} %")
        for name, size in sizes.items()
        if size is not None
    ]
    table = aligned([("", "bytes", "of dense"), *lines], "<>>", widths=(0, 13, 9))
    return table if path.suffix == ".ticket" else f"{table}\n{_ZEROS}"
