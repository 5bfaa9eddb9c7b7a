"""From any Keras model to one with masks, and back to a plain one."""

from tfsupermask.conversion.converting import SCORES, convert
from tfsupermask.conversion.fixing import fix_masks
from tfsupermask.conversion.folding import fold
from tfsupermask.conversion.summary_table import summary

__all__ = ["SCORES", "convert", "fix_masks", "fold", "summary"]
