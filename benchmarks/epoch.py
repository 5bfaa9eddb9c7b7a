"""The time of an epoch beside its training steps, and of steps in other forms.

    python -m benchmarks.epoch --output=epoch.json
    python -m benchmarks.epoch --dataset=cifar10 --data_dir=… --output=epoch.json
    python -m benchmarks.epoch --quick

The epochs are those of `binaries.train`: crops and flips, copies to the device, steps,
checks, mask flips, metrics, events, a checkpoint. The evaluation is measured
separately. After each epoch come the same number of bare steps: the same step on one
batch that stays on the device. The first table has the median of epoch ÷ bare steps,
and the work of the main thread in percent of the epoch. The second has steps in other
forms, in turn: the batch as a whole instead of two halves, compiled by XLA, in
bfloat16. The third has replicas, in turn with one device: GPUs, or without any, parts
of the CPU. Each network and number of replicas has its own process.
"""

from __future__ import annotations

import collections
import contextlib
import io
import statistics
import tempfile
import threading
import time
from concurrent.futures import Future
from unittest import mock

from binaries import _program, _tensorflow  # noqa: F401 before TensorFlow, silenced

# isort: split
import numpy as np
import tensorflow as tf
from absl import flags

from benchmarks import _measure
from tfsupermask import data
from tfsupermask.data import Dataset, Split, TrainBatches
from tfsupermask.init import initialize
from tfsupermask.runs import Config
from tfsupermask.train import Job, Loop, SGDWithL2, make_strategy
from tfsupermask.train.build import build_model

_MODELS = flags.DEFINE_list("models", ["conv2", "conv4", "conv6"], "Networks.")
_REPLICAS = flags.DEFINE_list("replicas", ["1", "2", "4"], "Numbers of replicas.")
_STEPS = flags.DEFINE_integer("steps", 390, "Steps an epoch.", 1)
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Epochs, after one not counted.", 1)
_DATASET = flags.DEFINE_string("dataset", None, "Images (default: noise, 32×32).")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Where the dataset is.")

BATCH_SIZE = 128
FORMS = {
    "two halves": {},
    "whole": {},
    "XLA": {"jit_compile": True},
    "bfloat16": {"mixed_precision": True},
    "bfloat16, XLA": {"mixed_precision": True, "jit_compile": True},
}


def load(source, steps):
    """Returns `steps` batches to train on, and at most a fifth as many to test on."""
    count = steps * BATCH_SIZE
    if source[0] is None:
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (count, 32, 32, 3), np.uint8)
        noise = Split(images, rng.integers(0, 10, count))
        full = Dataset("noise", noise, noise, tuple("abcdefghij"), True)
    else:
        full = data.load(*source)
    train, test = full.train[:count], full.test[: max(count // 5, 1)]
    return Dataset(full.name, train, test, full.class_names, full.horizontal_flip)


class Clock:
    """Seconds that the main thread spends in functions, given as (owner, attribute).

    A function that another one calls counts as a part of that one.
    """

    def __init__(self, functions):
        self._functions = functions
        self.seconds = collections.Counter(dict.fromkeys(functions, 0.0))

    def __enter__(self):
        self._patches, self._busy = contextlib.ExitStack(), False
        for name, (owner, attribute) in self._functions.items():
            timed = self._timed(name, getattr(owner, attribute))
            self._patches.enter_context(mock.patch.object(owner, attribute, timed))
        return self

    def __exit__(self, *exception):
        self._patches.close()

    def _timed(self, name, function):
        def timed(*args):
            if self._busy or threading.current_thread() != threading.main_thread():
                return function(*args)
            self._busy, start = True, time.perf_counter()
            try:
                return function(*args)
            finally:
                self.seconds[name] += time.perf_counter() - start
                self._busy = False

        return timed


def bare_steps(loop, batches):
    """Returns a function that trains a number of steps on one batch on the device."""
    images, labels = map(tf.constant, batches.chunk(0, 0, 1))
    step = tf.function(
        lambda: loop.strategy.run(loop.train_on_share, (images, labels, tf.constant(0)))
    )

    def run(count):
        for _ in range(count):
            loss = step()[0]
        return float(loss)

    run(1)
    return run


def measure_epochs(model, source, steps, rounds):
    """Returns for each epoch the seconds of its parts, of the whole, of bare steps."""
    dataset, epochs = load(source, steps), []
    fields = {"model": model, "dataset": "cifar10", "init": "kaiming_normal"}
    fields |= {"epochs": rounds + 1, "strategy": "single"}
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(io.StringIO()),
        Job.open(Config(**fields, workdir=folder), dataset) as job,
    ):
        bare = bare_steps(job.loop, job.batches)
        parts = {
            "steps": (job.loop, "train_steps"),
            "waiting for images": (Future, "result"),
            "mask flips": (job.watch, "flipped"),
            "checkpoint": (job, "save"),
            "metrics, events": (job, "record"),
            "evaluation": (job.loop, "evaluate"),
        }
        for _ in range(rounds + 1):
            with Clock(parts) as clock:
                start = time.perf_counter()
                job.train_epoch()
                clock.seconds["epoch"] = time.perf_counter() - start
            start = time.perf_counter()
            bare(job.batches.steps_per_epoch)
            clock.seconds["bare"] = time.perf_counter() - start
            epochs.append(dict(clock.seconds))
    return epochs[1:]


def make_loop(config, dataset, strategy):
    """Returns the loop of a run with this config."""
    with strategy.scope():
        model = build_model(config, dataset.image_shape, dataset.num_classes)
        initialize(model, "kaiming_normal", seed=0)
        optimizer = SGDWithL2(0.1, 0.9, 1e-4)
        optimizer.build(model.trainable_variables)
    return Loop(model, optimizer, strategy, dataset, BATCH_SIZE, config.jit_compile)


def measure_forms(model, source, steps, rounds):
    """Returns the median seconds of a step in each form."""
    dataset = load(source, 1)
    batches = TrainBatches(dataset.train, BATCH_SIZE, 0, 4, True)
    runs = {}
    for name, fields in FORMS.items():
        loop = make_loop(
            Config(model=model, **fields), dataset, make_strategy("single")
        )
        if name == "whole":
            loop.num_parts = 1
        run = bare_steps(loop, batches)
        runs[name] = lambda run=run: run(steps)
    seconds = _measure.medians(runs, rounds)
    return {name: value / steps for name, value in seconds.items()}


def measure_replicas(model, source, steps, rounds, number):
    """Returns the median seconds of a step on one device and on `number` replicas."""
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    if kind == "CPU":
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * number,
        )
    mirrored = tf.distribute.MirroredStrategy(
        [f"{kind}:{place}" for place in range(number)],
        tf.distribute.ReductionToOneDevice() if kind == "CPU" else None,
    )
    dataset = load(source, steps)
    batches = TrainBatches(dataset.train, BATCH_SIZE, 0, 4, True)
    runs = {}
    for name, strategy in ("one", make_strategy("single")), ("replicas", mirrored):
        loop = make_loop(Config(model=model), dataset, strategy)
        runs[name] = lambda loop=loop: list(loop.train_epoch(batches, 0))
    seconds = _measure.medians(runs, rounds)
    return {name: value / steps for name, value in seconds.items()}


