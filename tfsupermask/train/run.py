"""The main job: images in, a supermask and everything about it out."""

from __future__ import annotations

import json
import platform
import shutil
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tfsupermask import data, init
from tfsupermask._files import write_json
from tfsupermask.data import TrainBatches
from tfsupermask.export import export_saved_model
from tfsupermask.layers import supermask_layers
from tfsupermask.sparsity import MaskWatch, realised_sparsity
from tfsupermask.train import checkpoint as checkpoints
from tfsupermask.train import events, metrics, pictures
from tfsupermask.train.build import (
    build_model,
    patches_init,
    restore,
    set_sparsity,
    values_of,
)
from tfsupermask.train.checkpoint import Checkpoint
from tfsupermask.train.config import PATCH_INITS, Config
from tfsupermask.train.folder import RunFolder, claim, fingerprint
from tfsupermask.train.loop import Loop, Totals
from tfsupermask.train.optimizer import SGDWithL2
from tfsupermask.train.recipes import resolve
from tfsupermask.train.strategies import is_chief, make_strategy


def run(config: Config) -> dict[str, Any]:
    """Initialises, trains, evaluates and exports; goes on where an earlier call ended.

    Args:
        config: What to run. Fields left at `None` come from the dataset's recipe.

    Returns:
        The content of the run folder's `summary.json`.

    Raises:
        InputError: The config, the images or the run folder cannot be used, or the loss
            became infinite or NaN. What the run folder held before stays intact.

    Example:
        >>> mine = {"dataset": "folder", "data_dir": "my_images", "image_size": 8}
        >>> config = Config(**mine, init="kaiming_normal", batch_size=32, epochs=1)
        >>> summary = run(config)
        runs/conv2-folder-prune0.5-kaiming_normal-seed0-...
        >>> summary["epoch"]
        1

    Reference:
        - Thesis §5.2.
    """
    config.validate()
    strategy = make_strategy(config.strategy)
    dataset = data.load(config.dataset, config.data_dir, config.image_size)
    config = resolve(config, len(dataset.train))
    sha256 = fingerprint(dataset)
    folder = RunFolder(Path(config.workdir or Path("runs") / config.run_name(sha256)))
    job = _Job(config, dataset, strategy, folder)
    if job.chief:
        claim(folder, config, dataset, sha256)
    return job.do()


