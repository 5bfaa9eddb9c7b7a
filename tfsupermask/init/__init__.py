"""Initialisations of frozen weights."""

from tfsupermask._on_use import names_on_use

__all__, __getattr__, __dir__ = names_on_use(
    __name__,
    {
        "baselines": "initialize",
        "diagnostics": "Diagnosis LayerDiagnosis diagnose",
        "names": "NAMES RESCALINGS",
        "patches_init": "PatchesInit SimpleInit",
        "report": "LayerReport PatchesInitReport",
        "rescaling": "unit_power",
        "settings": "Variant",
    },
)
