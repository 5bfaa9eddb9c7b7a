from .evaluation import evaluate as evaluate, evaluate_path as evaluate_path
from .interruption import Interrupted as Interrupted
from .job import Job as Job, run as run
from .load import (
    LoadedRun as LoadedRun,
    load_images as load_images,
    load_run as load_run,
)
from .loop import Loop as Loop
from .optimizer import AdamWithL2 as AdamWithL2, SGDWithL2 as SGDWithL2
from .strategies import make_strategy as make_strategy
from .totals import Totals as Totals
