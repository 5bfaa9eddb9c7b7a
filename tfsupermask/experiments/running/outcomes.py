"""What a finished run reached, and the numbers that are measured on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tfsupermask._reading import read_json
from tfsupermask.runs import RunFolder
from tfsupermask.runs.metrics import read_csv

_LAYERS = 6


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a run wrote into summary.json, metrics.csv and, with patterns, init.json."""

    summary: dict[str, Any]
    rows: list[dict[str, float]]
    init: dict[str, Any] | None

    @property
    def epoch(self) -> int:
        """Number of epochs done."""
        return self.summary["epoch"]


def read_outcome(path: str | Path) -> Outcome | None:
    """Returns what the run in a folder reached, or `None` if it has not ended."""
    folder = RunFolder(Path(path))
    if not folder.summary.is_file():
        return None
    summary, rows, init = read_json(folder.summary), [], None
    if folder.metrics.is_file():
        split = "validation" if "validation_top1" in summary else "test"
        rows = read_csv(folder.metrics, split)
    if folder.init_report.is_file():
        init = read_json(folder.init_report)
    return Outcome(summary, rows, init)


@dataclasses.dataclass(frozen=True)
class Measure:
    """A number that is read from an `Outcome`; the label names its unit."""

    label: str
    read: Callable[[Outcome], float]
    trained: bool  # whether a run must be trained for it, not only initialised
    higher_is_better: bool | None  # `None`: neither is better


def _percent(name):
    return lambda outcome: 100 * outcome.summary[name]


def _entropy(layer):
    return lambda outcome: outcome.init["layers"][layer - 1]["mean_entropy"]


def _minutes(outcome):
    return outcome.summary["init_seconds"] / 60


MEASURES = {
    "test_top1": Measure("top-1 accuracy / %", _percent("test_top1"), True, True),
    "test_top5": Measure("top-5 accuracy / %", _percent("test_top5"), True, True),
    "validation_top1": Measure(
        "accuracy on images held out / %", _percent("validation_top1"), True, True
    ),
    "init_minutes": Measure("minutes of initialisation", _minutes, False, False),
} | {
    f"entropy_{layer}": Measure(
        f"mean entropy of layer {layer}'s clusters / bit", _entropy(layer), False, None
    )
    for layer in range(1, _LAYERS + 1)
}
