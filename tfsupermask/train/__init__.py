"""Training: a run from its configuration to its results."""

from tfsupermask.train.evaluation import evaluate, evaluate_path
from tfsupermask.train.interruption import Interrupted
from tfsupermask.train.job import Job, run
from tfsupermask.train.load import LoadedRun, load_images, load_run
from tfsupermask.train.loop import Loop
from tfsupermask.train.optimizer import AdamWithL2, SGDWithL2
from tfsupermask.train.strategies import make_strategy
from tfsupermask.train.totals import Totals

__all__ = [
    "AdamWithL2",
    "Interrupted",
    "Job",
    "LoadedRun",
    "Loop",
    "SGDWithL2",
    "Totals",
    "evaluate",
    "evaluate_path",
    "load_images",
    "load_run",
    "make_strategy",
    "run",
]
