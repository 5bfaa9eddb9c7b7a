"""What the runs of an experiment reached, by cell and seed."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math

from tfsupermask.experiments.catalogue.experiment import Cell, Experiment, rate_name
from tfsupermask.experiments.catalogue.thesis import TITLES
from tfsupermask.experiments.running.folder import OutputFolder
from tfsupermask.experiments.running.measures import MEASURES, Measure, Outcome
from tfsupermask.experiments.running.planning import NUM_IMAGES, Scope, has_opposite
from tfsupermask.experiments.telling.statistics import Sample


@dataclasses.dataclass(frozen=True)
class CellResult:
    """What the runs of a cell reached.

    Attributes:
        cell: As it was run.
        outcomes: Of runs with the pruning rate read as the fraction removed, by seed.
        removed: The numbers measured of these.
        kept: The numbers with the rate read as the fraction kept, `None` where that
            makes no difference.
    """

    cell: Cell
    outcomes: dict[int, Outcome]
    removed: Sample
    kept: Sample | None

    @property
    def measure(self) -> Measure:
        """What is measured."""
        return MEASURES[self.cell.measure]

    @property
    def head(self) -> str:
        """Name of the column; a pruning rate's in both readings."""
        rate, column = self.cell.config.prune, self.cell.column
        if column != rate_name(rate):
            return column
        return f"{column} removed ({rate_name(1 - rate)} kept)"

    @property
    def digits(self) -> int:
        """Number of digits after the point that are shown."""
        return 2 if self.cell.measure.startswith("entropy") else 1


@dataclasses.dataclass(frozen=True)
class Results:
    """What an experiment reached, and what it did not.

    Attributes:
        experiment: As it was run.
        scope: How far it was to go.
        thesis_dataset: Name of the dataset that the thesis ran it on.
        cells: In the experiment's order.
        runs: The runs that are done, by name.
        failed: Why runs failed, by name.
        missing: Names of the other runs that are not done.
    """

    experiment: Experiment
    scope: Scope
    thesis_dataset: str
    cells: tuple[CellResult, ...]
    runs: dict[str, Outcome]
    failed: dict[str, str]
    missing: tuple[str, ...]

    @property
    def title(self) -> str:
        """What the experiment shows, with the dataset if it is another here."""
        if self.dataset == self.thesis_dataset:
            return self.experiment.title
        return f"{self.experiment.title} (here on {TITLES[self.dataset]})"

    @property
    def dataset(self) -> str:
        """Name of the dataset that it was run on."""
        return self.experiment.dataset

    @property
    def num_jobs(self) -> int:
        """Number of runs that it consists of, done or not."""
        return len(self.runs.keys() | self.failed.keys() | set(self.missing))

    @property
    def num_done(self) -> int:
        """Number of those runs that are done."""
        return self.num_jobs - len(self.failed) - len(self.missing)

    @functools.cached_property
    def panels(self) -> dict[str, dict[tuple[str, str], CellResult]]:
        """Cells by row and column, of each panel by its title."""
        panels: dict[str, dict[tuple[str, str], CellResult]] = {}
        for result in self.cells:
            place = (result.cell.row, result.cell.column)
            panels.setdefault(result.cell.panel, {})[place] = result
        return panels

    @property
    def epochs(self) -> int:
        """Length of the schedule of its runs."""
        return self.epochs_of(self.cells[0].cell)

    def epochs_of(self, cell: Cell) -> int:
        """Returns the length of the schedule of a cell's runs."""
        return self.scope.job(cell, 0).config.epochs

    @functools.cached_property
    def num_images(self) -> int:
        """Number of images that the runs train on, by their own account if any is done.

        Runs of earlier versions do not say.
        """
        known = {run.summary.get("train_images") for run in self.runs.values()} - {None}
        return min(known) if known else self._num_images_asked_for

    @property
    def _num_images_asked_for(self):
        """Number of images that they would train on with the published dataset."""
        published = NUM_IMAGES[self.dataset]
        return min(published, self.scope.limit_images or published)

    @property
    def fewer_images(self) -> str:
        """How many images are missing from the published dataset, empty if none is."""
        published = self._num_images_asked_for
        if self.num_images >= published:
            return ""
        name = TITLES[self.dataset]
        return f"{self.num_images:,} training images instead of {name}'s {published:,}"

    @property
    def shortcomings(self) -> tuple[str, ...]:
        """What makes the results less than the thesis's, in a few words each."""
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
    """Returns what an experiment's runs reached so far; runs and folder may be missing.

    Example:
        >>> from pathlib import Path
        >>> scope = Scope(seeds=2, datasets=("digits",))
        >>> results = collect(find("table", "8.3"), scope, OutputFolder(Path("none")))
        >>> results.num_done, results.num_jobs, results.title
        (0, 20, 'Conv6 on CIFAR-10, top-1 test accuracy (here on digits)')
        >>> results.shortcomings[1:]
        ('2 seeds', 'digits instead of CIFAR-10', '20 of 20 runs not done')
    """
    adapted = scope.adapt(experiment)
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
    """The outcomes asked for, and what became of every run."""

    def __init__(self, scope, folder):
        self._scope, self._folder = scope, folder
        self.runs: dict[str, Outcome] = {}
        self.failed: dict[str, str] = {}
        self.missing: dict[str, None] = {}

    def of(self, cell):
        """Returns the outcomes of a cell's runs that are done, and their numbers."""
        outcomes, values = {}, {}
        for seed in range(self._scope.seeds):
            job = self._scope.job(cell, seed)
            outcome = self._folder.outcome(job)
            if outcome is not None:
                self.runs[job.name] = outcome
                value = _value(MEASURES[cell.measure], outcome)
                if value is not None:
                    outcomes[seed], values[seed] = outcome, value
                    continue
            reason = self._folder.why_failed(job)
            if reason is None:
                self.missing[job.name] = None
            else:
                self.failed[job.name] = reason
        return outcomes, Sample(values)


def _value(measure, outcome):
    """Returns the number measured, `None` if the run does not have it.

    Its files may be older than what is asked of them, or damaged.
    """
    with contextlib.suppress(KeyError, IndexError, TypeError):
        value = measure.read(outcome)
        if math.isfinite(value):
            return value
    return None