def print_epochs(results):
    """Prints the time of epochs relative to bare steps, and how it was spent."""
    rows = []
    for model, epochs in results.items():
        counted = [epoch["epoch"] - epoch["evaluation"] for epoch in epochs]
        ratios = [c / e["bare"] for c, e in zip(counted, epochs, strict=True)]
        parts = [name for name in epochs[0] if name not in ("epoch", "bare")]
        shares = {
            name: statistics.median(
                100 * epoch[name] / c for epoch, c in zip(epochs, counted, strict=True)
            )
            for name in parts
        }
        rest = 100 - sum(v for name, v in shares.items() if name != "evaluation")
        rows.append(
            [model, f"{statistics.median(ratios):.3f}"]
            + [f"{shares[name]:.2f}" for name in parts[:-1]]
            + [f"{rest:.2f}", f"{shares['evaluation']:.1f}"]
        )
    heads = [f"{name} / %" for name in (*parts[:-1], "rest", "evaluation")]
    _measure.print_table(["", "epoch ÷ bare steps", *heads], rows)


def print_forms(results):
    """Prints the steps of each form, relative to the usual one."""
    rows = []
    for model, seconds in results.items():
        usual, *others = seconds.values()
        ratios = (f"{other / usual:.2f}" for other in others)
        rows.append([model, f"{1000 * usual:.1f}", *ratios])
    heads = [f"{name} ÷ two halves" for name in list(FORMS)[1:]]
    _measure.print_table(["", "two halves / ms", *heads], rows)


def print_replicas(results):
    """Prints images per second by number of replicas, and relative to one device."""
    rows = []
    for model, by_number in results.items():
        rates = [BATCH_SIZE / each["replicas"] for each in by_number.values()]
        gains = [each["one"] / each["replicas"] for each in by_number.values()]
        rows.append([model, *(f"{rate:.0f}" for rate in rates)])
        rows[-1] += [f"{gain:.2f}" for gain in gains]
    heads = [f"{number} replicas / images/s" for number in by_number]
    heads += [f"{number} ÷ one device" for number in by_number]
    _measure.print_table(["", *heads], rows)


def main():
    """Measures, prints the tables, writes JSON and a picture if asked to."""
    print(_measure.describe(), flush=True)
    quick = _measure.QUICK.value
    names = _MODELS.value[:1] if quick else _MODELS.value
    steps, rounds = (3, 1) if quick else (_STEPS.value, _ROUNDS.value)
    source = _DATASET.value, _DATA_DIR.value
    each = _measure.in_process
    epochs = {n: each(measure_epochs, n, source, steps, rounds) for n in names}
    print_epochs(epochs)
    few = min(steps, 5), 1 if quick else 5
    forms = {n: each(measure_forms, n, source, *few) for n in names}
    print_forms(forms)
    numbers = [int(n) for n in (_REPLICAS.value[:2] if quick else _REPLICAS.value)]
    replicas = {
        n: {k: each(measure_replicas, n, source, *few, k) for k in numbers}
        for n in names
    }
    print_replicas(replicas)
    results = {"epochs": epochs, "forms": forms, "replicas": replicas}
    _measure.save(results, _measure.draw_steps(forms))


if __name__ == "__main__":
    _program.start(main)
