"""What is measured each epoch, and where it is written."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tfsupermask._files import write_atomically
from tfsupermask.layers import supermask_layers

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


def realised_sparsity(model: keras.Model) -> float:
    """Returns the fraction of all supermask layers' weights that masks remove."""
    layers = supermask_layers(model)
    kept = sum(layer.num_kept for layer in layers)
    return 1 - kept / sum(layer.num_weights for layer in layers)


class MaskWatch:
    """Notices which mask bits flip between two looks at a model."""

    def __init__(self, model: keras.Model):
        self._layers = supermask_layers(model)
        self._bits = self._look()

    def _look(self):
        return [np.packbits(layer.mask.numpy().astype(bool)) for layer in self._layers]

    def flipped(self) -> float:
        """Returns the fraction of all mask bits that flipped since the last look."""
        before, self._bits = self._bits, self._look()
        flips = sum(
            int(np.bitwise_count(old ^ new).sum())
            for old, new in zip(before, self._bits, strict=True)
        )
        return flips / sum(layer.num_weights for layer in self._layers)


def write_csv(path: Path, rows: list[dict[str, float]]) -> None:
    """Writes all epochs' rows to `path`, atomically. Accuracies are fractions."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, lambda file: file.write(text.getvalue().encode()))


def write_events(writer: tf.summary.SummaryWriter, row: dict[str, float]) -> None:
    """Adds one epoch to TensorBoard's event file."""
    with writer.as_default(step=row["epoch"]):
        for name, value in row.items():
            if name != "epoch":
                tf.summary.scalar(name.replace("_", "/", 1), value)
    writer.flush()
