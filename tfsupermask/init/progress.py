"""Layers that are done, on disk, so that an interrupted initialisation goes on."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfsupermask._files import write_atomically
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
            with np.load(self._path(number), allow_pickle=False) as archive:
                kernel, text = archive["kernel"], archive["state"].tobytes()
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return None  # torn: the layer is simply done again
        state = json.loads(text)
        if state["settings"] != self._settings or kernel.shape != layer.kernel.shape:
            return None
        layer.kernel.assign(kernel)
        return LayerReport.from_dict(state["report"])

    def save(self, number: int, layer: keras.layers.Conv2D, done: LayerReport) -> None:
        """Writes a finished layer."""
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        state = {"settings": self._settings, "report": done.as_dict()}
        content = io.BytesIO()
        np.savez(
            content,
            kernel=layer.kernel.numpy(),
            state=np.frombuffer(json.dumps(state).encode(), np.uint8),
        )
        write_atomically(
            self._path(number), lambda file: file.write(content.getvalue())
        )

    def _path(self, number: int) -> Path:
        return self._folder / f"layer_{number:03d}.npz"
