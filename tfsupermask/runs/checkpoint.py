"""Checkpoints: a file for each epoch or interruption; the last two are kept."""

from __future__ import annotations

import dataclasses
import json
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfsupermask._arrays import read_arrays, write_arrays
from tfsupermask._files import make_folder, write_atomically
from tfsupermask._reading import parse_json
from tfsupermask._validation import InputError, fail

_KEPT = 2
_STATE = "state.json"
_NAME = re.compile(r"epoch_([0-9]{5,9})(?:_step_([0-9]{6,9}))?\.npz")


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What a run needs to go on."""

    epoch: int  # number of epochs done
    values: Mapping[str, np.ndarray]  # variables and numbers of kept weights
    state: dict[str, Any]  # all else, as JSON values: metrics so far, seconds
    step: int = 0  # number of steps done in the next epoch


def save(folder: Path, checkpoint: Checkpoint) -> Path:
    """Writes a checkpoint, an `.npz` with its SHA-256; the one before it also stays."""
    make_folder(folder)
    inside = f"_step_{checkpoint.step:06d}" if checkpoint.step else ""
    path = folder / f"epoch_{checkpoint.epoch:05d}{inside}.npz"
    state = np.frombuffer(json.dumps(checkpoint.state).encode(), np.uint8)
    arrays = {**checkpoint.values, _STATE: state}
    write_atomically(path, lambda file: write_arrays(file, arrays))
    done = [
        old for old in _paths(folder) if _epoch_and_step(old) <= _epoch_and_step(path)
    ]
    for old in done[:-_KEPT]:
        if old.is_file():
            old.unlink()
    return path


def restore_latest(folder: Path) -> Checkpoint | None:
    """Returns the newest intact checkpoint or `None`; warns about damaged ones.

    No code in the files is run, and no file takes more memory than it has bytes.
    """
    for path in reversed(_paths(folder)):
        try:
            return _read(path)
        except InputError as error:
            warnings.warn(
                f"Checkpoint {str(path)!r} is damaged and passed over ({error}).",
                stacklevel=2,
            )
    return None


def _read(path):
    values = read_arrays(path)
    if _STATE not in values:
        raise fail("A checkpoint must hold its state.", arrays=sorted(values)[:3])
    state = parse_json(values.pop(_STATE).tobytes(), _STATE)
    epoch, step = _epoch_and_step(path)
    return Checkpoint(epoch, values, state, step)


def _paths(folder: Path) -> list[Path]:
    found = [path for path in folder.glob("epoch_*.npz") if _NAME.fullmatch(path.name)]
    return sorted(found, key=_epoch_and_step)


def _epoch_and_step(path: Path) -> tuple[int, int]:
    epoch, step = _NAME.fullmatch(path.name).groups(default="0")
    return int(epoch), int(step)
