"""The main job: images in, a supermask and everything about it out."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tfsupermask import init
from tfsupermask._files import write_json
from tfsupermask.data import TrainBatches
from tfsupermask.sparsity import MaskWatch, realised_sparsity
from tfsupermask.train import checkpoint as checkpoints
from tfsupermask.train import events, metrics
from tfsupermask.train.agreement import agree, agree_to_stop, num_workers
from tfsupermask.train.build import (
    build_model,
    patches_init,
    restore,
    set_sparsity,
    values_of,
)
from tfsupermask.train.checkpoint import Checkpoint
from tfsupermask.train.config import PATCH_INITS, RANDOM_INITS, Config
from tfsupermask.train.folder import RunFolder, claim, fingerprint
from tfsupermask.train.images import load_images
from tfsupermask.train.interruption import Interrupted, Interruption
from tfsupermask.train.lock import locked
from tfsupermask.train.loop import Loop, Totals
from tfsupermask.train.optimizer import SGDWithL2
from tfsupermask.train.recipes import resolve
from tfsupermask.train.results import evaluated_on, summarise, write_results
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
        Interrupted: SIGTERM or Ctrl-C came. The run was saved where it was.
        ConnectionError: Another worker ended.

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
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    strategy = make_strategy(config.strategy)
    dataset = load_images(config)
    config = resolve(config, len(dataset.train))
    sha256 = fingerprint(dataset)
    folder = RunFolder(Path(config.workdir or Path("runs") / config.run_name(sha256)))
    try:
        agree(strategy, {**config.identity(), "images": sha256})
        with contextlib.ExitStack() as stack:
            if is_chief(strategy):
                claim(folder, config, dataset, sha256)
                stack.enter_context(locked(folder.root))
            interruption = stack.enter_context(Interruption())
            return _Job(config, dataset, strategy, folder, interruption).do()
    except tf.errors.OpError as error:
        if num_workers(strategy) == 1:
            raise
        raise ConnectionError(
            "Another worker ended or cannot be reached; start all of them again, and "
            f"the run goes on from its last checkpoint ({type(error).__name__})."
        ) from error


class _Job:
    """One run: the objects that its phases share."""

    def __init__(self, config, dataset, strategy, folder, interruption):
        self.config, self.dataset, self.folder = config, dataset, folder
        self.interruption = interruption
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
        saved = self._restore()
        last = self.config.stop_after_epoch
        if last is None:
            last = self.config.epochs
        if saved.step:  # what has begun is brought to its end
            last = max(last, saved.epoch + 1)
        saved = self._train(saved, last)
        images = self.batches.steps_per_epoch * self.config.batch_size
        summary = summarise(
            *(self.config, self.model, saved, self.dataset, images),
            unseen=self._evaluate_unseen() if saved.epoch else None,
        )
        if self.chief:
            write_results(
                self.folder, self.config, self.model, self.dataset, saved, summary
            )
        self.say(_outcome(summary, self.folder))
        return summary

    def say(self, text: str) -> None:
        """Prints a line above the progress bar, in one process only."""
        if self.chief:
            tqdm.write(text)

    def _restore(self) -> Checkpoint:
        """Goes to the newest checkpoint, the first of all if there is none yet."""
        saved = checkpoints.restore_latest(self.folder.checkpoints)
        if saved is None:
            if self.chief:
                self._initialise()
            agree(self.loop.strategy, {})  # waits for the chief
            saved = checkpoints.restore_latest(self.folder.checkpoints)
        else:
            self.say(f"resumed {_place(saved)}")
        at = None if saved is None else [saved.epoch, saved.step]
        agree(self.loop.strategy, {"the checkpoint found in workdir": at})
        restore(saved, self.model, self.optimizer)
        return saved

    def _initialise(self) -> None:
        """Initialises the kernels and writes the first checkpoint."""
        config, start = self.config, time.perf_counter()
        train = self.dataset.train
        rest = config.rest or RANDOM_INITS[0]
        init.initialize(
            self.model,
            rest if config.init in PATCH_INITS else config.init,
            config.seed,
            fan_correction=config.fan_correction,
        )
        if config.init in PATCH_INITS:
            report = patches_init(config, self.model, verbose=True).apply(
                self.model,
                train.images,
                train.labels,
                self.loop.normalise,
                self.folder.init_progress,
            )
            self.say(str(report))
            write_json(self.folder.init_report, report.as_dict())
        if config.rescale == "unit_power":
            # With masks of the whole sparsity, whatever it rises from.
            set_sparsity(config, self.model, config.epochs - 1)
            factors = init.unit_power(
                self.model, train.images, train.labels, self.loop.normalise, config.seed
            )
            self.say(_rescaled(factors))
        seconds = time.perf_counter() - start
        self.say(f"initialised by {config.init} in {seconds:.1f} s")
        set_sparsity(config, self.model, 0)
        self._save(Checkpoint(0, {}, {"init_seconds": seconds, "rows": []}))
        shutil.rmtree(self.folder.init_progress, ignore_errors=True)

    def _save(self, at: Checkpoint) -> Checkpoint:
        """Writes a checkpoint with the values of now beside those that it has."""
        values = {**at.values, **values_of(self.model, self.optimizer)}
        saved = dataclasses.replace(at, values=values)
        if self.chief:
            checkpoints.save(self.folder.checkpoints, saved)
        return saved

    def _train(self, saved: Checkpoint, last: int) -> Checkpoint:
        """Trains epoch by epoch, each ending in a checkpoint and a line."""
        watch = MaskWatch(self.model)
        if self.chief:
            metrics.write_csv(self.folder.metrics, saved.state["rows"])
            writer = tf.summary.create_file_writer(str(self.folder.events))
        with self._bar(saved) as bar, self.interruption.postponed():
            while saved.epoch < last:
                bar.set_description(f"epoch {saved.epoch + 1}/{self.config.epochs}")
                row = self._train_epoch(saved, watch, bar)
                rows = [*saved.state["rows"], row]
                state = {"init_seconds": saved.state["init_seconds"], "rows": rows}
                saved = self._save(Checkpoint(saved.epoch + 1, {}, state))
                if self.chief:
                    self._record(writer, rows, watch.by_weight)
                self.say(_line(row, self.config))
                if saved.epoch == self.config.ramp_epochs + 1:
                    self._warn_at_chance(row)
                self._stop_if_asked(saved)
        return saved

    def _bar(self, saved):
        images = self.config.batch_size
        steps = self.batches.steps_per_epoch
        return tqdm(
            total=self.config.epochs * steps * images,
            initial=(saved.epoch * steps + saved.step) * images,
            unit=" images",
            unit_scale=True,
            leave=False,
            disable=None if self.chief else True,
        )

    def _record(self, writer, rows, churn):
        metrics.write_csv(self.folder.metrics, rows)
        events.write_events(writer, rows[-1], evaluated_on(self.config))
        events.write_model_events(writer, self.model, rows[-1]["epoch"], churn)

    def _train_epoch(self, saved, watch, bar) -> dict[str, float]:
        """Trains the rest of the epoch after `saved`; returns its row of metrics."""
        start, total = time.perf_counter(), Totals()
        if saved.step:
            begun = saved.state["begun"]
            start, total = start - begun["seconds"], Totals(**begun["totals"])
            watch.bits = [saved.values[name] for name in _bit_names(watch)]
        else:
            set_sparsity(self.config, self.model, saved.epoch)
        some = self.loop.train_epoch(self.batches, saved.epoch, saved.step)
        for step, part in some:
            total += part
            bar.update(int(part.images))
            bar.set_postfix(loss=f"{part.loss / part.images:.3f}")
            seconds = time.perf_counter() - start
            begun = {"totals": dataclasses.asdict(total), "seconds": seconds}
            state = {**saved.state, "begun": begun}
            bits = dict(zip(_bit_names(watch), watch.bits, strict=True))
            self._stop_if_asked(Checkpoint(saved.epoch, bits, state, step), save=True)
        seconds = time.perf_counter() - start
        return {
            "epoch": saved.epoch + 1,
            **total.means("train_"),
            **self.loop.evaluate(self.dataset.test).means("test_"),
            "sparsity": realised_sparsity(self.model),
            "mask_flips": watch.flipped(),
            "learning_rate": float(self.optimizer.learning_rate),
            "seconds": seconds,
        }

    def _evaluate_unseen(self) -> Totals | None:
        """Returns the totals over test images that no epoch has looked at, if any."""
        unseen = self.dataset.unseen
        return None if unseen is None else self.loop.evaluate(unseen)

    def _stop_if_asked(self, at: Checkpoint, save: bool = False) -> None:
        """Ends the run here if any worker has been asked to."""
        number = agree_to_stop(self.loop.strategy, self.interruption.pending or 0)
        if number:
            if save:
                self._save(at)
            self.say(f"stopped {_place(at)}; the same command goes on from there")
            raise Interrupted(number)

    def _warn_at_chance(self, row):
        labels = self.dataset.test.labels
        chance = np.bincount(labels).max() / len(labels)
        error = np.sqrt(chance * (1 - chance) / len(labels))
        if row["test_top1"] <= chance + 3 * error:
            self.say(
                f"WARNING: still at chance after epoch {row['epoch']}: "
                f"{evaluated_on(self.config)} accuracy {row['test_top1']:.4f}, most "
                f"frequent class {chance:.4f}; another --init or --learning_rate may "
                "help."
            )


def _line(row, config):
    return (
        f"epoch {row['epoch']}/{config.epochs}  loss {row['train_loss']:.4f}  "
        f"train {row['train_top1']:.4f}  {evaluated_on(config)} {row['test_top1']:.4f} "
        f"(top-5 {row['test_top5']:.4f})  flips {row['mask_flips']:.2e}  "
        f"{row['seconds']:.1f} s"
    )


def _rescaled(factors):
    listed = ", ".join(f"{name} × {factor:.3g}" for name, factor in factors.items())
    return f"rescaled to unit power: {listed}"


def _outcome(summary, folder):
    after = (
        f"after {summary['epoch']} of {summary['epochs']} epochs, "
        f"sparsity {summary['sparsity']:.4f}\n"
    )
    pictures = f"pictures:   {folder.pictures}"
    if not summary["epoch"]:
        return after + pictures
    validation = ""
    if "validation_top1" in summary:
        validation = f"(validation top-1 {summary['validation_top1']:.4f}) "
    return (
        f"test top-1 {summary['test_top1']:.4f}, top-5 {summary['test_top5']:.4f} "
        f"{validation}{after}SavedModel: {folder.saved_model}\n{pictures}"
    )


def _place(saved):
    inside = f", step {saved.step} of the next" if saved.step else ""
    return f"after epoch {saved.epoch}{inside}"


def _bit_names(watch):
    return [f"begun/mask/{number}" for number in range(len(watch.bits))]
