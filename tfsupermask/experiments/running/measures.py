"""What is measured of a run that is done."""

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
    """What a run reached.

    Attributes:
        summary: Its summary.json.
        rows: Its metrics.csv, a dict an epoch.
        init: Its init.json, or `None` if there were no patterns.
    """

    summary: dict[str, Any]
    rows: list[dict[str, float]]
    init: dict[str, Any] | None

    @property
    def epoch(self) -> int:
        """Number of epochs done."""
        return self.summary["epoch"]


def read_outcome(path: str | Path) -> Outcome | None:
    """Returns what the run in a folder reached, or `None` if it has not ended.

    Raises:
        InputError: A file of it is not as a run writes it.

    Example:
        >>> outcome = read_outcome("runs/my_run")
        >>> outcome.epoch, len(outcome.rows)
        (1, 1)
    """
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
    """A number of a run.

    Attributes:
        label: What it is, with its unit.
        read: Returns it of an `Outcome`.
        trained: Whether the run must have been trained, not only initialised.
        higher_is_better: `None` where neither is.
    """

    label: str
    read: Callable[[Outcome], float]
    trained: bool
    higher_is_better: bool | None


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
