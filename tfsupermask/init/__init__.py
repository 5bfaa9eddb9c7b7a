"""Initialisations of frozen weights."""

from tfsupermask.init.baselines import (
    NAMES,
    initialize,
    kernel_initializer,
)
from tfsupermask.init.patches_init import PatchesInit, SimpleInit
from tfsupermask.init.report import LayerReport, PatchesInitReport

__all__ = [
    "NAMES",
    "LayerReport",
    "PatchesInit",
    "PatchesInitReport",
    "SimpleInit",
    "initialize",
    "kernel_initializer",
]
