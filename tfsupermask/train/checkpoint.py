"""Checkpoints: one file an epoch, the last two kept."""

from __future__ import annotations

import dataclasses
import json
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfsupermask._files import write_atomically

_KEPT = 2
_STATE = "state.json"


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What a run needs to go on.

    Attributes:
        epoch: Number of epochs completed.
        values: Every variable's value and every mask's number of weights kept, by name.
        state: The rest, as JSON values: metrics so far, seconds spent.
    """

    epoch: int
    values: Mapping[str, np.ndarray]
    state: dict[str, Any]


def save(folder: Path, checkpoint: Checkpoint) -> Path:
    """Writes a checkpoint and removes all but the last two.

    Args:
        folder: Folder of the checkpoints; made if missing.
        checkpoint: What to write.

    Returns:
        The file written: an uncompressed `.npz` archive, whose members carry CRC-32s.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"epoch_{checkpoint.epoch:05d}.npz"
    state = np.frombuffer(json.dumps(checkpoint.state).encode(), np.uint8)
    arrays = {**checkpoint.values, _STATE: state}
    write_atomically(path, lambda file: np.savez(file, **arrays))
    for old in _paths(folder)[:-_KEPT]:
        old.unlink()
    return path


def restore_latest(folder: Path) -> Checkpoint | None:
    """Returns the newest checkpoint that is intact, or `None` if there is none.

    A damaged one is reported by a warning and the one before it is tried.
    """
    for path in reversed(_paths(folder)):
        try:
            with np.load(path, allow_pickle=False) as archive:
                values = {name: archive[name] for name in archive.files}
            state = json.loads(values.pop(_STATE).tobytes())
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            warnings.warn(
                f"Checkpoint {path} is damaged and passed over ({error}).", stacklevel=2
            )
            continue
        return Checkpoint(int(path.stem.removeprefix("epoch_")), values, state)
    return None


def _paths(folder: Path) -> list[Path]:
    return sorted(folder.glob("epoch_*.npz"))
