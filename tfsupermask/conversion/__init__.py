"""Any Keras model in, with masks; a plain one out, with the masks baked in."""

from tfsupermask.conversion.converting import SCORES, convert
from tfsupermask.conversion.folding import fold
from tfsupermask.conversion.summary_table import summary

__all__ = ["SCORES", "convert", "fold", "summary"]
