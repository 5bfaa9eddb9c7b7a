"""A run from its configuration to its results, at once or step by step."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tfsupermask import data, init
from tfsupermask._files import write_json, writing
from tfsupermask._machine import num_cores
from tfsupermask._reading import read_json
from tfsupermask._text import BAR, counted, fitting, wrapped
from tfsupermask._validation import InputError, fail
from tfsupermask.data import Dataset, TrainBatches
from tfsupermask.export import export_saved_model
from tfsupermask.layers import get_method
from tfsupermask.runs import (
    GIVEN,
    PATCH_INITS,
    TRAINING_IMAGES,
    Config,
    RunFolder,
    metrics,
    resolve,
)
from tfsupermask.runs import checkpoint as checkpoints
from tfsupermask.runs.checkpoint import Checkpoint
from tfsupermask.runs.folder import claimed
from tfsupermask.sparsity import MaskWatch, realised_sparsity
from tfsupermask.train import tf_config
from tfsupermask.train.build import (
    build_model,
    keep_whole,
    patches_init,
    random_init,
    restore,
    set_sparsity,
    values_of,
)
from tfsupermask.train.events import write_events
from tfsupermask.train.given import load_given, take_mask
from tfsupermask.train.interruption import Interrupted, Interruption
from tfsupermask.train.load import load_images
from tfsupermask.train.loop import Loop
from tfsupermask.train.optimizer import make_optimizer
from tfsupermask.train.pictures import draw_all
from tfsupermask.train.results import provenance, summarise
from tfsupermask.train.strategies import make_strategy, takes_workers
from tfsupermask.train.totals import Totals
from tfsupermask.train.workers import Workers


def run(
    config: Config, command: str | None = None, dataset: Any = None
) -> dict[str, Any]:
    """Initialises, trains, evaluates and exports; goes on where an earlier call ended.

    Args:
        config: What to run. Fields that are `None` come from the dataset's recipe.
        command: The command line that asked for it, for `summary.json`. Defaults to
            none.
        dataset: The images, a `Dataset` or the arguments of `data.from_examples` as a
            tuple: train, test, and perhaps validation. `validation_images`,
            `limit_images`, `limit_test_images`, `images_in` and `flip` (for a `Dataset`
            only `False`) of the config apply to them, and its `dataset` becomes their
            name, or "given" if their name does not say all of them, as that of a
            folder. Defaults to the images that the config names.

    Returns:
        The content of the run folder's `summary.json`.

    Raises:
        InputError: The config, the images or the run folder cannot be used, or the loss
            became infinite or NaN. The earlier content of the run folder stays intact.
        Interrupted: SIGTERM or Ctrl-C came. The run was saved where it was.
        ConnectionError: Another worker ended, or did not come.

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
    with Job.open(config, dataset, command=command) as job:
        job.train()
        return job.finish()


def _given(dataset, config):
    """Returns the `Dataset` that a caller means."""
    if isinstance(dataset, Dataset):
        if dataset.horizontal_flip and config.flip is False:
            return dataclasses.replace(dataset, horizontal_flip=False)
        return dataset
    if not isinstance(dataset, (tuple, list)) or len(dataset) not in (2, 3):
        raise fail(
            "`dataset` must be a `Dataset`, or a tuple of images to train on, to test "
            "on, and perhaps for validation, each as `data.from_examples` takes them.",
            type=type(dataset).__name__,
            length=len(dataset) if isinstance(dataset, (tuple, list)) else None,
        )
    options = {
        name: getattr(config, name) for name in ("flip", "images_in", "cache_dir")
    }
    return data.from_examples(*dataset, **options)


def _name(dataset, config):
    """Returns the name by which the images can be loaded again, else "given"."""
    name, mirrored = dataset.name, dataset.horizontal_flip
    if data.is_name(name) and not data.options_of(name):
        known = mirrored == (name != "digits")  # as it is loaded
    elif name == config.dataset:  # whose options the config has
        known = name == "folder" or mirrored == data.tfds.is_mirrored(name, config.flip)
    else:
        known = False
    return name if known and dataset.unlabelled is None else data.given.NAME


