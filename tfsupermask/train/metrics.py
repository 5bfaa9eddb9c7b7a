"""What is measured each epoch, and where it is written."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from tfsupermask._files import write_atomically

COLUMNS = (
    "epoch",
    "train_loss",
    "train_top1",
    "train_top5",
    "test_loss",
    "test_top1",
    "test_top5",
    "sparsity",
    "mask_flips",
    "learning_rate",
    "seconds",
)


def write_csv(path: Path, rows: list[dict[str, float]]) -> None:
    """Writes all epochs' rows to `path`, atomically. Accuracies are fractions."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, lambda file: file.write(text.getvalue().encode()))


def read_csv(path: Path) -> list[dict[str, float]]:
    """Returns the rows that `write_csv` wrote; other columns are passed over.

    Raises:
        KeyError, TypeError, ValueError: A column is missing, or holds no number.
        OSError: The file cannot be read.

    Example:
        >>> read_csv(Path("runs/my_run/metrics.csv"))[0]["epoch"]
        1.0
    """
    with open(path, newline="") as file:
        return [
            {name: float(row[name]) for name in COLUMNS} for row in csv.DictReader(file)
        ]
