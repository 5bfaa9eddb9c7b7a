from .classifier import Classifier as Classifier
from .formats import export_model as export_model
from .inference import fold as fold
from .names import check_format as check_format, is_export as is_export
from .saved_model import export_saved_model as export_saved_model
from .sizes import size_table as size_table
