"""What a run leaves behind: summary, SavedModel, pictures."""

from __future__ import annotations

import platform
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfsupermask._files import write_json
from tfsupermask._reading import read_json
from tfsupermask.data import Dataset
from tfsupermask.export import export_saved_model
from tfsupermask.layers import supermask_layers
from tfsupermask.sparsity import realised_sparsity
from tfsupermask.train import pictures
from tfsupermask.train.checkpoint import Checkpoint
from tfsupermask.train.config import PATCH_INITS, Config
from tfsupermask.train.folder import RunFolder


def summarise(
    config: Config, model: keras.Model, saved: Checkpoint, images_per_epoch: int
) -> dict[str, Any]:
    """Returns the result of a run in a few numbers.

    Args:
        config: Resolved.
        model: As it is at the last checkpoint.
        saved: The last checkpoint, after one epoch at least.
        images_per_epoch: Number of images trained on in an epoch.
    """
    rows = saved.state["rows"]
    train_seconds = sum(row["seconds"] for row in rows)
    return {
        **{
            name: value
            for name, value in rows[-1].items()
            if name.startswith(("train_", "test_", "epoch"))
        },
        "epochs": config.epochs,
        "sparsity": realised_sparsity(model),
        "layer_sparsity": {
            layer.name: layer.realised_sparsity for layer in supermask_layers(model)
        },
        "init_seconds": saved.state["init_seconds"],
        "train_seconds": train_seconds,
        "images_per_second": len(rows) * images_per_epoch / train_seconds,
        "versions": {
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
        },
    }


def write_results(
    folder: RunFolder,
    config: Config,
    model: keras.Model,
    dataset: Dataset,
    saved: Checkpoint,
    summary: dict[str, Any],
) -> None:
    """Writes SavedModel, pictures and, when they are there, the summary."""
    export_saved_model(
        model, folder.saved_model, dataset.mean, dataset.std, dataset.class_names
    )
    report = None
    if config.init in PATCH_INITS:
        report = read_json(folder.init_report)
    rows = saved.state["rows"]
    pictures.draw_all(folder.pictures, model, dataset, rows, report, config.seed)
    write_json(folder.summary, summary)
