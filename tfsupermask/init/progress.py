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

    def restore(self, number: int, kernel: keras.Variable) -> LayerReport | None:
        """Sets a finished layer's kernel and returns its report; `None` if not done."""
        if self._folder is None or not self._path(number).is_file():
            return None
        try:
            arrays = read_arrays(self._path(number))
            values = arrays["kernel"]
            state = parse_json(arrays["state"].tobytes(), "state")
            if state["settings"] != self._settings or not _fits(values, kernel):
                return None
            report = LayerReport.from_dict(state["report"])
        except (InputError, KeyError, TypeError, ValueError, OverflowError):
            return None  # torn, or of someone else: the layer is simply done again
        kernel.assign(values)
        return report

    def save(self, number: int, kernel: keras.Variable, done: LayerReport) -> None:
        """Writes a finished layer."""
        if self._folder is None:
            return
        make_folder(self._folder)
        state = {"settings": self._settings, "report": done.as_dict()}
        arrays = {
            "kernel": kernel.numpy(),
            "state": np.frombuffer(json.dumps(state).encode(), np.uint8),
        }
        write_atomically(self._path(number), lambda file: write_arrays(file, arrays))

    def _path(self, number: int) -> Path:
        return self._folder / f"layer_{number:03d}.npz"


def _fits(values, kernel):
    """Whether values are of the kernel's shape, all of them finite numbers."""
    return (
        values.shape == tuple(kernel.shape)
        and values.dtype.kind == "f"
        and bool(np.isfinite(values).all())
    )
