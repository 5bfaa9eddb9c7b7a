"""Runs combinations of flags that contain every allowed pair of values.

    python -m trials.pairs
    python -m trials.pairs --quick

Each combination is a run of two epochs on small digits; with `--stop_after_epoch` it
may end earlier. Only combinations that the validator accepts are run, and they must end
without an error. The program ends with status 1 if a run fails.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path
from unittest import mock

from binaries import _program, _tensorflow  # noqa: F401 before TensorFlow, silenced

# isort: split
from absl import flags
from tqdm import tqdm

from tests.small import small_digits
from tfsupermask import InputError, data, layers, runs, train
from tfsupermask.runs.config import OPTIMIZERS

_SEED = flags.DEFINE_integer("seed", 0, "Seed of the combinations.")
_JOBS = flags.DEFINE_integer("jobs", 3, "Runs at a time.", 1)
_QUICK = flags.DEFINE_boolean("quick", False, "Four combinations.")

VALUES = {
    "model": ("conv2", "conv4", "resnet18"),
    "width": (1.0, 0.3),
    "affine_norm": (False, True),
    "whole_layers": (None, "first,last"),
    "method": tuple(name for name in layers.method_names() if name != "fixed"),
    "redraw_steps": (None, 3),
    "prune": (0.0, 0.5, 0.9),
    "allocation": ("uniform", "erdos_renyi", "global"),
    "ramp_epochs": (0, 1),
    "init": runs.INITS,
    "fan_correction": (False, True),
    "patch_blocks": (None, 1),
    "discriminative_from": (None, 1, 100),
    "batch_size": (10, 15),
    "passes_per_epoch": (1, 2),
    "optimizer": OPTIMIZERS,
    "warmup_epochs": (None, 1),
    "label_smoothing": (None, 0.1),
    "crop": (None, *data.CROPS),
    "strategy": ("single", "mirrored"),
    "mixed_precision": (False, True),
    "jit_compile": (False, True),
    "deterministic": (False, True),
    "stop_after_epoch": (None, 0, 1),
    "num_components": (None, 5),
    "double_from": (None, 2),
    "patch_layers": (None, 1),
    "rest": (None, "signed_constant"),
    "cluster_space": (None, "centred", "whitened"),
    "filter_space": (None, "centred", "whitened"),
    "pattern_images": ("train", "all"),
    "select": (None, "size", "random"),
    "signs_only": (None, True),
    "rescale": (None, "unit_power"),
    "limit_images": (None, 100),
    "validation_images": (None, 20),
}
COMMON = {"epochs": 2, "num_patches": 600, "num_clusters": 520}
TRIES = 20


def config_of(row, workdir=None):
    """Returns the config of a combination; raises InputError if it is not allowed."""
    fields = dict(COMMON)
    if row["init"] not in ("patches", "partial_patches", "whitened_patches"):
        del fields["num_clusters"]
    if row["init"] not in runs.PATCH_INITS:
        del fields["num_patches"]
    return runs.Config(**fields, **row, workdir=workdir).validate()


def allowed(row):
    """Returns whether the validator takes a combination."""
    if (row["init"] == "partial_patches") != (row["patch_blocks"] is not None):
        return False
    everywhere = row["init"] == "whitened_patches" and row["patch_layers"] is None
    if row["model"] == "resnet18" and (
        everywhere or row["init"] in ("patches", "simple_patches")
    ):
        return False  # 300 images end in 300 maps of 1×1: too few patches for it
    if row["strategy"] == "mirrored" and (
        row["batch_size"] % 2 or (row["jit_compile"] and row["model"] == "resnet18")
    ):
        return False  # refused later, when the model is built
    try:
        config_of(row)
    except InputError:
        return False
    return True


def draw(rng, wanted):
    """Returns a random combination with the wanted values, or `None`."""
    row = {name: values[0] for name, values in VALUES.items()} | wanted
    others = [name for name in VALUES if name not in wanted]
    rng.shuffle(others)
    if not allowed(row):  # a value may need another one
        changes = ((name, value) for name in others for value in VALUES[name])
        repaired = (row | {name: value} for name, value in changes)
        row = next(filter(allowed, repaired), None)
    for name in others if row else ():
        changed = row | {name: rng.choice(VALUES[name])}
        row = changed if allowed(changed) else row
    return row


def combinations(rng):
    """Returns combinations that together contain every allowed pair of values."""
    missing = {
        frozenset({(a, x), (b, y)})
        for a, b in itertools.combinations(VALUES, 2)
        for x in VALUES[a]
        for y in VALUES[b]
    }
    rows = []
    while missing:
        best, gain = None, -1
        # With one of the missing pairs, and random values for the rest.
        wanted = dict(min(missing, key=repr))
        for _ in range(TRIES):
            row = draw(rng, wanted)
            if row is None:
                continue
            pairs = {frozenset(pair) for pair in itertools.combinations(row.items(), 2)}
            if len(pairs & missing) > gain:
                best, gain = row, len(pairs & missing)
        if best is None:  # no combination has this pair
            missing.discard(frozenset(wanted.items()))
            continue
        rows.append(best)
        missing -= {frozenset(p) for p in itertools.combinations(best.items(), 2)}
    return rows


def try_one(task):
    """Runs a combination in a new process; returns it, its seconds and its error."""
    number, row, scratch = task
    log = Path(scratch, f"{number}.txt")
    start = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            with open(log, "w") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            config = config_of(row, workdir=str(Path(scratch, str(number))))
            with mock.patch.object(data, "load", return_value=small_digits(300)):
                train.run(config)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    status = os.waitpid(pid, 0)[1]
    error = "" if status == 0 else log.read_text()[-1500:]
    return row, time.perf_counter() - start, error


def main():
    """Runs all combinations, and prints those that fail."""
    rows = combinations(random.Random(_SEED.value))
    total = len(rows)
    rows = rows[:4] if _QUICK.value else rows
    failed = 0
    context = multiprocessing.get_context("fork")  # before TensorFlow has threads
    with tempfile.TemporaryDirectory() as scratch, context.Pool(_JOBS.value) as pool:
        tasks = [(number, row, scratch) for number, row in enumerate(rows)]
        done = pool.imap_unordered(try_one, tasks)
        for row, seconds, error in tqdm(done, total=len(tasks), disable=None):
            if error:
                failed += 1
                print(f"FAILED after {seconds:.1f} s: {row}\n{error}", flush=True)
    print(f"{len(rows)} of {total} combinations run, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    _program.start(main)
