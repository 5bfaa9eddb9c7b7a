"""Functions on tensors and shapes, without state."""

from tfsupermask.ops.accuracy import in_top_k
from tfsupermask.ops.fans import compute_fans
from tfsupermask.ops.masking import (
    RANKINGS,
    binarised,
    binary_kernel,
    masked_kernel,
    num_kept,
    signed_mask,
    straight_through_kernel,
    top_k_mask,
)
from tfsupermask.ops.seeds import derive_seed
from tfsupermask.ops.stochastic import (
    THRESHOLDED,
    stochastic_factors,
    stochastic_kernel,
)

__all__ = [
    "RANKINGS",
    "THRESHOLDED",
    "binarised",
    "binary_kernel",
    "compute_fans",
    "derive_seed",
    "in_top_k",
    "masked_kernel",
    "num_kept",
    "signed_mask",
    "stochastic_factors",
    "stochastic_kernel",
    "straight_through_kernel",
    "top_k_mask",
]
