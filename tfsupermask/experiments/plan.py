"""From experiments to runs, each of them once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from tfsupermask._validation import check_choice, check_integer, fail
from tfsupermask.experiments.experiment import THESIS_EPOCHS, Cell, Experiment
from tfsupermask.experiments.measures import MEASURES
from tfsupermask.runs import Config, resolve

NUM_IMAGES = {
    "digits": 1433,
    "cifar10": 50_000,
    "cifar100": 50_000,
    "tiny_imagenet": 100_000,
}
DEFAULT_SEEDS = 3


@dataclasses.dataclass(frozen=True)
class Study:
    """How far to go, and with which images.

    Args:
        seeds: Number of seeds, 0, 1, ..., at least 1. Defaults to 3.
        epochs: Length of every schedule. Defaults to the dataset's recipe, 100 for the
            thesis's datasets.
        limit_images: Number of training images. Defaults to all.
        datasets: Experiments of other datasets run on the first of these instead.
            Defaults to the thesis's.
        data_dir: Folder of all datasets. Defaults to that of TensorFlow Datasets.

    Raises:
        InputError: A value is out of range or unknown.

    Example:
        >>> Study(seeds=1, epochs=2).restrictions
        ('2 epochs instead of 100', '1 seed')
    """

    seeds: int = DEFAULT_SEEDS
    epochs: int | None = None
    limit_images: int | None = None
    datasets: tuple[str, ...] = ()
    data_dir: str | None = None

    def __post_init__(self):
        check_integer("seeds", self.seeds, minimum=1)
        for name in ("epochs", "limit_images"):
            if getattr(self, name) is not None:
                check_integer(name, getattr(self, name), minimum=1)
        for dataset in self.datasets:
            check_choice("datasets", dataset, tuple(NUM_IMAGES))

    @property
    def restrictions(self) -> tuple[str, ...]:
        """What makes this study smaller than the thesis's, in words."""
        told = []
        if self.epochs not in (None, THESIS_EPOCHS):
            told.append(f"{_count(self.epochs, 'epoch')} instead of {THESIS_EPOCHS}")
        if self.limit_images is not None:
            told.append(f"{self.limit_images:,} training images only")
        if self.datasets:
            told.append(f"on {', '.join(self.datasets)} only")
        if self.seeds != DEFAULT_SEEDS:
            told.append(_count(self.seeds, "seed"))
        return tuple(told)

    def dataset_of(self, experiment: Experiment) -> str:
        """Returns the dataset that an experiment runs on."""
        if not self.datasets or experiment.dataset in self.datasets:
            return experiment.dataset
        return self.datasets[0]

    def adapt(self, experiment: Experiment) -> Experiment:
        """Returns the experiment as it is run here.

        On another dataset than the thesis's its values do not apply, and are left out.
        """
        dataset = self.dataset_of(experiment)
        changes = {
            "dataset": dataset,
            "epochs": self.epochs,
            "limit_images": self.limit_images,
            "data_dir": self.data_dir,
        }
        own = dataset == experiment.dataset
        cells = tuple(
            dataclasses.replace(
                cell,
                config=dataclasses.replace(cell.config, **changes),
                published=cell.published if own else None,
            )
            for cell in experiment.cells
        )
        return dataclasses.replace(experiment, cells=cells, dataset=dataset)

    def run_of(self, cell: Cell, seed: int) -> Config:
        """Returns the resolved configuration of an adapted cell's run."""
        config = dataclasses.replace(cell.config, seed=seed)
        num_images = NUM_IMAGES[config.dataset]
        if config.limit_images is not None:
            num_images = min(num_images, config.limit_images)
        return resolve(config, num_images)


@dataclasses.dataclass(frozen=True)
class Job:
    """A run that is asked for.

    Attributes:
        name: Of its folder: readable, and a stable hash of its configuration.
        config: Resolved. It ends before the first epoch where no table needs more.

    Example:
        >>> job = plan([find("table", "5.4")], Study())[0]
        >>> job.name, job.epochs
        ('conv6-cifar100-prune0.5-simple_patches-seed0-...', 0)
    """

    name: str
    config: Config

    @property
    def epochs(self) -> int:
        """The number of epochs to train, 0 if it is only to be initialised."""
        stop = self.config.stop_after_epoch
        return self.config.epochs if stop is None else stop


def run_name(config: Config) -> str:
    """Returns the name of a resolved configuration's run, whatever images there are.

    Example:
        >>> run_name(resolve(Config(dataset="cifar10"), 50_000))
        'conv2-cifar10-prune0.5-patches-seed0-...'
    """
    return config.run_name("")


def cells_of(experiment: Experiment) -> Iterable[Cell]:
    """Yields an experiment's cells, and those with the rate read the other way."""
    yield from experiment.cells
    for cell in experiment.cells:
        if has_opposite(experiment, cell):
            yield cell.opposite


def has_opposite(experiment: Experiment, cell: Cell) -> bool:
    """Whether a cell's pruning rate is read as the fraction kept, too, to effect."""
    return (
        experiment.both_readings
        and MEASURES[cell.measure].trained
        and cell.opposite.config.prune not in (cell.config.prune, 1.0)
    )


def plan(experiments: Sequence[Experiment], study: Study) -> tuple[Job, ...]:
    """Returns all distinct runs that experiments need, in the order to run them.

    All of the first seed come before any of the second, so that a study that ends
    early has whole tables of fewer seeds.

    Args:
        experiments: As in the catalogue.
        study: How far to go.

    Example:
        >>> both = [find("table", "8.3"), find("figure", "5.2")]
        >>> len(plan(both[:1], Study())), len(plan(both, Study()))
        (30, 90)
    """
    jobs: dict[str, Job] = {}
    adapted = [study.adapt(experiment) for experiment in experiments]
    for seed in range(study.seeds):
        for experiment in adapted:
            for cell in cells_of(experiment):
                config = study.run_of(cell, seed)
                trained = MEASURES[cell.measure].trained
                if not trained:
                    config = dataclasses.replace(config, stop_after_epoch=0)
                name = run_name(config)
                if trained or name not in jobs:
                    jobs[name] = Job(name, config)
    return tuple(jobs.values())


def shard(jobs: Sequence[Job], index: int, count: int) -> tuple[Job, ...]:
    """Returns one of `count` disjoint parts of the runs.

    Args:
        jobs: As `plan` returns them.
        index: Which part, in [0, count).
        count: Number of parts, at least 1.

    Raises:
        InputError: `index` or `count` is out of range.

    Example:
        >>> jobs = plan([find("table", "8.3")], Study(seeds=1))
        >>> [len(shard(jobs, index, 4)) for index in range(4)]
        [3, 3, 2, 2]
    """
    check_integer("count", count, minimum=1)
    if check_integer("index", index) >= count:
        raise fail("`index` must be less than `count`.", index=index, count=count)
    return tuple(jobs[index::count])


def _count(number, word):
    return f"{number:,} {word}{'s' if number != 1 else ''}"