class Job:
    """One run, step by step. `Job.open` makes it; `run` does all steps at once.

    Args:
        config: The resolved configuration.
        dataset: The images.
        strategy: The devices.
        workers: The processes that do the run together.
        folder: The `RunFolder`, claimed and locked.
        interruption: Hears signals.
        build: Builds the network, see `Job.open`.
        command: The command line that asked for the run, or `None`.

    Attributes:
        chief: Whether this process is the one that writes files.
        batches: The `TrainBatches`.
        model: The network.
        optimizer: Its `SGDWithL2` or `AdamWithL2`.
        loop: The `Loop` that trains and evaluates it.
        watch: Counts the mask bits that flip, a `MaskWatch`.
        events: TensorBoard's writer, in the chief.
        saved: The last `Checkpoint`.

    Example:
        >>> mine = {"dataset": "folder", "data_dir": "my_images", "image_size": 8}
        >>> config = Config(**mine, init="kaiming_normal", batch_size=32, epochs=2)
        >>> with Job.open(config) as job:
        ...     while job.saved.epoch < 2:
        ...         row = job.train_epoch()
        ...     summary = job.finish()
        runs/conv2-folder-prune0.5-kaiming_normal-seed0-...
        >>> row["epoch"], summary["epoch"]
        (2, 2)
    """

    @classmethod
    @contextlib.contextmanager
    def open(
        cls,
        config: Config,
        dataset: Any = None,
        build: Callable[..., keras.Model] = build_model,
        command: str | None = None,
    ) -> Iterator[Job]:
        """Yields the job of a config, at its newest checkpoint or just initialised.

        Meanwhile its folder is claimed and locked.

        Args:
            config: What to run. Fields that are `None` come from the dataset's recipe.
            dataset: See `run`.
            build: Function from a resolved config, the images' shape and the number of
                classes to the network. Defaults to the network that the config names.
            command: See `run`.

        Raises:
            InputError, ConnectionError: See `run`.
        """
        if dataset is not None:
            dataset = _given(dataset, config)
            config = dataclasses.replace(config, dataset=_name(dataset, config))
        config.validate()
        if config.deterministic:
            tf.config.experimental.enable_op_determinism()
        with contextlib.ExitStack() as stack:
            interruption = stack.enter_context(Interruption())
            workers = stack.enter_context(_workers(config))
            workers.join()
            with workers.watched():
                strategy = make_strategy(config.strategy)
            interruption.listen()  # TensorFlow has taken SIGTERM for itself
            load = None if dataset is None else (lambda *_, given=dataset, **__: given)
            dataset = load_images(config, load=load)
            config = _resolved(config, dataset)
            root = config.workdir or Path("runs") / config.run_name(dataset.sha256)
            folder = RunFolder(Path(root))
            workers.agree({**config.identity(), "images": dataset.sha256})
            if workers.chief:
                stack.enter_context(claimed(folder, config, dataset))
            # Before TensorFlow makes variables, for which it waits for all workers.
            saved = _newest(workers, folder)
            job = cls(
                config, dataset, strategy, workers, folder, interruption, build, command
            )
            job._start(saved)
            if job.chief:
                stack.callback(job.events.close)
            yield job

    def __init__(
        self, config, dataset, strategy, workers, folder, interruption, build, command
    ):
        self.config, self.dataset, self.folder = config, dataset, folder
        # Now, as the checkout may be another one when the run ends.
        self._made_by = provenance(config, command)
        self.chief, self._workers = workers.chief, workers
        self._interruption = interruption
        self.batches = TrainBatches(
            dataset.train,
            config.batch_size,
            config.seed,
            dataset.crop_padding,
            dataset.horizontal_flip,
            config.crop or data.CROPS[0],
            config.passes_per_epoch,
        )
        with strategy.scope():
            self.model = build(config, dataset.image_shape, dataset.num_classes)
            self.optimizer = make_optimizer(
                config, config.epochs * self.batches.steps_per_epoch
            )
            self.optimizer.build(self.model.trainable_variables)
        self.loop = Loop(
            self.model,
            self.optimizer,
            strategy,
            dataset,
            config.batch_size,
            config.jit_compile,
            config.redraw_steps,
            config.label_smoothing or 0.0,
        )

    def _start(self, saved):
        """Restores a checkpoint; initialises first if there is none."""
        replicas = self.loop.strategy.num_replicas_in_sync
        device = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
        self.say(f"{self.folder.root}  ({replicas} x {device})")
        if saved is None:
            if self.chief:
                self.initialise()
            self._workers.gather(None, limited=False)  # waits for the chief
            saved = _newest(self._workers, self.folder)
        else:
            self.say(f"resumed {_when(saved)}{_other_cores(saved)}")
        restore(self.config, saved, self.model, self.optimizer)
        rows = metrics.understood(saved.state["rows"], self.config.epoch_split)
        self.saved = dataclasses.replace(saved, state={**saved.state, "rows": rows})
        self.watch = MaskWatch(self.model)
        if self.chief:
            shutil.rmtree(self.folder.init_progress, ignore_errors=True)
            self._write_metrics(rows)
            with writing(self.folder.events):
                self.events = tf.summary.create_file_writer(str(self.folder.events))

    def train(self) -> None:
        """Trains to the end of the schedule, or to `config.stop_after_epoch`.

        Raises:
            Interrupted: A signal came. The run was saved where it was.
        """
        last = self.config.stop_after_epoch
        if last is None:
            last = self.config.epochs
        if self.saved.step:  # a begun epoch is finished
            last = max(last, self.saved.epoch + 1)
        with self._bar(last) as bar, self._interruption.postponed():
            while self.saved.epoch < last:
                self.train_epoch(bar)

    def train_epoch(self, bar: tqdm | None = None) -> dict[str, float]:
        """Trains an epoch, or the rest of one; writes a checkpoint and prints a line.

        Args:
            bar: Progress bar over images. Defaults to none.

        Returns:
            Its row of metrics.

        Raises:
            InputError: The schedule is over, or the loss became infinite or NaN.
            Interrupted: A signal came. The run was saved where it was.
        """
        if self.saved.epoch >= self.config.epochs:
            raise fail(
                "The schedule must have an epoch left to train.",
                epoch=self.saved.epoch,
                epochs=self.config.epochs,
            )
        with self._interruption.postponed():
            row = self._train_epoch(tqdm(disable=True) if bar is None else bar)
            rows = [*self.saved.state["rows"], row]
            state = {"init_seconds": self.saved.state["init_seconds"], "rows": rows}
            self.saved = self.save(Checkpoint(self.saved.epoch + 1, {}, state))
            if self.chief:
                self.record(rows)
            self.say(self._line(row))
            if self.saved.epoch == self.config.ramp_epochs + 1:
                self._warn_at_chance(row)
            self._stop_if_asked(self.saved)
        return row

    def finish(self) -> dict[str, Any]:
        """Exports, and returns the same as `run`.

        With validation images, those to test on are looked at here, once the schedule
        is over.
        """
        images = self.batches.steps_per_epoch * self.config.batch_size
        summary = {
            **summarise(self.config, self.model, self.saved, self.dataset, images),
            **self._who_made_it(),
        }
        if self.saved.epoch == self.config.epochs and "test_loss" not in summary:
            summary |= self.loop.evaluate(self.dataset.test).means("test_")
        if self.chief:
            self._write_results(summary)
        self.say(_outcome(summary, self.folder))
        return summary

    def _who_made_it(self):
        """Returns what made the last checkpoint, also one that does not say it."""
        found = self.saved.state.get("made_by")
        if found is None and self.chief and self.folder.summary.is_file():
            before = read_json(self.folder.summary)
            if before.get("epoch") == self.saved.epoch:
                found = {name: before[name] for name in self._made_by if name in before}
        return self._made_by | (found or {})

    def say(self, text: str) -> None:
        """Prints a line above the progress bar, in one process only."""
        if self.chief:
            tqdm.write(wrapped(text))

    def initialise(self) -> None:
        """Initialises the kernels and writes the first checkpoint."""
        config, start = self.config, time.perf_counter()
        before = 0.0
        try:
            given = load_given(config, self.model)
            if config.init != GIVEN:
                before = self._draw_weights()
            if given:
                take_mask(config, self.model, given)
            if config.rescale == "unit_power":
                self._rescale()
        except InputError:  # it would be refused again: the folder is free
            shutil.rmtree(self.folder.init_progress, ignore_errors=True)
            self.folder.init_report.unlink(missing_ok=True)
            raise
        seconds = before + time.perf_counter() - start
        self.say(f"initialised by {config.init} in {seconds:.1f} s")
        set_sparsity(config, self.model, 0)
        self.save(Checkpoint(0, {}, {"init_seconds": seconds, "rows": []}))

    def _draw_weights(self):
        """Draws the kernels; returns the seconds that an earlier call spent on them."""
        config = self.config
        # Before the kernels are drawn, as `fan_correction` depends on it.
        keep_whole(config, self.model)
        init.initialize(
            self.model,
            random_init(config),
            config.seed,
            fan_correction=config.fan_correction,
        )
        if config.init not in PATCH_INITS:
            return 0.0
        source, start = self.dataset.patterns_from, time.perf_counter()
        report = patches_init(config, self.model, verbose=True).apply(
            self.model,
            source.images,
            source.labels,
            self.loop.normalise,
            self.folder.init_progress,
        )
        now = time.perf_counter() - start
        self.say(str(report))
        write_json(self.folder.init_report, report.as_dict())
        # Layers that were done already come back with their times.
        of_layers = (sum(layer.seconds.values()) for layer in report.layers)
        return max(0.0, sum(of_layers) - now)

    def _rescale(self):
        config, train = self.config, self.dataset.train
        # Frozen weights keep their scale to the end of a ramp; trained ones adapt.
        trained = get_method(config.method).trains_kernel
        set_sparsity(config, self.model, 0 if trained else config.epochs - 1)
        factors = init.unit_power(
            self.model, train.images, train.labels, self.loop.normalise, config.seed
        )
        listed = ", ".join(f"{name} × {factor:.3g}" for name, factor in factors.items())
        self.say(f"rescaled to unit power: {listed}")

    def save(self, at: Checkpoint) -> Checkpoint:
        """Writes a checkpoint with its own values and the model's current ones."""
        values = {**at.values, **values_of(self.model, self.optimizer)}
        state = {**at.state, "cores": num_cores(), "made_by": self._made_by}
        saved = dataclasses.replace(at, values=values, state=state)
        if self.chief:
            checkpoints.save(self.folder.checkpoints, saved)
        return saved

    def record(self, rows: list[dict[str, float]]) -> None:
        """Writes the metrics of all epochs; TensorBoard gets those of the last one."""
        self._write_metrics(rows)
        with writing(self.folder.events):
            write_events(self.events, rows[-1], self.model, self.watch.by_weight)

    def _write_results(self, summary):
        """Writes the SavedModel if it was trained, the pictures, then the summary."""
        folder, images, rows = self.folder, self.dataset, self.saved.state["rows"]
        if rows:
            of_images = images.mean, images.std, images.class_names
            export_saved_model(self.model, folder.saved_model, *of_images)
        has_report = self.config.init in PATCH_INITS
        report = read_json(folder.init_report) if has_report else None
        draw_all(folder.pictures, self.model, images, rows, report, self.config.seed)
        write_json(folder.summary, summary)

    def _write_metrics(self, rows):
        metrics.write_csv(self.folder.metrics, rows, self.config.epoch_split)

    def _bar(self, last):
        images = self.config.batch_size
        steps = self.batches.steps_per_epoch
        return tqdm(
            total=last * steps * images,
            initial=(self.saved.epoch * steps + self.saved.step) * images,
            bar_format=BAR,
            leave=False,
            disable=None if self.chief else True,
        )

    def _train_epoch(self, bar):
        saved, start, total = self.saved, time.perf_counter(), Totals()
        bar.set_description(f"epoch {saved.epoch + 1}/{self.config.epochs}")
        if saved.step:
            begun = saved.state["begun"]
            start, total = start - begun["seconds"], Totals(**begun["totals"])
            self.watch.bits = [saved.values[name] for name in _bit_names(self.watch)]
        else:
            set_sparsity(self.config, self.model, saved.epoch)
        bits = dict(zip(_bit_names(self.watch), self.watch.bits, strict=True))

        def stop_if_asked(step, seconds):
            begun = {"totals": dataclasses.asdict(total), "seconds": seconds}
            state = {**saved.state, "begun": begun}
            self._stop_if_asked(Checkpoint(saved.epoch, bits, state, step), save=True)

        chunks = self.loop.train_epoch(self.batches, saved.epoch, saved.step)
        for step, new in chunks:
            total += new
            bar.update(int(new.images))
            bar.set_postfix(loss=f"{new.loss / new.images:.3f}")
            stop_if_asked(step, time.perf_counter() - start)
        seconds, split = time.perf_counter() - start, self.config.epoch_split
        at_end = functools.partial(stop_if_asked, self.batches.steps_per_epoch, seconds)
        evaluated = self.loop.evaluate(getattr(self.dataset, split), at_end)
        return {
            "epoch": saved.epoch + 1,
            **total.means("train_"),
            **evaluated.means(f"{split}_"),
            "sparsity": realised_sparsity(self.model),
            "mask_flips": self.watch.flipped(),
            "learning_rate": float(self.optimizer.learning_rate),
            "seconds": seconds,
        }

    def _stop_if_asked(self, at: Checkpoint, save: bool = False) -> None:
        """Ends the run here if any worker has been asked to."""
        number = max(self._workers.gather(int(self._interruption.pending or 0)))
        if number:
            if save:
                self.saved = self.save(at)
            self._interruption.pending = None
            self.say(f"stopped {_when(at)}; the same command goes on from there")
            raise Interrupted(number)

    def _line(self, row):
        split = self.config.epoch_split
        return fitting(
            [
                f"epoch {row['epoch']}/{self.config.epochs}",
                f"loss {row['train_loss']:.3f}",
                f"train {row['train_top1']:.4f}",
                f"{split} {row[f'{split}_top1']:.4f}",
                f"{row['seconds']:.1f} s",
                f"top-5 {row[f'{split}_top5']:.4f}",
                f"flips {row['mask_flips']:.1e}",
            ]
        )

    def _warn_at_chance(self, row):
        split = self.config.epoch_split
        labels, accuracy = getattr(self.dataset, split).labels, row[f"{split}_top1"]
        chance = np.bincount(labels).max() / len(labels)
        error = np.sqrt(chance * (1 - chance) / len(labels))
        if accuracy < 1 and accuracy <= min(chance + 3 * error, (chance + 1) / 2):
            self.say(
                f"WARNING: still at chance after epoch {row['epoch']}: "
                f"{split} accuracy {accuracy:.4f}, most frequent class {chance:.4f}; "
                "another --init or --learning_rate may help."
            )


