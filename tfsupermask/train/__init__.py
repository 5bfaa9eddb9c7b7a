"""Training: configuration, loop, checkpoints, run folder."""

from tfsupermask.train.config import Config
from tfsupermask.train.evaluation import evaluate, evaluate_path
from tfsupermask.train.folder import RunFolder
from tfsupermask.train.images import load_images
from tfsupermask.train.interruption import Interrupted
from tfsupermask.train.load import LoadedRun, load_run
from tfsupermask.train.loop import Loop, Totals
from tfsupermask.train.optimizer import SGDWithL2
from tfsupermask.train.recipes import resolve
from tfsupermask.train.run import run
from tfsupermask.train.strategies import make_strategy

__all__ = [
    "Config",
    "Interrupted",
    "LoadedRun",
    "Loop",
    "RunFolder",
    "SGDWithL2",
    "Totals",
    "evaluate",
    "evaluate_path",
    "load_images",
    "load_run",
    "make_strategy",
    "resolve",
    "run",
]
