from .config import (
    ALL_IMAGES as ALL_IMAGES,
    DRAWN as DRAWN,
    GIVEN as GIVEN,
    INITS as INITS,
    PATCH_INITS as PATCH_INITS,
    PATTERN_INITS as PATTERN_INITS,
    RANDOM_INITS as RANDOM_INITS,
    TRAINING_IMAGES as TRAINING_IMAGES,
    Config as Config,
)
from .folder import RunFolder as RunFolder
from .recipes import described_default as described_default, resolve as resolve
