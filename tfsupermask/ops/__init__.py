"""Functions on tensors and shapes, without state."""

from tfsupermask.ops.accuracy import in_top_k
from tfsupermask.ops.fans import compute_fans
from tfsupermask.ops.masking import (
    RANKINGS,
    SELECTIONS,
    masked_kernel,
    num_kept,
    top_k_mask,
)
from tfsupermask.ops.seeds import derive_seed
from tfsupermask.ops.signed import signed_kernel, signed_mask
from tfsupermask.ops.stochastic import (
    THRESHOLDED,
    stochastic_factors,
    stochastic_kernel,
)

__all__ = [
    "RANKINGS",
    "SELECTIONS",
    "THRESHOLDED",
    "compute_fans",
    "derive_seed",
    "in_top_k",
    "masked_kernel",
    "num_kept",
    "signed_kernel",
    "signed_mask",
    "stochastic_factors",
    "stochastic_kernel",
    "top_k_mask",
]
