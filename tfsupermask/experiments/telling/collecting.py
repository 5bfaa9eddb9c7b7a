"""The results of an experiment's runs, by cell and seed."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math

from tfsupermask.experiments.catalogue.experiment import Cell, Experiment, rate_name
from tfsupermask.experiments.catalogue.thesis import TITLES
from tfsupermask.experiments.running.outcomes import MEASURES, Measure, Outcome
from tfsupermask.experiments.running.output import OutputFolder
from tfsupermask.experiments.running.planning import NUM_IMAGES, Scope, has_opposite
from tfsupermask.experiments.telling.statistics import Sample


@dataclasses.dataclass(frozen=True)
class CellResult:
    """What the runs of a cell reached, by either reading of the pruning rate."""

    cell: Cell
    outcomes: dict[int, Outcome]  # by seed; the rate is read as the fraction removed
    removed: Sample
    kept: Sample | None  # `None` where the rate is not read as the fraction kept

    @property
    def measure(self) -> Measure:
        """What is measured."""
        return MEASURES[self.cell.measure]

    @property
    def head(self) -> str:
        """Name of the column; a pruning rate is given in both readings."""
        rate, column = self.cell.config.prune, self.cell.column
        if column != rate_name(rate):
            return column
        return f"{column} removed ({rate_name(1 - rate)} kept)"

    @property
    def digits(self) -> int:
        """Number of digits shown after the point."""
        return 2 if self.cell.measure.startswith("entropy") else 1


@dataclasses.dataclass(frozen=True)
class Results:
    """What an experiment, adapted to a scope, reached so far."""

    experiment: Experiment
    scope: Scope
    thesis_dataset: str
    cells: tuple[CellResult, ...]
    runs: dict[str, Outcome]  # the finished runs, by name
    failed: dict[str, str]  # why runs failed, by name
    missing: tuple[str, ...]  # the names of all other runs

    @property
    def title(self) -> str:
        """The experiment's title, with the dataset if it is not the thesis's."""
        if self.dataset == self.thesis_dataset:
            return self.experiment.title
        return f"{self.experiment.title} (here on {TITLES[self.dataset]})"

    @property
    def dataset(self) -> str:
        """Name of the dataset that the experiment was run on."""
        return self.experiment.dataset

    @property
    def num_jobs(self) -> int:
        """Number of its runs, done or not."""
        return len(self.runs.keys() | self.failed.keys() | set(self.missing))

    @property
    def num_done(self) -> int:
        """Number of those runs that are done."""
        return self.num_jobs - len(self.failed) - len(self.missing)

    @functools.cached_property
    def panels(self) -> dict[str, dict[tuple[str, str], CellResult]]:
        """For each panel, by title, its cells by row and column."""
        panels: dict[str, dict[tuple[str, str], CellResult]] = {}
        for result in self.cells:
            cell = result.cell
            panels.setdefault(cell.panel, {})[cell.row, cell.column] = result
        return panels

    @property
    def epochs(self) -> int:
        """Length of the schedule of its runs."""
        return self.epochs_of(self.cells[0].cell)

    def epochs_of(self, cell: Cell) -> int:
        """Returns the length of the schedule of a cell's runs."""
        return self.scope.job(cell, 0).config.epochs

    @property
    def sizes_vary(self) -> bool:
        """Whether its cells have numbers of training images of their own."""
        limits = {cell.cell.config.limit_images for cell in self.cells}
        return bool(limits - {None, self.scope.limit_images})

    def images_of(self, cell: Cell) -> int:
        """Returns the number of training images of a cell's runs."""
        return cell.config.limit_images if self.sizes_vary else self.num_images

    @functools.cached_property
    def num_images(self) -> int:
        """Number of training images, as finished runs count them if there are any."""
        # Summaries of earlier versions do not hold it.
        numbers = {run.summary.get("train_images") for run in self.runs.values()}
        numbers -= {None}
        return min(numbers) if numbers else self._num_images_asked_for

    @property
    def _num_images_asked_for(self):
        """Number of training images if the dataset is complete."""
        held_out = {cell.cell.config.validation_images or 0 for cell in self.cells}
        published = NUM_IMAGES[self.dataset] - max(held_out, default=0)
        return min(published, self.scope.limit_images or published)

    @property
    def fewer_images(self) -> str:
        """How many training images there are if that is fewer than published."""
        published = self._num_images_asked_for
        if self.sizes_vary or self.num_images >= published:
            return ""
        name = TITLES[self.dataset]
        return f"{self.num_images:,} training images instead of {name}'s {published:,}"

    @property
    def shortcomings(self) -> tuple[str, ...]:
        """In what the results fall short of the thesis's, in a few words each."""
        words = list(self.scope.restrictions) if self.cells else []
        if self.dataset != self.thesis_dataset:
            words.append(
                f"{TITLES[self.dataset]} instead of {TITLES[self.thesis_dataset]}"
            )
        if self.fewer_images:
            words.append(self.fewer_images)
        left = self.num_jobs - self.num_done
        if left:
            words.append(f"{left} of {self.num_jobs} runs not done")
        return tuple(words)


def collect(experiment: Experiment, scope: Scope, folder: OutputFolder) -> Results:
    """Returns what an experiment's runs reached; runs and folder may be missing."""
    adapted = scope.adapt(experiment)
    if experiment.has_own_sizes:
        scope = dataclasses.replace(scope, epochs=None, limit_images=None)
    found = _Found(scope, folder)
    cells = []
    for cell in adapted.cells:
        kept = None
        outcomes, removed = found.of(cell)
        if has_opposite(adapted, cell):
            _, kept = found.of(cell.opposite)
        cells.append(CellResult(cell, outcomes, removed, kept))
    return Results(
        adapted,
        scope,
        experiment.dataset,
        tuple(cells),
        found.runs,
        found.failed,
        tuple(found.missing),
    )


class _Found:
    """Collects outcomes, and sorts runs into done, failed and missing."""

    def __init__(self, scope, folder):
        self._scope, self._folder = scope, folder
        self.runs: dict[str, Outcome] = {}
        self.failed: dict[str, str] = {}
        self.missing: dict[str, None] = {}

    def of(self, cell):
        """Returns the outcomes of a cell's finished runs by seed, and their numbers."""
        outcomes, values = {}, {}
        for seed in range(self._scope.seeds):
            job = self._scope.job(cell, seed)
            for _, other in job.needs:
                self._sort(other, MEASURES["test_top1"])
            value = self._sort(job, MEASURES[cell.measure])
            if value is not None:
                outcomes[seed], values[seed] = self.runs[job.name], value
        return outcomes, Sample(values)

    def _sort(self, job, measure):
        """Notes how a run stands; returns what is measured on it, if it is done."""
        outcome = self._folder.outcome(job)
        if outcome is not None:
            self.runs[job.name] = outcome
            value = _value(measure, outcome)
            if value is not None:
                return value
        reason = self._folder.why_failed(job)
        if reason is None:
            self.missing[job.name] = None
        else:
            self.failed[job.name] = reason
        return None


def _value(measure, outcome):
    """Returns the measured number, `None` if old or damaged files do not hold it."""
    with contextlib.suppress(KeyError, IndexError, TypeError):
        value = measure.read(outcome)
        if math.isfinite(value):
            return value
    return None
