"""Exports trained supermasks to formats that run without this package."""

from tfsupermask._on_use import names_on_use

__all__, __getattr__, __dir__ = names_on_use(
    __name__,
    {
        "inference": "fold",
        "classifier": "Classifier",
        "formats": "export_model",
        "names": "check_format is_export",
        "saved_model": "export_saved_model",
        "sizes": "size_table",
    },
)
