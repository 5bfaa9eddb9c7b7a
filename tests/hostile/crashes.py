"""Crashes while a checkpoint is saved, and whether one is whole afterwards."""

import itertools
import tempfile
from pathlib import Path

import numpy as np

from tests.hostile.disk import Disk, logged, write_state
from tfsupermask.runs import checkpoint as checkpoints
from tfsupermask.runs.checkpoint import Checkpoint


def honest(epoch):
    """Returns a small checkpoint that no other epoch gives."""
    rng = np.random.default_rng(epoch)
    values = {
        "model/conv1/score": rng.normal(size=(3, 4)).astype(np.float32),
        "optimizer/0": np.array(epoch),
    }
    return Checkpoint(epoch, values, {"rows": [{"epoch": epoch, "loss": 0.1}]})


def is_honest(found):
    """Returns whether a checkpoint holds what its epoch's does."""
    expected = honest(found.epoch)
    return (
        found.state == expected.state
        and found.values.keys() == expected.values.keys()
        and all(
            np.array_equal(value, expected.values[name])
            and value.dtype == expected.values[name].dtype
            for name, value in found.values.items()
        )
    )


def crashes(first, ignored=()):
    """Counts the states that crashes could leave, and those that are recovered from.

    The save may be the folder's `first`; some kinds of operations may be `ignored`.
    """
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root, "checkpoints")
        if not first:
            for epoch in (1, 2):
                checkpoints.save(folder, honest(epoch))
        disk = Disk(root)
        with logged(root) as log:
            checkpoints.save(folder, honest(3))
    recovered = [_recovers(disk, before=not first, done=False)]
    for number, operation in enumerate(log, start=1):
        if operation.kind not in ignored:
            disk.do(operation)
        done = number == len(log) or _is_saved(log[:number])
        recovered.append(_recovers(disk, not first, done))
    recovered = list(itertools.chain.from_iterable(recovered))
    return {
        "bytes": sum(len(operation.data) for operation in log),
        "tried": len(recovered),
        "detected": sum(recovered),
        "missed": recovered.count(False),
    }


def _is_saved(log):
    kinds = [operation.kind for operation in log]
    renamed = kinds.index("rename") if "rename" in kinds else len(kinds)
    return "sync folder" in kinds[renamed:]


def _recovers(disk, before, done):
    """Returns of each state whether a whole checkpoint is found, and which."""
    expected = {3} if done else {2, 3} if before else {None, 3}
    recovered = []
    for state in disk.states():
        with tempfile.TemporaryDirectory() as root:
            write_state(state, root)
            found = checkpoints.restore_latest(Path(root, "checkpoints"))
            whole = found is None or is_honest(found)
            recovered.append(whole and (found.epoch if found else None) in expected)
    return recovered
