from .allocation import allocate as allocate
from .callbacks import (
    SparsitySchedule as SparsitySchedule,
    SupermaskMetrics as SupermaskMetrics,
)
from .measures import MaskWatch as MaskWatch, realised_sparsity as realised_sparsity
from .names import ALLOCATIONS as ALLOCATIONS
from .schedule import SparsityRamp as SparsityRamp
