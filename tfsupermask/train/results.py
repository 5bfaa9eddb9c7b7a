"""The results of a run: summary, SavedModel, pictures."""

from __future__ import annotations

import platform
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfsupermask._files import write_json
from tfsupermask._machine import commit, num_cores, processor
from tfsupermask._reading import read_json
from tfsupermask._version import __version__
from tfsupermask.data import Dataset
from tfsupermask.export import export_saved_model
from tfsupermask.layers import supermask_layers
from tfsupermask.runs import PATCH_INITS, Config, RunFolder
from tfsupermask.runs.checkpoint import Checkpoint
from tfsupermask.sparsity import realised_sparsity
from tfsupermask.train import pictures


def summarise(
    config: Config,
    model: keras.Model,
    saved: Checkpoint,
    dataset: Dataset,
    images_per_epoch: int,
) -> dict[str, Any]:
    """Returns the numbers of summary.json; before the first epoch some are missing."""
    rows = saved.state["rows"]
    last = rows[-1] if rows else {}
    splits = ("train", "validation", "test")
    summary = {
        "epoch": saved.epoch,
        **{name: value for name, value in last.items() if name.startswith(splits)},
        "epochs": config.epochs,
        "sparsity": realised_sparsity(model),
        "layer_sparsity": {
            layer.name: layer.realised_sparsity for layer in supermask_layers(model)
        },
        **{
            f"{name}_images": len(split)
            for name in splits
            if (split := getattr(dataset, name)) is not None
        },
        "init_seconds": saved.state["init_seconds"],
    }
    if rows:
        seconds = summary["train_seconds"] = sum(row["seconds"] for row in rows)
        summary["images_per_second"] = len(rows) * images_per_epoch / seconds
    return summary


def provenance(config: Config, command: str | None) -> dict[str, Any]:
    """Returns what else makes the numbers of summary.json: program and machine."""
    return {
        "commit": commit(),
        "command": command,
        "precision": config.precision,
        "machine": {"processor": processor(), "cores": num_cores()},
        "versions": {
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
            "tfsupermask": __version__,
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
    """Writes the SavedModel of a trained network, the pictures, then the summary."""
    rows = saved.state["rows"]
    if rows:
        export_saved_model(
            model, folder.saved_model, dataset.mean, dataset.std, dataset.class_names
        )
    has_report = config.init in PATCH_INITS
    report = read_json(folder.init_report) if has_report else None
    pictures.draw_all(folder.pictures, model, dataset, rows, report, config.seed)
    write_json(folder.summary, summary)
