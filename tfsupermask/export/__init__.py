"""From a trained supermask to something that runs without this package."""

from tfsupermask.export.folding import fold
from tfsupermask.export.saved_model import (
    Classifier,
    export_saved_model,
    is_saved_model,
)

__all__ = ["Classifier", "export_saved_model", "fold", "is_saved_model"]
