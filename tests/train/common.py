"""Runs that tests make and compare."""

import signal

import numpy as np
import pytest

from tfsupermask import runs, train
from tfsupermask.runs import checkpoint as checkpoints
from tfsupermask.train.interruption import Interrupted

PATTERNS = {"batch_size": 32, "epochs": 3, "num_patches": 1000, "num_clusters": 80}
STOCHASTIC = {
    "method": "stochastic",
    "learning_rate": 100.0,
    "init": "glorot_normal",
    "batch_size": 32,
    "epochs": 2,
}


def run(workdir, **fields):
    return train.run(runs.Config(workdir=str(workdir), **fields))


def advance(workdir, **fields):
    """Does what `run` does but the files of its end; returns the epoch."""
    with train.Job.open(runs.Config(workdir=str(workdir), **fields)) as job:
        job.train()
        return job.saved.epoch


def rows_without_time(workdir):
    lines = (workdir / "metrics.csv").read_text().splitlines()
    assert lines[0].endswith(",seconds")
    return [line.rsplit(",", 1)[0] for line in lines]


def assert_same_result(one, other):
    assert rows_without_time(one) == rows_without_time(other)
    mine = checkpoints.restore_latest(one / "checkpoints")
    theirs = checkpoints.restore_latest(other / "checkpoints")
    assert set(mine.values) == set(theirs.values)
    for name, value in mine.values.items():
        np.testing.assert_array_equal(value, theirs.values[name], err_msg=name)


def stop_within_the_first_epoch(monkeypatch, workdir, **fields):
    """Runs eight steps on two replicas, and ends in the way a signal does."""
    stop_if_asked, calls = train.Job._stop_if_asked, []

    def signalled(job, *args, **kwargs):
        calls.append(args)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGTERM)
        stop_if_asked(job, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr("tfsupermask.train.loop.STEPS_PER_CALL", 4)
        patch.setattr(train.Job, "_stop_if_asked", signalled)
        with pytest.raises(Interrupted):
            run(workdir, strategy="mirrored", **fields)
    saved = checkpoints.restore_latest(workdir / "checkpoints")
    assert (saved.epoch, saved.step) == (0, 8)
