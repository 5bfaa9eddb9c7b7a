"""What all benchmarks share: timing in turn, peak memory, tables and files."""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import statistics
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from matplotlib.figure import Figure

from benchmarks import _markdown
from tfsupermask._machine import num_cores, processor

QUICK = flags.DEFINE_boolean("quick", False, "The smallest sizes, few rounds.")
OUTPUT = flags.DEFINE_string(
    "output", None, "JSON file to write; the picture goes beside it, as .png."
)

PACKAGES = ("tensorflow", "keras", "numpy", "scikit-learn", "torch")


def machine() -> dict[str, Any]:
    """Returns what measurements depend on: processor, usable cores, versions."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "processor": processor(),
        "cores": num_cores(),
        "python": platform.python_version(),
        **versions,
    }


def describe() -> str:
    """Returns the machine in one line."""
    return ", ".join(
        f"{value} {name}" if name == "cores" else f"{name} {value}"
        for name, value in machine().items()
    )


def medians(calls: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Returns the median seconds of each function, without its first call.

    The functions take turns, so that other work of the machine affects all equally.
    """
    seconds = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if number:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


def in_process(function: Callable, *arguments: Any) -> Any:
    """Returns `function(*arguments)` from a new process, or raises RuntimeError.

    So one measurement leaves nothing in memory for the next.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        try:
            return pool.submit(function, *arguments).result()
        except Exception as error:  # its own, or that it was killed
            called = f"{function.__name__}{arguments}"
            raise RuntimeError(f"{called} failed: {error!r}") from error


class PeakMemory:
    """The largest increase of memory in a `with` block, in bytes."""

    def __enter__(self):
        self._start = self._most = resident_bytes()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def _run(self):
        while not self._done.wait(0.02):
            self._most = max(self._most, resident_bytes())

    def __exit__(self, *exception):
        self._done.set()
        self._thread.join()
        self.bytes = self._most - self._start


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def print_table(heads: list[str], rows: list[list[str]]) -> None:
    """Prints a Markdown table: first column to the left, the others to the right."""
    print(f"\n{_markdown.table(heads, rows)}")


def draw_steps(seconds: Mapping[str, Mapping[str, float]]) -> Figure:
    """Returns a figure of training steps: bars for each network, one for each kind."""
    figure = Figure(figsize=(7, 3.5))
    axes = figure.add_subplot(ylabel="milliseconds a step")
    kinds = list(next(iter(seconds.values())))
    width = 0.8 / len(kinds)
    for place, kind in enumerate(kinds):
        heights = [1000 * each[kind] for each in seconds.values()]
        left = np.arange(len(heights)) + (place - (len(kinds) - 1) / 2) * width
        bars = axes.bar(left, heights, width, label=kind)
        axes.bar_label(bars, fmt="%.0f", fontsize=8)
    axes.set_xticks(range(len(seconds)), seconds)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def save(
    results: Mapping[str, Any],
    figure: Figure | None = None,
    path: str | Path | None = None,
) -> None:
    """Writes results to `path` or `--output`, if any, as JSON, and a figure beside."""
    path = path or OUTPUT.value
    if path is None:
        return
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"machine": machine(), **results}, indent=2) + "\n"
    path.write_text(text)
    if figure is not None:
        figure.savefig(path.with_suffix(".png"), dpi=120, bbox_inches="tight")
