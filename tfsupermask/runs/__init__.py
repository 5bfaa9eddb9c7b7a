"""What a run is: its configuration, folder, checkpoints and metrics."""

from tfsupermask.runs.config import (
    ALL_IMAGES,
    DRAWN,
    GIVEN,
    INITS,
    PATCH_INITS,
    PATTERN_INITS,
    RANDOM_INITS,
    TRAINING_IMAGES,
    Config,
)
from tfsupermask.runs.folder import RunFolder
from tfsupermask.runs.recipes import described_default, resolve

__all__ = [
    "ALL_IMAGES",
    "DRAWN",
    "GIVEN",
    "INITS",
    "PATCH_INITS",
    "PATTERN_INITS",
    "RANDOM_INITS",
    "TRAINING_IMAGES",
    "Config",
    "RunFolder",
    "described_default",
    "resolve",
]
