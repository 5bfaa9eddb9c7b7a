"""Kills runs at random moments, and checks that each ends as if undisturbed.

    python -m trials.kill --kills=200 --seed=0
    python -m trials.kill --only=dense,fixed --kills=20
    python -m trials.kill --quick

A run is started, killed in a random phase, started again by the same call, killed
again, until it ends. Its scores, kernels, momenta, batch statistics, masks, metrics and
the images of every step are then compared, bit for bit, with those of an undisturbed
run. SIGKILL leaves no time to save; after SIGTERM the run saves within an epoch.

To test the comparison itself, restores are then sabotaged in many ways, and it must
detect each of them.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import zlib
from pathlib import Path
from unittest import mock

from binaries import _program, _tensorflow  # noqa: F401 before TensorFlow, silenced

# isort: split
import keras
from absl import flags
from tqdm import tqdm

import tfsupermask
from benchmarks import _markdown
from tests.small import small_digits
from tfsupermask import data, layers, models, runs, train
from tfsupermask._validation import check_choice
from tfsupermask.runs import checkpoint as checkpoints
from tfsupermask.runs import metrics
from tfsupermask.train import job, loop
from trials._sabotage import SABOTAGES

_KILLS = flags.DEFINE_integer("kills", 200, "SIGKILLs in all.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of when and how they come.")
_JOBS = flags.DEFINE_integer("jobs", 3, "Runs at a time.", lower_bound=1)
_ONLY = flags.DEFINE_list("only", [], "Names of the configurations (default: all).")
_QUICK = flags.DEFINE_boolean("quick", False, "4 SIGKILLs and 2 sabotages.")

COMMON = {"batch_size": 10, "epochs": 3, "num_patches": 300, "num_clusters": 20}
CONFIGS = {
    "batch normalisation": COMMON,
    "conv2, one ranking, ramp": {
        **COMMON,
        "num_clusters": 80,
        "allocation": "global",
        "ramp_epochs": 1,
    },
}
_DRAWN = {"batch_size": 10, "epochs": 3, "init": "kaiming_normal"}
CONFIGS |= {
    method: {**_DRAWN, "method": method, **fields}
    for method, fields in {
        "signed": {},
        "stochastic": {},
        "biprop": {},
        "iterand": {"redraw_steps": 4},
        "magnitude": {"ramp_epochs": 2},
        "magnitude_straight_through": {"optimizer": "adam"},
        "dense": {},
        "fixed": {"init": "patches", "prune_rest": 0.2},
    }.items()
}
KILLS_PER_RUN = 8  # at most


# --- the runs: small, with all features of a run


def small_model(config, image_shape, num_classes):
    """Returns two convolutions with batch normalisation, and a dense layer."""
    keras.utils.set_random_seed(config.seed)
    x = inputs = keras.Input(image_shape)
    for filters in (8, 16):
        x = layers.SupermaskConv2D(
            filters, 3, padding="same", sparsity=config.prune, use_bias=False
        )(x)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.MaxPooling2D()(keras.layers.ReLU()(x))
    x = layers.SupermaskDense(num_classes, sparsity=config.prune, use_bias=False)(
        keras.layers.Flatten()(x)
    )
    return keras.Model(inputs, x)


def given_ticket(folder):
    """Returns the path of a ticket for `fixed`, the same in every folder."""
    path = folder / "given.ticket"
    if not path.exists():
        digits = small_digits(300)
        model = models.build("conv2", digits.image_shape, digits.num_classes, seed=1)
        tfsupermask.save_ticket(model, path)
    return str(path)


def run_once(which, folder, attempt, cell, sabotage=None):
    """Runs one attempt in this process, which it ends."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    given = {"mask_from": given_ticket(folder)} if which == "fixed" else {}
    config = runs.Config(workdir=str(folder / "run"), **CONFIGS[which], **given)
    network = {"build": small_model} if which == "batch normalisation" else {}
    status = 1
    with contextlib.ExitStack() as stack:
        report_phases(stack, cell)
        log_images(stack, folder / f"images_{attempt:03d}")
        if sabotage is not None:
            SABOTAGES[sabotage](stack)
        try:
            with train.Job.open(config, small_digits(300), **network) as work:
                work.train()
                work.finish()
            status = 0
        except train.Interrupted as interrupted:
            status = interrupted.exit_status
        finally:
            os._exit(status)


# --- phases: a run reports them to the process that may kill it

PHASES = {
    "initialise": (train.Job, "initialise"),
    "train": (data.TrainBatches, "chunk"),
    "evaluate": (loop.Loop, "evaluate"),
    "checkpoint": (checkpoints, "save"),
    "metrics": (metrics, "write_csv"),
    "export": (job, "export_saved_model"),
    "pictures": (job, "draw_all"),
    "start": (job, "claimed"),
}


