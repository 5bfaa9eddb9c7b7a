"""What is measured each epoch, and where it is written."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from tfsupermask._files import write_atomically

_MEASURED = ("loss", "top1", "top5")


def columns(epoch_split: str) -> tuple[str, ...]:
    """Returns the columns of a run, see `Config.epoch_split`.

    Accuracies, sparsity and flips are fractions, losses nats.
    """
    measured = (f"{split}_{x}" for split in ("train", epoch_split) for x in _MEASURED)
    rest = ("sparsity", "mask_flips", "learning_rate", "seconds")
    return "epoch", *measured, *rest


def write_csv(path: Path, rows: list[dict[str, float]], epoch_split: str) -> None:
    """Writes all epochs' rows to `path`, atomically."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns(epoch_split), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, lambda file: file.write(text.getvalue().encode()))


def read_csv(path: Path, epoch_split: str) -> list[dict[str, float]]:
    """Returns the rows that `write_csv` wrote; other columns are passed over.

    Raises:
        KeyError, TypeError, ValueError: A column is missing, or holds no number.
        OSError: The file cannot be read.

    Example:
        >>> read_csv(Path("runs/my_run/metrics.csv"), "test")[0]["epoch"]
        1.0
    """
    with open(path, newline="") as file:
        rows = understood(list(csv.DictReader(file)), epoch_split)
    return [{name: float(row[name]) for name in columns(epoch_split)} for row in rows]


def understood(rows: list[dict], epoch_split: str) -> list[dict]:
    """Returns rows under today's names.

    Version 0.1 called `test` whatever images the epochs were evaluated on.
    """
    if epoch_split == "test":
        return rows
    return [
        {name.replace("test_", f"{epoch_split}_"): row[name] for name in row}
        for row in rows
    ]
