"""What a run is: its configuration, folder, checkpoints and metrics."""

from tfsupermask.runs.config import (
    DRAWN,
    GIVEN,
    INITS,
    PATCH_INITS,
    PATTERN_INITS,
    RANDOM_INITS,
    Config,
)
from tfsupermask.runs.folder import RunFolder
from tfsupermask.runs.recipes import described_default, resolve

__all__ = [
    "DRAWN",
    "GIVEN",
    "INITS",
    "PATCH_INITS",
    "PATTERN_INITS",
    "RANDOM_INITS",
    "Config",
    "RunFolder",
    "described_default",
    "resolve",
]
