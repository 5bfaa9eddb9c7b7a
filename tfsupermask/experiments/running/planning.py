"""From experiments to their distinct runs, and how long these take."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from tfsupermask._text import counted
from tfsupermask._validation import check_choice, check_integer, fail
from tfsupermask.experiments.catalogue.experiment import THESIS_EPOCHS, Cell, Experiment
from tfsupermask.experiments.running.outcomes import MEASURES
from tfsupermask.runs import TRAINING_IMAGES, Config, resolve

NUM_IMAGES = {
    "digits": 1433,
    "cifar10": 50_000,
    "cifar100": 50_000,
    "tiny_imagenet": 100_000,
}
DEFAULT_SEEDS = 3

# The times below were measured on it, see docs/performance.md.
MACHINE = "two cores of an AMD EPYC with AVX-512, no GPU"
_SECONDS_PER_IMAGE = {
    "conv2": 0.8e-3,
    "conv4": 1.5e-3,
    "conv6": 2.3e-3,
    "conv8": 3.3e-3,
    "resnet18": 11e-3,  # of 64 by 64 pixels
}
_SECONDS_PER_PATCH = 1.6e-4
_START_SECONDS = 15  # a process, its data, its SavedModel and pictures


@dataclasses.dataclass(frozen=True)
class Scope:
    """How much of the experiments to run: seeds, epochs, images.

    Args:
        seeds: Number of seeds, at least 1; they are 0, 1, and so on. Defaults to 3.
        epochs: Length of every schedule. Defaults to the dataset's recipe, 100 for the
            thesis's datasets.
        limit_images: Number of training images. Defaults to all.
        datasets: The datasets to use. An experiment with another dataset runs on the
            first of them. Defaults to the thesis's datasets.
        data_dir: Folder of all datasets. Defaults to that of TensorFlow Datasets.
        mixed_precision: Whether to compute in bfloat16. Defaults to `False`.

    Raises:
        InputError: A value is out of range or unknown.

    Example:
        >>> Scope(seeds=1, epochs=2).restrictions
        ('2 epochs instead of 100', '1 seed')
    """

    seeds: int = DEFAULT_SEEDS
    epochs: int | None = None
    limit_images: int | None = None
    datasets: tuple[str, ...] = ()
    data_dir: str | None = None
    mixed_precision: bool = False

    def __post_init__(self):
        check_integer("seeds", self.seeds, minimum=1)
        for name in ("epochs", "limit_images"):
            if getattr(self, name) is not None:
                check_integer(name, getattr(self, name), minimum=1)
        for dataset in self.datasets:
            check_choice("datasets", dataset, tuple(NUM_IMAGES))

    @property
    def restrictions(self) -> tuple[str, ...]:
        """What is smaller than in the thesis, in words."""
        words = []
        if self.epochs not in (None, THESIS_EPOCHS):
            words.append(f"{counted(self.epochs, 'epoch')} instead of {THESIS_EPOCHS}")
        if self.limit_images is not None:
            words.append(f"{self.limit_images:,} training images only")
        if self.datasets:
            words.append(f"on {', '.join(self.datasets)} only")
        if self.mixed_precision:
            words.append("computed in bfloat16")
        if self.seeds < DEFAULT_SEEDS:
            words.append(counted(self.seeds, "seed"))
        return tuple(words)

    def adapt(self, experiment: Experiment) -> Experiment:
        """Returns the experiment with the scope's settings.

        The published values are left out where the dataset is another one.
        """
        own = not self.datasets or experiment.dataset in self.datasets
        dataset = experiment.dataset if own else self.datasets[0]
        changes = {
            "dataset": dataset,
            "data_dir": self.data_dir,
            "mixed_precision": self.mixed_precision,
        }
        if not experiment.has_own_sizes:
            changes |= {"epochs": self.epochs, "limit_images": self.limit_images}
        cells = tuple(
            dataclasses.replace(
                cell.adapted(**changes), published=cell.published if own else None
            )
            for cell in experiment.cells
        )
        return dataclasses.replace(experiment, cells=cells, dataset=dataset)

    def job(self, cell: Cell, seed: int) -> PlannedRun:
        """Returns the run with one seed that an adapted cell needs."""
        sources = {"mask_from": cell.mask_of, "weights_from": cell.weights_of}
        needs = {
            flag: self.job(other, seed) for flag, other in sources.items() if other
        }
        names = {flag: job.name for flag, job in needs.items()}
        own_seed = cell.config.seed + seed
        config = dataclasses.replace(cell.config, seed=own_seed, **names)
        all_images = NUM_IMAGES[config.dataset]
        asked = (config.limit_images or 0) + (config.validation_images or 0)
        if asked > all_images:
            raise fail(
                f"A run must not need more training images than the {all_images:,} of "
                f"{config.dataset}.",
                limit_images=config.limit_images,
                validation_images=config.validation_images,
            )
        num_images = config.limit_images or all_images
        some = config.pattern_images == TRAINING_IMAGES
        config = resolve(config, num_images, num_images if some else all_images)
        if not MEASURES[cell.measure].trained:
            config = dataclasses.replace(config, stop_after_epoch=0)
        name = config.run_name("")
        if config.stop_after_epoch:
            name += f"-epoch{config.stop_after_epoch}"
        return PlannedRun(name, config, tuple(needs.items()))


@dataclasses.dataclass(frozen=True)
class PlannedRun:
    """A run to be made.

    Attributes:
        name: The name of its folder: readable, with a stable hash of its configuration.
        config: Resolved. It stops before the first epoch if no table needs training.
        needs: Fields of the config that name a folder, and the runs that make them.

    Example:
        >>> job = plan([find("table", "5.4")], Scope())[0]
        >>> job.name, job.epochs
        ('conv6-cifar100-prune0.5-simple_patches-seed0-...', 0)
    """

    name: str
    config: Config
    needs: tuple[tuple[str, PlannedRun], ...] = ()

    @property
    def epochs(self) -> int:
        """Number of epochs to train, 0 if the run is only initialised."""
        stop = self.config.stop_after_epoch
        return self.config.epochs if stop is None else stop

    @property
    def estimated_seconds(self) -> float:
        """Estimated seconds from its start to its last picture, on `MACHINE`."""
        init = _SECONDS_PER_PATCH * (self.config.num_patches or 0)
        return _START_SECONDS + init + self.training_seconds(self.epochs)

    def training_seconds(self, epochs: int) -> float:
        """Returns the estimated seconds of some of its epochs."""
        images = self.config.limit_images or NUM_IMAGES[self.config.dataset]
        per_image = _SECONDS_PER_IMAGE[self.config.model] * self.config.width**2
        return epochs * self.config.passes_per_epoch * images * per_image


def has_opposite(experiment: Experiment, cell: Cell) -> bool:
    """Returns whether a cell also runs with its rate read as the fraction kept."""
    return (
        experiment.both_readings
        and MEASURES[cell.measure].trained
        and cell.opposite.config.prune not in (cell.config.prune, 1.0)
    )


def plan(experiments: Sequence[Experiment], scope: Scope) -> tuple[PlannedRun, ...]:
    """Returns all distinct runs that experiments need, in the order to run them.

    All runs of the first seed come before those of the second: if the work ends early,
    the tables are complete with fewer seeds.

    Args:
        experiments: Experiments of the catalogue.
        scope: How much of them to run.

    Example:
        >>> both = [find("table", "8.3"), find("figure", "5.2")]
        >>> len(plan(both[:1], Scope())), len(plan(both, Scope()))
        (30, 90)
    """
    jobs: dict[str, PlannedRun] = {}

    def add(job, trained):
        for _, other in job.needs:
            add(other, trained=True)
        # One table may train a run that another one only initialises.
        if trained or job.name not in jobs:
            jobs[job.name] = job

    adapted = [scope.adapt(experiment) for experiment in experiments]
    for seed in range(scope.seeds):
        for experiment in adapted:
            read_as_kept = (
                cell.opposite
                for cell in experiment.cells
                if has_opposite(experiment, cell)
            )
            for cell in (*experiment.cells, *read_as_kept):
                add(scope.job(cell, seed), MEASURES[cell.measure].trained)
    return tuple(jobs.values())


def shard(jobs: Sequence[PlannedRun], index: int, count: int) -> tuple[PlannedRun, ...]:
    """Returns one of `count` disjoint parts of the runs.

    Runs that depend on each other are in the same part.

    Args:
        jobs: The result of `plan`.
        index: Which part, in [0, count).
        count: Number of parts, at least 1.

    Raises:
        InputError: `index` or `count` is out of range.

    Example:
        >>> jobs = plan([find("table", "8.3")], Scope(seeds=1))
        >>> [len(shard(jobs, index, 4)) for index in range(4)]
        [3, 3, 2, 2]
    """
    check_integer("count", count, minimum=1)
    if check_integer("index", index) >= count:
        raise fail("`index` must be less than `count`.", index=index, count=count)
    groups: list[set[str]] = []
    for job in jobs:
        names = {job.name, *(other.name for _, other in job.needs)}
        joined = [group for group in groups if group & names]
        groups = [group for group in groups if not group & names]
        groups.append(names.union(*joined))
    part = set().union(*groups[index::count])
    return tuple(job for job in jobs if job.name in part)
