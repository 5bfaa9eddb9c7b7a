"""What the runs of an experiment reached, by cell and seed."""

from __future__ import annotations

import dataclasses
import functools
import math

from tfsupermask.experiments.experiment import Cell, Experiment, rate_name
from tfsupermask.experiments.folder import StudyFolder
from tfsupermask.experiments.measures import MEASURES, Measure, Outcome
from tfsupermask.experiments.plan import NUM_IMAGES, Job, Study, has_opposite, run_name
from tfsupermask.experiments.statistics import Sample
from tfsupermask.experiments.thesis import TITLES
from tfsupermask.runs import Config


@dataclasses.dataclass(frozen=True)
class CellResult:
    """What the runs of a cell reached.

    Attributes:
        cell: As it was run.
        outcomes: By seed, of runs with the pruning rate read as the fraction removed.
        kept_outcomes: The same with the rate read as the fraction kept, `None` where
            that makes no difference.

    Example:
        >>> cell = find("table", "8.3").cells[0]
        >>> CellResult(cell, {}, {}).kept.n
        0
    """

    cell: Cell
    outcomes: dict[int, Outcome]
    kept_outcomes: dict[int, Outcome] | None = None

    @property
    def measure(self) -> Measure:
        """What is measured."""
        return MEASURES[self.cell.measure]

    @property
    def head(self) -> str:
        r"""Name of the column; a pruning rate's in both readings.

        Example:
            >>> CellResult(find("table", "8.3").cells[0], {}).head
            '10\xa0% removed (90\xa0% kept)'
        """
        rate, column = self.cell.config.prune, self.cell.column
        if column != rate_name(rate):
            return column
        return f"{column} removed ({rate_name(1 - rate)} kept)"

    @property
    def digits(self) -> int:
        """Number of digits after the point that are told."""
        return 2 if self.cell.measure.startswith("entropy") else 1

    @functools.cached_property
    def removed(self) -> Sample:
        """The numbers measured."""
        return _sample(self.measure, self.outcomes)

    @functools.cached_property
    def kept(self) -> Sample | None:
        """Those with the rate read as the fraction kept, `None` without difference."""
        if self.kept_outcomes is None:
            return None
        return _sample(self.measure, self.kept_outcomes)


@dataclasses.dataclass(frozen=True)
class Results:
    """What an experiment reached, and what it did not.

    Attributes:
        experiment: As it was run.
        study: How far it was to go.
        thesis_dataset: Name of the dataset that the thesis ran it on.
        cells: In the experiment's order.
        runs: The runs that are done, by name.
        failed: Why runs failed, by name.
        missing: Names of the other runs that are not done.

    Example:
        >>> from pathlib import Path
        >>> study = Study(seeds=2, datasets=("digits",))
        >>> results = collect(find("table", "8.3"), study, StudyFolder(Path("none")))
        >>> len(results.runs), len(results.missing), results.title
        (0, 20, 'Conv6 on CIFAR-10, top-1 test accuracy (here on digits)')
    """

    experiment: Experiment
    study: Study
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

    def config_of(self, cell: Cell) -> Config:
        """Returns the resolved configuration of a cell's runs, with the first seed."""
        return self.study.run_of(cell, 0)

    @functools.cached_property
    def num_images(self) -> int:
        """Number of images that the runs train on, as they tell if any is done."""
        told = {run.summary.get("train_images") for run in self.runs.values()} - {None}
        return min(told) if told else self.num_images_asked_for

    @property
    def num_images_asked_for(self) -> int:
        """Number of images that they would train on with the published dataset."""
        published = NUM_IMAGES[self.dataset]
        return min(published, self.study.limit_images or published)


def collect(experiment: Experiment, study: Study, folder: StudyFolder) -> Results:
    """Returns what an experiment's runs reached so far.

    Args:
        experiment: As in the catalogue.
        study: How far it was to go.
        folder: Where its runs are; runs and folder may be missing.

    Example:
        >>> from pathlib import Path
        >>> folder = StudyFolder(Path("reproduction"))
        >>> results = collect(find("table", "8.3"), Study(), folder)
        >>> len(results.cells), results.num_done, results.num_jobs
        (10, 0, 30)
    """
    adapted = study.adapt(experiment)
    found = _Found(study, folder)
    cells = tuple(
        CellResult(
            cell,
            found.outcomes(cell),
            found.outcomes(cell.opposite) if has_opposite(adapted, cell) else None,
        )
        for cell in adapted.cells
    )
    return Results(
        adapted,
        study,
        experiment.dataset,
        cells,
        found.runs,
        found.failed,
        tuple(name for name in found.absent if name not in found.failed),
    )


def _sample(measure, outcomes):
    return Sample({seed: measure.read(outcome) for seed, outcome in outcomes.items()})


class _Found:
    """The outcomes asked for, and what became of every run."""

    def __init__(self, study, folder):
        self._study, self._folder = study, folder
        self.runs: dict[str, Outcome] = {}
        self.failed: dict[str, str] = {}
        self.absent: dict[str, None] = {}

    def outcomes(self, cell):
        """Outcomes by seed of a cell's runs, those left out that are not done."""
        found = {}
        for seed in range(self._study.seeds):
            outcome = self._outcome(cell, seed)
            if outcome is not None:
                found[seed] = outcome
        return found

    def _outcome(self, cell, seed):
        measure, config = MEASURES[cell.measure], self._study.run_of(cell, seed)
        if not measure.trained:
            config = dataclasses.replace(config, stop_after_epoch=0)
        job = Job(run_name(config), config)
        outcome = self._folder.outcome(job)
        if outcome is not None:
            self.runs[job.name] = outcome
            if _is_readable(measure, outcome):
                return outcome
        self.absent[job.name] = None
        reason = self._folder.why_failed(job)
        if reason is not None:
            self.failed[job.name] = reason
        return None


def _is_readable(measure, outcome):
    # A run's files may be older than what is asked of them, or damaged.
    try:
        return math.isfinite(measure.read(outcome))
    except (KeyError, IndexError, TypeError):
        return False
