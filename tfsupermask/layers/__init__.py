"""Keras layers with frozen weights and learned masks."""

from tfsupermask._on_use import names_on_use

__all__, __getattr__, __dir__ = names_on_use(
    __name__,
    {
        "applying": "masks_applied",
        "classes": (
            "Supermask SupermaskConv1D SupermaskConv2D SupermaskConv2DTranspose "
            "SupermaskConv3D SupermaskDense SupermaskDepthwiseConv2D "
            "SupermaskSeparableConv2D SupermaskSpectralNormalization supermask "
            "supermask_class"
        ),
        "draws": "KernelRedraws MaskDraws drawn redraw_removed stochastic_weights",
        "initializers": "SignedConstant default_score_initializer",
        "kernels": "Kernel is_kernel kernels_of",
        "masked_weight": "MaskedWeight",
        "methods": (
            "Biprop Dense EdgePopup Fixed IteRand Magnitude Method Signed Stochastic "
            "get_method method_names register"
        ),
        "mixin": "SupermaskMixin plain_class",
        "walking": "dense_forward masked_weights masks_found_once supermask_layers",
    },
)
