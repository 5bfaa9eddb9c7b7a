from .baselines import initialize as initialize
from .diagnostics import (
    Diagnosis as Diagnosis,
    LayerDiagnosis as LayerDiagnosis,
    diagnose as diagnose,
)
from .names import NAMES as NAMES, RESCALINGS as RESCALINGS
from .patches_init import PatchesInit as PatchesInit, SimpleInit as SimpleInit
from .report import LayerReport as LayerReport, PatchesInitReport as PatchesInitReport
from .rescaling import unit_power as unit_power
from .settings import Variant as Variant
