"""How many weights each mask keeps, when that changes, and what the masks look like."""

from tfsupermask.sparsity.allocation import (
    ALLOCATIONS,
    allocate,
    erdos_renyi_counts,
    global_counts,
)
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
    "erdos_renyi_counts",
    "global_counts",
    "realised_sparsity",
]
