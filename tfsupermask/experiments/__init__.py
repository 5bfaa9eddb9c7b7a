"""Experiments: the thesis's tables and figures, and our own, planned, run and drawn."""

from tfsupermask.experiments.catalogue import EXPERIMENTS, find
from tfsupermask.experiments.catalogue.experiment import Cell, Experiment, Value
from tfsupermask.experiments.running.outcomes import MEASURES
from tfsupermask.experiments.running.output import OutputFolder
from tfsupermask.experiments.running.planning import (
    DEFAULT_SEEDS,
    NUM_IMAGES,
    PlannedRun,
    Scope,
    plan,
    shard,
)
from tfsupermask.experiments.running.runner import run_planned
from tfsupermask.experiments.telling.page import write_all

__all__ = [
    "DEFAULT_SEEDS",
    "EXPERIMENTS",
    "MEASURES",
    "NUM_IMAGES",
    "Cell",
    "Experiment",
    "OutputFolder",
    "PlannedRun",
    "Scope",
    "Value",
    "find",
    "plan",
    "run_planned",
    "shard",
    "write_all",
]
