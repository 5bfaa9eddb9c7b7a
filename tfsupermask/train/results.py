"""What a run leaves behind: summary, SavedModel, pictures."""

from __future__ import annotations

import platform
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfsupermask._files import write_json
from tfsupermask._machine import num_cores, processor
from tfsupermask._reading import read_json
from tfsupermask.data import Dataset
from tfsupermask.export import export_saved_model
from tfsupermask.layers import supermask_layers
from tfsupermask.sparsity import realised_sparsity
from tfsupermask.train import pictures
from tfsupermask.train.checkpoint import Checkpoint
from tfsupermask.train.config import PATCH_INITS, Config
from tfsupermask.train.folder import RunFolder
from tfsupermask.train.loop import Totals


def evaluated_on(config: Config) -> str:
    """Returns on what images every epoch is evaluated: "test" or "validation"."""
    return "test" if config.validation_images is None else "validation"


def summarise(
    config: Config,
    model: keras.Model,
    saved: Checkpoint,
    dataset: Dataset,
    images_per_epoch: int,
    unseen: Totals | None = None,
) -> dict[str, Any]:
    """Returns the result of a run in a few numbers.

    Args:
        config: Resolved.
        model: As it is at the last checkpoint.
        saved: The last checkpoint. Before the first epoch there are no accuracies,
            seconds of training and images a second.
        dataset: The images.
        images_per_epoch: Number of images trained on in an epoch.
        unseen: Totals over the test images, where those of the epochs are over images
            held out; these are called validation then.
    """
    rows = saved.state["rows"]
    return {
        "epoch": saved.epoch,
        **(_last_metrics(rows, unseen) if rows else {}),
        "epochs": config.epochs,
        "sparsity": realised_sparsity(model),
        "layer_sparsity": {
            layer.name: layer.realised_sparsity for layer in supermask_layers(model)
        },
        "train_images": len(dataset.train),
        **_evaluated(dataset),
        "init_seconds": saved.state["init_seconds"],
        **(_speed(rows, images_per_epoch) if rows else {}),
        "machine": {"processor": processor(), "cores": num_cores()},
        "versions": {
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "numpy": np.__version__,
        },
    }


def _last_metrics(rows, unseen):
    last = {
        name: value
        for name, value in rows[-1].items()
        if name.startswith(("train_", "test_"))
    }
    if unseen is None:
        return last
    validation = {
        name.replace("test_", "validation_"): value for name, value in last.items()
    }
    return validation | unseen.means("test_")


def _evaluated(dataset):
    if dataset.unseen is None:
        return {"test_images": len(dataset.test)}
    return {
        "validation_images": len(dataset.test),
        "test_images": len(dataset.unseen),
    }


def _speed(rows, images_per_epoch):
    seconds = sum(row["seconds"] for row in rows)
    return {
        "train_seconds": seconds,
        "images_per_second": len(rows) * images_per_epoch / seconds,
    }


def write_results(
    folder: RunFolder,
    config: Config,
    model: keras.Model,
    dataset: Dataset,
    saved: Checkpoint,
    summary: dict[str, Any],
) -> None:
    """Writes SavedModel, pictures and, when they are there, the summary.

    A network that has not been trained yet gets no SavedModel.
    """
    rows = saved.state["rows"]
    if rows:
        export_saved_model(
            model, folder.saved_model, dataset.mean, dataset.std, dataset.class_names
        )
    report = None
    if config.init in PATCH_INITS:
        report = read_json(folder.init_report)
    pictures.draw_all(
        *(folder.pictures, model, dataset, rows, report, config.seed),
        evaluated_on(config),
    )
    write_json(folder.summary, summary)
