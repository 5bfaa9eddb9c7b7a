"""From a trained supermask to something that runs without this package."""

from tfsupermask.conversion import fold
from tfsupermask.export.classifier import Classifier, is_export
from tfsupermask.export.formats import check_format, export_model
from tfsupermask.export.keras_file import export_keras
from tfsupermask.export.litert import export_litert
from tfsupermask.export.onnx import export_onnx
from tfsupermask.export.saved_model import export_saved_model, is_saved_model
from tfsupermask.export.sizes import size_table

__all__ = [
    "Classifier",
    "check_format",
    "export_keras",
    "export_litert",
    "export_model",
    "export_onnx",
    "export_saved_model",
    "fold",
    "is_export",
    "is_saved_model",
    "size_table",
]
