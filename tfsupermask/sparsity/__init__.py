"""The number of weights that each mask keeps, its changes, and measures of masks."""

from tfsupermask.sparsity.allocation import ALLOCATIONS, allocate
from tfsupermask.sparsity.callbacks import SparsitySchedule, SupermaskMetrics
from tfsupermask.sparsity.measures import MaskWatch, realised_sparsity
from tfsupermask.sparsity.schedule import SparsityRamp

__all__ = [
    "ALLOCATIONS",
    "MaskWatch",
    "SparsityRamp",
    "SparsitySchedule",
    "SupermaskMetrics",
    "allocate",
    "realised_sparsity",
]
