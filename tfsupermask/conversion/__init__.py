"""Any Keras model in, with masks; a plain one out, with the masks baked in."""

from tfsupermask.conversion.convert import SCORES, convert
from tfsupermask.conversion.folding import fold
from tfsupermask.conversion.summary import summary

__all__ = ["SCORES", "convert", "fold", "summary"]
