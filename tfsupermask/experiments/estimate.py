"""How long runs take, before they are run."""

from __future__ import annotations

from collections.abc import Iterable

from tfsupermask.experiments.plan import NUM_IMAGES, Job
from tfsupermask.runs import Config

# Measured there, see docs/performance.md.
MACHINE = "four cores of an AMD EPYC with AVX-512, no GPU"
SECONDS_PER_IMAGE = {
    "conv2": 0.9e-3,
    "conv4": 1.8e-3,
    "conv6": 2.6e-3,
    "resnet18": 20e-3,
}
SECONDS_PER_PATCH = 1.4e-4
START_SECONDS = 15  # a process, its data, its SavedModel and pictures


def train_seconds(config: Config, epochs: int) -> float:
    """Returns the seconds that epochs of a resolved configuration take.

    Example:
        >>> from tfsupermask.runs import Config
        >>> train_seconds(Config(model="conv2", dataset="cifar10"), epochs=2)
        90.0
    """
    images = config.limit_images or NUM_IMAGES[config.dataset]
    return epochs * images * SECONDS_PER_IMAGE[config.model]


def seconds(job: Job) -> float:
    """Returns the seconds that a run takes, from its start to its pictures.

    Example:
        >>> job = plan([find("table", "8.1")], Study(epochs=2))[0]
        >>> seconds(job)
        105.0
    """
    init = SECONDS_PER_PATCH * (job.config.num_patches or 0)
    return START_SECONDS + init + train_seconds(job.config, job.epochs)


def total_seconds(jobs: Iterable[Job]) -> float:
    """Returns the seconds that runs take one after another."""
    return sum(map(seconds, jobs))
