"""Functions on tensors and shapes, without state."""

from tfsupermask._on_use import names_on_use

__all__, __getattr__, __dir__ = names_on_use(
    __name__,
    {
        "accuracy": "in_top_k",
        "fans": "compute_fans",
        "masking": (
            "RANKINGS binarised binary_kernel masked_kernel num_kept signed_mask "
            "straight_through_kernel top_k_mask"
        ),
        "seeds": "derive_seed",
        "stochastic": "THRESHOLDED stochastic_factors stochastic_kernel",
    },
)
