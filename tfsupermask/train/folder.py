"""The run folder: every file name in one place, and whose it is."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np

from tfsupermask._files import write_json
from tfsupermask._validation import InputError, fail
from tfsupermask.data import Dataset
from tfsupermask.train.config import Config


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """Paths inside one run's folder.

    Attributes:
        root: The folder itself.

    Example:
        >>> from pathlib import Path
        >>> folder = RunFolder(Path("runs/my_run"))
        >>> folder.summary.name, folder.summary.is_file()
        ('summary.json', True)
    """

    root: Path

    @property
    def config(self) -> Path:
        """The resolved configuration, JSON."""
        return self.root / "config.json"

    @property
    def metrics(self) -> Path:
        """One line an epoch, CSV."""
        return self.root / "metrics.csv"

    @property
    def summary(self) -> Path:
        """The result in a few numbers, JSON."""
        return self.root / "summary.json"

    @property
    def init_report(self) -> Path:
        """What PatchesInit did, JSON."""
        return self.root / "init.json"

    @property
    def init_progress(self) -> Path:
        """Folder of the layers done by an unfinished PatchesInit."""
        return self.root / "init_progress"

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.root / "checkpoints"

    @property
    def events(self) -> Path:
        """Folder of TensorBoard's event files."""
        return self.root / "events"

    @property
    def saved_model(self) -> Path:
        """Folder of the SavedModel."""
        return self.root / "saved_model"

    @property
    def pictures(self) -> Path:
        """Folder of the pictures."""
        return self.root / "pictures"


def fingerprint(dataset: Dataset) -> str:
    """Returns a SHA-256 of class names, images and labels, in hexadecimal."""
    digest = hashlib.sha256(json.dumps(dataset.class_names).encode())
    for split in (dataset.train, dataset.test):
        digest.update(np.ascontiguousarray(split.images))
        digest.update(np.ascontiguousarray(split.labels))
    return digest.hexdigest()


def claim(folder: RunFolder, config: Config, dataset: Dataset, sha256: str) -> None:
    """Makes a folder this run's own, or refuses without touching it.

    Args:
        folder: A new or empty folder, or one that this very run has claimed before.
        config: The resolved configuration.
        dataset: The images.
        sha256: The images' `fingerprint`.

    Raises:
        InputError: The folder holds something else, cannot be written to, or holds this
            run and `config.resume` is false.
    """
    description = {
        "config": dataclasses.asdict(config),
        "data": {
            "sha256": sha256,
            "image_shape": list(dataset.image_shape),
            "class_names": list(dataset.class_names),
            "mean": dataset.mean.tolist(),
            "std": dataset.std.tolist(),
        },
    }
    try:
        folder.root.mkdir(parents=True, exist_ok=True)
        if any(path.suffix != ".partial" for path in folder.root.iterdir()):
            _check_same_run(folder, config, description)
        else:
            write_json(folder.config, description)
    except InputError:
        raise
    except OSError as error:
        raise fail(
            f"`workdir` must be a folder that can be written to ({error.strerror}).",
            workdir=str(folder.root),
        ) from error


def _check_same_run(folder, config, description):
    if not folder.config.is_file():
        raise fail(
            "`workdir` must be a new or empty folder, or hold a run (a config.json).",
            workdir=str(folder.root),
        )
    there = json.loads(folder.config.read_text())
    # What a run of an older version does not say was as the default is.
    before = {**dataclasses.asdict(Config()), **there["config"], **there["data"]}
    for name, value in {**config.identity(), **description["data"]}.items():
        if before.get(name) != value:
            raise fail(
                f"`workdir` {str(folder.root)!r} holds a run with {name}="
                f"{before.get(name)!r}; give another --workdir.",
                **{name: value},
            )
    if not config.resume:
        raise fail(
            "`workdir` holds this very run already; leave out --noresume to go on with "
            "it, or give another --workdir.",
            workdir=str(folder.root),
        )
