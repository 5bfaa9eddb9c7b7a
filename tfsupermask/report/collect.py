"""Reads a run folder for a report."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tfsupermask import data
from tfsupermask._reading import DAMAGED, read_json
from tfsupermask._validation import InputError, fail
from tfsupermask.data import Dataset
from tfsupermask.init import LayerReport, PatchesInitReport
from tfsupermask.layers import get_method
from tfsupermask.layers.walking import name_of_each
from tfsupermask.report.masks import MaskStatistics, mask_statistics
from tfsupermask.report.predictions import Predictions, predict
from tfsupermask.runs import Config, RunFolder
from tfsupermask.runs.metrics import read_csv
from tfsupermask.train import load_images, load_run
from tfsupermask.train.events import first_layer_pictures

PICTURES = ("boxes_and_patches", "first_layer")
_NUMBERS = ("test_loss", "test_top1", "test_top5", "init_seconds", "images_per_second")


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """A run as a report shows it.

    Attributes:
        path: Its folder.
        config: Its resolved configuration.
        epoch: Number of epochs done.
        class_names: The name of each class.
        data_sha256: Fingerprint of its images.
        rows: A dict of metrics for each epoch done, see `tfsupermask.runs.metrics`.
        summary: `summary.json`; empty if it is missing or from an earlier epoch.
        begun: When its folder was made.
        written: When its last epoch was saved.
        masks: Statistics of each mask after the last epoch.
        filters: Pictures of the first convolution, uint8 (height, width, 3), by name.
        init: What PatchesInit did, or `None`.
        pictures: Contents of the PNG files in `PICTURES` that exist, by name.
        predictions: The model's predictions for the images that every epoch is
            evaluated on, or `None`.
        no_predictions: Why there are no predictions, a sentence.

    Example:
        >>> run = collect_run("runs/my_run")
        >>> run.name, run.epoch, run.config.init, len(run.masks)
        ('my_run', 1, 'kaiming_normal', 5)
    """

    path: Path
    config: Config
    epoch: int
    class_names: tuple[str, ...]
    data_sha256: str
    rows: list[dict[str, float]]
    summary: dict[str, Any]
    begun: datetime.datetime
    written: datetime.datetime
    masks: tuple[MaskStatistics, ...]
    filters: dict[str, np.ndarray]
    init: PatchesInitReport | None
    pictures: dict[str, bytes]
    predictions: Predictions | None
    no_predictions: str

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return self.path.resolve().name

    @property
    def trains_kernel(self) -> bool:
        """Whether the weights are trained, not frozen."""
        return get_method(self.config.method).trains_kernel

    @property
    def removed(self) -> float:
        """Fraction of the weights that was to be removed, or is if nobody said it."""
        config, method = self.config, get_method(self.config.method)
        said = method.takes_sparsity and not method.decides_num_kept
        on_ramp = self.epoch <= config.ramp_epochs > 0
        if said and not on_ramp and config.whole_layers is None:
            return config.prune
        return 1 - self.num_kept / self.num_weights

    @property
    def num_weights(self) -> int:
        """Number of masked weights."""
        return sum(mask.num_weights for mask in self.masks)

    @property
    def num_kept(self) -> int:
        """Number of weights that the masks keep."""
        return sum(mask.num_kept for mask in self.masks)

    @property
    def last(self) -> dict[str, float]:
        """Metrics of the last epoch; empty before the first."""
        return self.rows[-1] if self.rows else {}

    @property
    def measured(self) -> dict[str, float]:
        """Metrics of the last epoch, and those on test images at the end of the run."""
        # Older summaries use the name `test` for validation.
        at_end = self.summary if "validation_top1" in self.summary else {}
        return {**at_end, **self.last}

    @property
    def train_seconds(self) -> float:
        """Seconds of training."""
        return sum(row["seconds"] for row in self.rows)


def collect_run(
    path: str | Path,
    data_dir: str | None = None,
    load: Callable[..., Dataset] = data.load,
) -> Run:
    """Reads a run folder, and classifies its evaluation images if they are found.

    Otherwise, or if the images are not the run's, a warning says so.

    Args:
        path: The folder of a finished or unfinished run.
        data_dir: Folder of the images. Defaults to the run's.
        load: Loads a dataset, as `tfsupermask.data.load` (default) does.

    Returns:
        Everything that a report needs.

    Raises:
        InputError: The folder holds no run, or its files cannot be read.

    Example:
        >>> collect_run("runs/my_run").predictions.confusion.shape
        (3, 3)
    """
    try:
        return _collect(RunFolder(Path(path)), data_dir, load)
    except InputError:
        raise
    except DAMAGED as error:
        raise fail(
            f"The run's files must be whole and of this program ({str(error)[:99]!r}).",
            path=str(path),
        ) from error


def _collect(folder, data_dir, load):
    loaded = load_run(folder.root)
    sha256 = read_json(folder.config)["data"]["sha256"]
    return Run(
        path=folder.root,
        config=loaded.config,
        epoch=loaded.epoch,
        class_names=loaded.class_names,
        data_sha256=sha256,
        rows=_rows(folder, loaded.epoch, loaded.config.epoch_split),
        summary=_summary(folder, loaded.epoch),
        begun=_time(folder.config),
        written=_time(max(folder.checkpoints.glob("epoch_*.npz"))),
        masks=tuple(
            itertools.starmap(mask_statistics, name_of_each(loaded.model).items())
        ),
        filters=first_layer_pictures(loaded.model),
        init=_init(folder),
        pictures=_pictures(folder),
        **_predict(loaded, sha256, data_dir, load),  # last: it takes the longest
    )


def _rows(folder, epoch, epoch_split):
    if not folder.metrics.is_file():
        return []
    rows = read_csv(folder.metrics, epoch_split)
    for row in rows:
        _check_numbers(row, "metrics.csv")
    return [row for row in rows if row["epoch"] <= epoch]


def _summary(folder, epoch):
    if not folder.summary.is_file():
        return {}
    summary = read_json(folder.summary)
    numbers = {name: summary[name] for name in _NUMBERS if name in summary}
    _check_numbers(numbers, "summary.json")
    return summary if summary["epoch"] == epoch else {}


def _check_numbers(values, file):
    """Raises unless all are finite; the loss of images not trained on may be inf."""
    for name, value in values.items():
        may_be = name in ("test_loss", "validation_loss") and value == math.inf
        if not (math.isfinite(value) or may_be):
            raise ValueError(f"{file} holds a number that is not finite")


def _time(path):
    return datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC)


def _init(folder):
    if not folder.init_report.is_file():
        return None
    report = read_json(folder.init_report)
    fields = {field.name for field in dataclasses.fields(LayerReport)}
    layers = (
        LayerReport.from_dict({name: layer[name] for name in fields})
        for layer in report["layers"]
    )
    return PatchesInitReport(tuple(layers), dict(report["skipped"]))


def _pictures(folder):
    files = {name: folder.pictures / f"{name}.png" for name in PICTURES}
    return {name: file.read_bytes() for name, file in files.items() if file.is_file()}


def _predict(loaded, sha256, data_dir, load):
    """Returns a run's fields on predictions."""
    config, detail = loaded.config, ""
    images = f"The images of {config.dataset}"
    try:
        dataset = load_images(config, data_dir, load)
    except (InputError, OSError) as error:
        reason, detail = f"{images} could not be read.", f" {error}"
    else:
        if dataset.sha256 == sha256:
            return {"predictions": predict(loaded, dataset), "no_predictions": ""}
        reason = f"{images} that were found are not the run's own."
    warnings.warn(
        f"The report goes without {config.epoch_split} images. {reason}{detail}",
        stacklevel=2,
    )
    return {"predictions": None, "no_predictions": reason}
