"""How far an initialisation has come: on disk, so that it can go on, and on screen."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tqdm import tqdm

from tfsupermask._arrays import read_arrays, write_arrays
from tfsupermask._files import make_folder, write_atomically
from tfsupermask._reading import parse_json
from tfsupermask._text import BAR
from tfsupermask._validation import InputError
from tfsupermask.init.report import LayerReport
from tfsupermask.init.settings import LayerPlan
from tfsupermask.patches import Patches

_PASSES = 3  # over a layer's patches: survey, projection, clustering


class Progress:
    """A file for each finished layer of the same settings, if there is a folder."""

    def __init__(self, folder: str | os.PathLike | None, settings: dict[str, Any]):
        self._folder = None if folder is None else Path(folder)
        # NumPy's numbers are not JSON.
        self._settings = json.loads(json.dumps(settings, default=lambda x: x.item()))

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
            "kernel": kernel.numpy().astype(np.float32),
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


class Work:
    """The layers of an initialisation one by one, their times and a progress bar."""

    def __init__(self, plans: list[LayerPlan], progress: Progress, verbose: bool):
        self.reports: list[LayerReport] = []
        self._plans, self._progress = plans, progress
        self._starts: list[tuple[str, float]] = []
        self._bar = tqdm(
            total=_PASSES * sum(plan.num_patches for plan in plans),
            bar_format=BAR,
            disable=None if verbose else True,
            leave=False,
        )

    def __enter__(self) -> Work:
        return self

    def __exit__(self, *error) -> None:
        self._bar.close()

    def layers(self) -> Iterator[LayerPlan]:
        """Yields the layers that are not done; the others get their kernels back."""
        for place, plan in enumerate(self._plans, start=1):
            self._bar.set_description(f"PatchesInit {place}/{len(self._plans)}")
            layer, self._starts = plan.convolution, []
            report = self._progress.restore(layer.number, layer.kernel.variable)
            if report is None:
                yield plan
            else:
                self._bar.total -= _PASSES * plan.num_patches
                self.reports.append(report)

    def begin(self, plan: LayerPlan, stage: str) -> None:
        """Ends a layer's stage and begins its next."""
        self._starts.append((stage, time.perf_counter()))
        self._bar.set_postfix_str(f"{plan.convolution.name}, {stage}")

    def blocks(self, patches: Patches) -> Iterator[np.ndarray]:
        """Yields the blocks of patches, counted on the bar."""
        for block in patches.blocks():
            yield block
            self.count(block)

    def count(self, patches: Patches | np.ndarray) -> None:
        """Moves the bar on by one pass over these patches."""
        self._bar.update(len(patches))

    def done(self, plan: LayerPlan, **report: Any) -> None:
        """Ends the last stage of a layer, reports it and writes it."""
        ends = [start for _, start in self._starts[1:]] + [time.perf_counter()]
        starts = zip(self._starts, ends, strict=True)
        seconds = {stage: end - start for (stage, start), end in starts}
        layer = plan.convolution
        self.reports.append(LayerReport(layer=layer.name, seconds=seconds, **report))
        self._progress.save(layer.number, layer.kernel.variable, self.reports[-1])
