"""The numbers of a run's summary.json."""

from __future__ import annotations

import platform
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfsupermask._machine import commit, num_cores, processor
from tfsupermask._version import __version__
from tfsupermask.data import Dataset
from tfsupermask.layers import supermask_layers
from tfsupermask.layers.walking import named_layers
from tfsupermask.runs import Config
from tfsupermask.runs.checkpoint import Checkpoint
from tfsupermask.sparsity import realised_sparsity


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
    layers = supermask_layers(model)
    names = named_layers(model, layers.__contains__)
    summary = {
        "epoch": saved.epoch,
        **{name: value for name, value in last.items() if name.startswith(splits)},
        "epochs": config.epochs,
        "sparsity": realised_sparsity(model),
        "layer_sparsity": {names[layer]: layer.realised_sparsity for layer in layers},
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
