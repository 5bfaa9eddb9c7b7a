"""Functions on tensors and shapes, without state."""

from tfsupermask.ops.accuracy import in_top_k
from tfsupermask.ops.fans import compute_fans
from tfsupermask.ops.masking import RANKINGS, masked_kernel, num_kept, top_k_mask
from tfsupermask.ops.seeds import derive_seed

__all__ = [
    "RANKINGS",
    "compute_fans",
    "derive_seed",
    "in_top_k",
    "masked_kernel",
    "num_kept",
    "top_k_mask",
]
