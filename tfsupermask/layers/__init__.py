"""Keras layers with frozen weights and learned masks."""

from tfsupermask.layers.applying import masks_applied
from tfsupermask.layers.classes import (
    Supermask,
    SupermaskConv1D,
    SupermaskConv2D,
    SupermaskConv2DTranspose,
    SupermaskConv3D,
    SupermaskDense,
    SupermaskDepthwiseConv2D,
    SupermaskSeparableConv2D,
    SupermaskSpectralNormalization,
    supermask,
    supermask_class,
)
from tfsupermask.layers.draws import (
    KernelRedraws,
    MaskDraws,
    drawn,
    redraw_removed,
    stochastic_weights,
)
from tfsupermask.layers.initializers import (
    SignedConstant,
    default_score_initializer,
)
from tfsupermask.layers.kernels import Kernel, is_kernel, kernels_of
from tfsupermask.layers.masked_weight import MaskedWeight
from tfsupermask.layers.methods import (
    Biprop,
    Dense,
    EdgePopup,
    Fixed,
    IteRand,
    Magnitude,
    Method,
    Signed,
    Stochastic,
    get_method,
    method_names,
    register,
)
from tfsupermask.layers.mixin import SupermaskMixin, plain_class
from tfsupermask.layers.walking import (
    dense_forward,
    masked_weights,
    masks_found_once,
    supermask_layers,
)

__all__ = [
    "Biprop",
    "Dense",
    "EdgePopup",
    "Fixed",
    "IteRand",
    "Kernel",
    "KernelRedraws",
    "Magnitude",
    "MaskDraws",
    "MaskedWeight",
    "Method",
    "Signed",
    "SignedConstant",
    "Stochastic",
    "Supermask",
    "SupermaskConv1D",
    "SupermaskConv2D",
    "SupermaskConv2DTranspose",
    "SupermaskConv3D",
    "SupermaskDense",
    "SupermaskDepthwiseConv2D",
    "SupermaskMixin",
    "SupermaskSeparableConv2D",
    "SupermaskSpectralNormalization",
    "default_score_initializer",
    "dense_forward",
    "drawn",
    "get_method",
    "is_kernel",
    "kernels_of",
    "masked_weights",
    "masks_applied",
    "masks_found_once",
    "method_names",
    "plain_class",
    "redraw_removed",
    "register",
    "stochastic_weights",
    "supermask",
    "supermask_class",
    "supermask_layers",
]
