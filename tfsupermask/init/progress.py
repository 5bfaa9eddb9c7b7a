"""Layers that are done, on disk, so that an interrupted initialisation goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfsupermask._arrays import read_arrays, write_arrays
from tfsupermask._files import make_folder, write_atomically
from tfsupermask._reading import parse_json
from tfsupermask._validation import InputError
from tfsupermask.init.report import LayerReport


class Progress:
    """One file for each finished layer in a folder; nothing if there is no folder.

    Args:
        folder: Where to, made when needed, or `None`.
        settings: JSON values that determine the result; a file written under others
            does not count.
    """

    def __init__(self, folder: Path | None, settings: dict[str, Any]):
        self._folder = folder
        self._settings = json.loads(json.dumps(settings))

    def restore(self, number: int, layer: keras.layers.Conv2D) -> LayerReport | None:
        """Sets a finished layer's kernel and returns its report; `None` if not done."""
        if self._folder is None or not self._path(number).is_file():
            return None
        try:
            arrays = read_arrays(self._path(number))
            kernel = arrays["kernel"]
            state = parse_json(arrays["state"].tobytes(), "state")
            if state["settings"] != self._settings or not _fits(kernel, layer):
                return None
            report = LayerReport.from_dict(state["report"])
        except (InputError, KeyError, TypeError, ValueError, OverflowError):
            return None  # torn, or of someone else: the layer is simply done again
        layer.kernel.assign(kernel)
        return report

    def save(self, number: int, layer: keras.layers.Conv2D, done: LayerReport) -> None:
        """Writes a finished layer."""
        if self._folder is None:
            return
        make_folder(self._folder)
        state = {"settings": self._settings, "report": done.as_dict()}
        arrays = {
            "kernel": layer.kernel.numpy(),
            "state": np.frombuffer(json.dumps(state).encode(), np.uint8),
        }
        write_atomically(self._path(number), lambda file: write_arrays(file, arrays))

    def _path(self, number: int) -> Path:
        return self._folder / f"layer_{number:03d}.npz"


def _fits(kernel, layer):
    """Whether a kernel is of the layer's shape, of finite numbers."""
    return (
        kernel.shape == tuple(layer.kernel.shape)
        and kernel.dtype.kind == "f"
        and bool(np.isfinite(kernel).all())
    )
