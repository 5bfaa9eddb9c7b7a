"""The number of weights that each mask keeps, its changes, and measures of masks."""

from tfsupermask._on_use import names_on_use

__all__, __getattr__, __dir__ = names_on_use(
    __name__,
    {
        "allocation": "allocate",
        "callbacks": "SparsitySchedule SupermaskMetrics",
        "measures": "MaskWatch realised_sparsity",
        "names": "ALLOCATIONS",
        "schedule": "SparsityRamp",
    },
)
