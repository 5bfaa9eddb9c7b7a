"""The thesis's tables and figures, each from its data: planned, run, drawn."""

from tfsupermask.experiments.catalogue import EXPERIMENTS, find
from tfsupermask.experiments.experiment import Cell, Experiment, Value
from tfsupermask.experiments.folder import StudyFolder
from tfsupermask.experiments.measures import MEASURES, Outcome, read_outcome
from tfsupermask.experiments.page import write_all
from tfsupermask.experiments.plan import (
    DEFAULT_SEEDS,
    NUM_IMAGES,
    Job,
    Study,
    plan,
    shard,
)
from tfsupermask.experiments.runner import run_jobs

__all__ = [
    "DEFAULT_SEEDS",
    "EXPERIMENTS",
    "MEASURES",
    "NUM_IMAGES",
    "Cell",
    "Experiment",
    "Job",
    "Outcome",
    "Study",
    "StudyFolder",
    "Value",
    "find",
    "plan",
    "read_outcome",
    "run_jobs",
    "shard",
    "write_all",
]
