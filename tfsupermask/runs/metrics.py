"""The metrics of each epoch, and their CSV file."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from tfsupermask._files import write_atomically

_MEASURED = ("loss", "top1", "top5")


def columns(epoch_split: str) -> tuple[str, ...]:
    """Returns a run's columns: losses in nats; accuracies, sparsity, flips in 0..1."""
    measured = (f"{split}_{x}" for split in ("train", epoch_split) for x in _MEASURED)
    others = ("sparsity", "mask_flips", "learning_rate", "seconds")
    return "epoch", *measured, *others


def write_csv(path: Path, rows: list[dict[str, float]], epoch_split: str) -> None:
    """Writes the rows of all epochs to `path`, atomically."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns(epoch_split), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, lambda file: file.write(text.getvalue().encode()))


def read_csv(path: Path, epoch_split: str) -> list[dict[str, float]]:
    """Returns the rows that `write_csv` wrote, without other columns.

    Raises one of `DAMAGED` if a column is missing or holds no number.
    """
    with open(path, newline="") as file:
        rows = understood(list(csv.DictReader(file)), epoch_split)
    return [{name: float(row[name]) for name in columns(epoch_split)} for row in rows]


def understood(rows: list[dict], epoch_split: str) -> list[dict]:
    """Returns rows with today's names: version 0.1 called every epoch split `test`."""
    if epoch_split == "test":
        return rows
    return [
        {name.replace("test_", f"{epoch_split}_"): row[name] for name in row}
        for row in rows
    ]
