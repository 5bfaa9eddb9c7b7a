"""Initialisations of frozen weights."""

from tfsupermask.init.baselines import NAMES, initialize
from tfsupermask.init.diagnostics import Diagnosis, LayerDiagnosis, diagnose
from tfsupermask.init.patches_init import PatchesInit, SimpleInit
from tfsupermask.init.report import LayerReport, PatchesInitReport
from tfsupermask.init.rescaling import RESCALINGS, unit_power
from tfsupermask.init.settings import Variant

__all__ = [
    "NAMES",
    "RESCALINGS",
    "Diagnosis",
    "LayerDiagnosis",
    "LayerReport",
    "PatchesInit",
    "PatchesInitReport",
    "SimpleInit",
    "Variant",
    "diagnose",
    "initialize",
    "unit_power",
]