class _Job:
    """One run: the objects that its phases share."""

    def __init__(self, config, dataset, strategy, folder):
        self.config, self.dataset, self.folder = config, dataset, folder
        self.chief = is_chief(strategy)
        self.batches = TrainBatches(
            dataset.train,
            config.batch_size,
            config.seed,
            dataset.crop_padding,
            dataset.horizontal_flip,
        )
        with strategy.scope():
            self.model = build_model(config, dataset.image_shape, dataset.num_classes)
            self.optimizer = SGDWithL2(
                keras.optimizers.schedules.CosineDecay(
                    config.learning_rate, config.epochs * self.batches.steps_per_epoch
                ),
                config.momentum,
                config.weight_decay,
            )
            self.optimizer.build(self.model.trainable_variables)
        self.loop = Loop(
            self.model,
            self.optimizer,
            strategy,
            dataset,
            config.batch_size,
            config.jit_compile,
        )

    def do(self) -> dict[str, Any]:
        """Runs what is left to run."""
        replicas = self.loop.strategy.num_replicas_in_sync
        device = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
        self.say(f"{self.folder.root}  ({replicas} x {device})")
        saved = checkpoints.restore_latest(self.folder.checkpoints)
        if saved is None:
            saved = self._initialise()
        else:
            restore(saved, self.model, self.optimizer)
            self.say(f"resumed after epoch {saved.epoch}")
        last = self.config.stop_after_epoch or self.config.epochs
        saved = self._train(saved, last)
        return self._finish(saved)

    def say(self, text: str) -> None:
        """Prints a line above the progress bar, in one process only."""
        if self.chief:
            tqdm.write(text)

    def _initialise(self) -> Checkpoint:
        config, start = self.config, time.perf_counter()
        if config.init in PATCH_INITS:
            train = self.dataset.train
            report = patches_init(config, self.model, verbose=self.chief).apply(
                self.model,
                train.images,
                train.labels,
                self.loop.normalise,
                self.folder.init_progress if self.chief else None,
            )
            self.say(str(report))
            if self.chief:
                write_json(self.folder.init_report, report.as_dict())
        else:
            init.initialize(
                self.model,
                config.init,
                config.seed,
                fan_correction=config.fan_correction,
            )
        seconds = time.perf_counter() - start
        self.say(f"initialised by {config.init} in {seconds:.1f} s")
        set_sparsity(config, self.model, 0)
        state = {"init_seconds": seconds, "rows": []}
        saved = self._save(0, state)
        if self.chief:
            shutil.rmtree(self.folder.init_progress, ignore_errors=True)
        return saved

    def _save(self, epoch: int, state: dict[str, Any]) -> Checkpoint:
        saved = Checkpoint(epoch, values_of(self.model, self.optimizer), state)
        if self.chief:
            checkpoints.save(self.folder.checkpoints, saved)
        return saved

    def _train(self, saved: Checkpoint, last: int) -> Checkpoint:
        watch = MaskWatch(self.model)
        images_per_epoch = self.batches.steps_per_epoch * self.config.batch_size
        if self.chief:
            metrics.write_csv(self.folder.metrics, saved.state["rows"])
            writer = tf.summary.create_file_writer(str(self.folder.events))
        with tqdm(
            total=self.config.epochs * images_per_epoch,
            initial=saved.epoch * images_per_epoch,
            unit=" images",
            unit_scale=True,
            leave=False,
            disable=None if self.chief else True,
        ) as bar:
            for epoch in range(saved.epoch, last):
                bar.set_description(f"epoch {epoch + 1}/{self.config.epochs}")
                row = self._train_epoch(epoch, watch, bar)
                rows = [*saved.state["rows"], row]
                saved = self._save(epoch + 1, {**saved.state, "rows": rows})
                if self.chief:
                    self._record(writer, rows, watch.by_weight)
                self.say(_line(row, self.config.epochs))
                if epoch == self.config.ramp_epochs:
                    self._warn_at_chance(row)
        return saved

    def _record(self, writer, rows, churn):
        metrics.write_csv(self.folder.metrics, rows)
        events.write_events(writer, rows[-1])
        events.write_model_events(writer, self.model, rows[-1]["epoch"], churn)

    def _train_epoch(self, epoch, watch, bar) -> dict[str, float]:
        start, total = time.perf_counter(), Totals()
        set_sparsity(self.config, self.model, epoch)
        for some in self.loop.train_epoch(self.batches, epoch):
            total += some
            bar.update(int(some.images))
            bar.set_postfix(loss=f"{some.loss / some.images:.3f}")
        seconds = time.perf_counter() - start
        return {
            "epoch": epoch + 1,
            **total.means("train_"),
            **self.loop.evaluate(self.dataset.test).means("test_"),
            "sparsity": realised_sparsity(self.model),
            "mask_flips": watch.flipped(),
            "learning_rate": float(self.optimizer.learning_rate),
            "seconds": seconds,
        }

    def _warn_at_chance(self, row):
        labels = self.dataset.test.labels
        chance = np.bincount(labels).max() / len(labels)
        error = np.sqrt(chance * (1 - chance) / len(labels))
        if row["test_top1"] <= chance + 3 * error:
            self.say(
                f"WARNING: still at chance after epoch {row['epoch']}: test accuracy "
                f"{row['test_top1']:.4f}, most frequent class {chance:.4f}; another "
                "--init or --learning_rate may help."
            )

    def _finish(self, saved: Checkpoint) -> dict[str, Any]:
        summary = self._summary(saved)
        if not self.chief:
            return summary
        dataset, folder = self.dataset, self.folder
        export_saved_model(
            self.model,
            folder.saved_model,
            dataset.mean,
            dataset.std,
            dataset.class_names,
        )
        pictures.draw_all(
            folder.pictures,
            self.model,
            dataset,
            saved.state["rows"],
            json.loads(folder.init_report.read_text())
            if self.config.init in PATCH_INITS
            else None,
            self.config.seed,
        )
        write_json(folder.summary, summary)
        self.say(
            f"test top-1 {summary['test_top1']:.4f}, top-5 {summary['test_top5']:.4f} "
            f"after {summary['epoch']} of {summary['epochs']} epochs, "
            f"sparsity {summary['sparsity']:.4f}\n"
            f"SavedModel: {folder.saved_model}\npictures:   {folder.pictures}"
        )
        return summary

    def _summary(self, saved):
        rows = saved.state["rows"]
        train_seconds = sum(row["seconds"] for row in rows)
        images = len(rows) * self.batches.steps_per_epoch * self.config.batch_size
        return {
            **{
                name: value
                for name, value in rows[-1].items()
                if name.startswith(("train_", "test_", "epoch"))
            },
            "epochs": self.config.epochs,
            "sparsity": realised_sparsity(self.model),
            "layer_sparsity": {
                layer.name: layer.realised_sparsity
                for layer in supermask_layers(self.model)
            },
            "init_seconds": saved.state["init_seconds"],
            "train_seconds": train_seconds,
            "images_per_second": images / train_seconds,
            "versions": {
                "python": platform.python_version(),
                "tensorflow": tf.__version__,
                "keras": keras.__version__,
                "numpy": np.__version__,
            },
        }


def _line(row, epochs):
    return (
        f"epoch {row['epoch']}/{epochs}  loss {row['train_loss']:.4f}  "
        f"train {row['train_top1']:.4f}  test {row['test_top1']:.4f} "
        f"(top-5 {row['test_top5']:.4f})  flips {row['mask_flips']:.2e}  "
        f"{row['seconds']:.1f} s"
    )