def report_phases(stack, cell):
    """Lets every phase write its number, and how many have begun, into `cell`."""
    for number, (owner, name) in enumerate(PHASES.values()):
        original = getattr(owner, name)

        def reporting(*args, number=number, original=original, **kwargs):
            cell[:] = number, cell[1] + 1
            return original(*args, **kwargs)

        stack.enter_context(mock.patch.object(owner, name, reporting))


def log_images(stack, path):
    """Writes the epoch, step and checksum of the images of each step."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    original = data.TrainBatches.chunk

    def logged(self, epoch, first_step, num_steps, *args, **kwargs):
        images, labels = original(self, epoch, first_step, num_steps, *args, **kwargs)
        lines = [
            f"{epoch} {first_step + i} {zlib.crc32(images[i].tobytes())} "
            f"{zlib.crc32(labels[i].tobytes())}\n"
            for i in range(num_steps)
        ]
        os.write(file, "".join(lines).encode())
        return images, labels

    stack.enter_context(mock.patch.object(data.TrainBatches, "chunk", logged))


# --- killing


def start(*arguments):
    """Returns the id of a new process that runs one attempt, and its cell."""
    cell = multiprocessing.RawArray("q", 2)  # shared: phase, number of phases begun
    pid = os.fork()
    if pid == 0:
        try:
            which, folder, attempt, *sabotage = arguments
            run_once(which, folder, attempt, cell, *sabotage)
        finally:
            os._exit(1)  # never on with the work of the parent
    return pid, cell


def ended(pid, options=os.WNOHANG):
    """Returns the exit status as a shell reports it, or `None` while it runs."""
    done, status = os.waitpid(pid, options)
    if not done:
        return None
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def wait(pid):
    """Returns the exit status of a process once it has ended."""
    return ended(pid, options=0)


def kill_in(pid, cell, phase, skip, delay, number):
    """Sends a signal `delay` seconds after the phase began for the `skip + 1`-th time.

    Returns the exit status and the phase of the signal, `None` if the run ended before.
    """
    seen, last = 0, 0
    while True:
        status = ended(pid)
        if status is not None:
            return status, None
        at, count = cell[:]
        if count != last:
            last = count
            seen += at == phase
            if at == phase and seen > skip:
                break
        time.sleep(0.0005)
    time.sleep(delay)
    at = cell[0]
    os.kill(pid, number)
    return wait(pid), at


def disturbed(which, folder, kills, rng, lengths):
    """Runs to the end through up to `kills` interruptions; returns their log."""
    log = []
    for attempt in range(1000):
        pid, cell = start(which, folder, attempt)
        if len(log) >= kills:
            return log, wait(pid)
        phase = rng.randrange(len(PHASES))
        length = lengths[phase]
        skip = rng.choice((0, 0, 1, 2, 4)) if phase in (1, 3) else 0
        number = signal.SIGTERM if rng.random() < 0.2 else signal.SIGKILL
        delay = rng.random() * length
        status, at = kill_in(pid, cell, phase, skip, delay, number)
        if at is None or status != 128 + number:
            return log, status
        log.append((signal.Signals(number).name, list(PHASES)[at]))
    raise AssertionError("a run never ended")


def phase_lengths(which, folder):
    """Runs undisturbed; returns the longest time spent from each phase to the next."""
    pid, cell = start(which, folder, 0)
    lengths, last = collections.Counter(), (None, 0)
    since = time.perf_counter()
    while ended(pid) is None:
        phase, count = cell[:]
        if count != last[1]:
            now = time.perf_counter()
            lengths[last[0]] = max(lengths[last[0]], now - since)
            last, since = (phase, count), now
        time.sleep(0.0005)
    return [lengths[phase] for phase in range(len(PHASES))]


# --- the check


def result(folder):
    """Returns by name, as bytes, everything that must not depend on interruptions."""
    run = folder / "run"
    saved = checkpoints.restore_latest(run / "checkpoints")
    if saved is None:
        return {"checkpoint": b"none"}
    found = {name: value.tobytes() for name, value in saved.values.items()}
    found["epoch"] = bytes([saved.epoch])
    for path in (run / "saved_model" / "variables").glob("*.data*"):
        found["SavedModel, masks applied"] = path.read_bytes()
    rows = (run / "metrics.csv").read_text().splitlines()
    found["metrics.csv"] = [row.rpartition(",")[0] for row in rows]  # but seconds
    for path in (run / "summary.json", run / "init.json"):
        if path.exists():  # there is no init.json without patches
            found[path.name] = json.dumps(timeless(json.loads(path.read_text())))
    found["images of every step"] = images_of(folder)
    return found


def timeless(value):
    """Returns JSON without times."""
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if "second" not in k}
    return [timeless(v) for v in value] if isinstance(value, list) else value


def images_of(folder):
    """Returns the checksums of the images of each step, in order.

    Steps of an attempt that the next attempt repeated are left out.
    """
    steps = []
    for path in sorted(folder.glob("images_*")):
        mine = [line.split(" ", 2) for line in path.read_text().splitlines()]
        mine = [((int(epoch), int(step)), crc) for epoch, step, crc in mine]
        if mine:
            steps = [entry for entry in steps if entry[0] < mine[0][0]] + mine
    return json.dumps(steps)


def differences(reference, folder):
    """Returns the names of what differs from the reference."""
    mine = result(folder)
    return sorted(
        name
        for name in reference.keys() | mine.keys()
        if reference.get(name) != mine.get(name)
    )


# --- sabotage


SABOTAGED = "batch normalisation"


@functools.cache
def stopped(scratch):
    """Returns the folder of a run that was stopped within its second epoch."""
    folder = Path(tempfile.mkdtemp(dir=scratch))
    pid, cell = start(SABOTAGED, folder, 0)
    status, at = kill_in(pid, cell, list(PHASES).index("train"), 2, 0, signal.SIGTERM)
    assert status == 128 + signal.SIGTERM, (status, at)
    return folder


def sabotaged(name, folder):
    """Restores a copy of that run wrongly; returns its status."""
    shutil.copytree(stopped(folder.parent), folder)
    pid, _ = start(SABOTAGED, folder, 1, name)
    return wait(pid)


# --- the program


def disturb_many(share):
    """Does one share of the kills; returns counts and failures."""
    which, reference, lengths, kills, seed, scratch = share
    rng = random.Random(seed)
    counts, wrong, num_runs = collections.Counter(), [], 0
    while sum(n for (name, _), n in counts.items() if name == "SIGKILL") < kills:
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            wanted = rng.randint(1, KILLS_PER_RUN)
            log, status = disturbed(which, Path(folder), wanted, rng, lengths)
            counts.update(log)
            num_runs += 1
            found = differences(reference, Path(folder)) if status == 0 else []
            if status or found:
                wrong.append((seed, num_runs, status, log, found))
    return which, counts, num_runs, wrong


def main():
    """Disturbs and sabotages runs; prints counts; exits with 1 if a check fails."""
    kills, names, configs = _KILLS.value, list(SABOTAGES), _ONLY.value or list(CONFIGS)
    for name in configs:
        check_choice("only", name, CONFIGS)
    if _QUICK.value:
        kills, names, configs = 4, names[::10], configs[:1]
    context = multiprocessing.get_context("fork")  # before TensorFlow has threads
    failed = False
    with tempfile.TemporaryDirectory() as scratch, context.Pool(_JOBS.value) as pool:
        references, shares = {}, []
        per_share = 5
        for number, which in enumerate(configs):
            folder = Path(scratch, f"reference_{number}")
            folder.mkdir()
            lengths = phase_lengths(which, folder)
            references[which] = result(folder)
            share = kills // len(configs) + (number < kills % len(configs))
            for i, first in enumerate(range(0, share, per_share)):
                seed = (_SEED.value * 1000 + number) * 1000 + i
                count = min(per_share, share - first)
                task = (which, references[which], lengths, count, seed, scratch)
                shares.append(task)
        counts, num_runs = collections.Counter(), collections.Counter()
        every = pool.imap_unordered(disturb_many, shares)
        for which, some, done, wrong in tqdm(every, total=len(shares), disable=None):
            counts.update(some)
            num_runs[which] += done
            for case in wrong:
                failed = True
                print("NOT AS UNDISTURBED (seed, run, status, kills, names):", case)
        print(f"seed {_SEED.value}; runs: {dict(num_runs)}")
        print_counts(counts)
        for number, name in enumerate(names if SABOTAGED in references else ()):
            folder = Path(scratch, f"sabotaged_{number}")
            status = sabotaged(name, folder)
            found = differences(references[SABOTAGED], folder)
            failed |= status != 0 or not found
            first = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
            print(f"{'caught' if found else 'MISSED'}: {name} ({first or status})")
    sys.exit(failed)


def print_counts(counts):
    """Prints a table of phases and signals."""
    names = ["SIGKILL", "SIGTERM"]
    numbers = [[counts[name, phase] for name in names] for phase in PHASES]
    numbers.append([sum(column) for column in zip(*numbers, strict=True)])
    places = zip((*PHASES, "all"), numbers, strict=True)
    rows = [[place, *map(str, row)] for place, row in places]
    print(f"\n{_markdown.table(['phase', *names], rows)}\n")


if __name__ == "__main__":
    _program.start(main)
