from .accuracy import in_top_k as in_top_k
from .fans import compute_fans as compute_fans
from .masking import (
    RANKINGS as RANKINGS,
    binarised as binarised,
    binary_kernel as binary_kernel,
    masked_kernel as masked_kernel,
    num_kept as num_kept,
    signed_mask as signed_mask,
    straight_through_kernel as straight_through_kernel,
    top_k_mask as top_k_mask,
)
from .seeds import derive_seed as derive_seed
from .stochastic import (
    THRESHOLDED as THRESHOLDED,
    stochastic_factors as stochastic_factors,
    stochastic_kernel as stochastic_kernel,
)