def _workers(config):
    if not takes_workers(config.strategy):
        return Workers()
    return Workers(*tf_config.read(), config.wait_seconds)


def _resolved(config, dataset):
    """Returns the config with the values of the recipe, and of the images."""
    if config.dataset in (data.given.NAME, "folder"):
        config = dataclasses.replace(config, flip=dataset.horizontal_flip)
    if dataset.validation is not None:
        held_out = len(dataset.validation)
        config = dataclasses.replace(config, validation_images=held_out)
    given = dataset.unlabelled is not None and config.pattern_images == TRAINING_IMAGES
    if given and config.init in PATCH_INITS and not config.weights_are_given:
        config = dataclasses.replace(config, pattern_images=GIVEN)
    counts = len(dataset.train), len(dataset.patterns_from)
    return resolve(config, *counts, dataset.image_shape[0])


def _newest(workers, folder):
    """Returns the newest checkpoint, once all workers have found the same one."""
    saved = checkpoints.restore_latest(folder.checkpoints)
    at = None if saved is None else [saved.epoch, saved.step]
    workers.agree({"the checkpoint found in workdir": at})
    return saved


def _outcome(summary, folder):
    after = (
        f"after {summary['epoch']} of {summary['epochs']} epochs, "
        f"sparsity {summary['sparsity']:.4f}\n"
    )
    pictures = f"pictures:   {folder.pictures}"
    if not summary["epoch"]:
        return after + pictures
    reached = "".join(
        f"{split} top-1 {summary[f'{split}_top1']:.4f}, "
        f"top-5 {summary[f'{split}_top5']:.4f}\n"
        for split in ("test", "validation")
        if f"{split}_top1" in summary
    )
    return f"{reached}{after}SavedModel: {folder.saved_model}\n{pictures}"


def _when(saved):
    inside = f", step {saved.step} of the next" if saved.step else ""
    return f"after epoch {saved.epoch}{inside}"


def _other_cores(saved):
    """Returns a remark if the run had another number of cores before."""
    before, now = saved.state.get("cores"), num_cores()
    if type(before) is not int or before == now:
        return ""
    return (
        f" (on {counted(now, 'core')}, before on {before}: sums are rounded otherwise, "
        "and the run may end with other bits)"
    )


def _bit_names(watch):
    return [f"begun/mask/{number}" for number in range(len(watch.bits))]
