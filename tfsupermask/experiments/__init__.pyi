from .catalogue import EXPERIMENTS as EXPERIMENTS, find as find
from .catalogue.experiment import Cell as Cell, Experiment as Experiment, Value as Value
from .running.outcomes import MEASURES as MEASURES
from .running.output import OutputFolder as OutputFolder
from .running.planning import (
    DEFAULT_SEEDS as DEFAULT_SEEDS,
    NUM_IMAGES as NUM_IMAGES,
    PlannedRun as PlannedRun,
    Scope as Scope,
    plan as plan,
    shard as shard,
)
from .running.runner import run_planned as run_planned
from .telling.page import write_all as write_all
