"""Exports trained supermasks to formats that run without this package."""

from tfsupermask.conversion import fold
from tfsupermask.export.classifier import Classifier, is_export
from tfsupermask.export.formats import check_format, export_model
from tfsupermask.export.saved_model import export_saved_model
from tfsupermask.export.sizes import size_table

__all__ = [
    "Classifier",
    "check_format",
    "export_model",
    "export_saved_model",
    "fold",
    "is_export",
    "size_table",
]
