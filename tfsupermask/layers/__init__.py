"""Keras layers with frozen weights and learned masks."""

from tfsupermask.layers.conv import SupermaskConv1D, SupermaskConv2D, SupermaskConv3D
from tfsupermask.layers.dense import SupermaskDense
from tfsupermask.layers.depthwise import (
    SupermaskDepthwiseConv2D,
    SupermaskSeparableConv2D,
)
from tfsupermask.layers.draws import MaskDraws, drawn, stochastic_weights
from tfsupermask.layers.initializers import (
    SignedConstant,
    default_score_initializer,
)
from tfsupermask.layers.kernels import (
    Kernel,
    kernel_fans,
    kernels_of,
    plain_class,
)
from tfsupermask.layers.masked_weight import MaskedWeight, masks_found_once
from tfsupermask.layers.supermask import SupermaskMixin
from tfsupermask.layers.transpose import SupermaskConv2DTranspose
from tfsupermask.layers.walking import (
    dense_forward,
    masked_weights,
    supermask_layers,
)

__all__ = [
    "Kernel",
    "MaskDraws",
    "MaskedWeight",
    "SignedConstant",
    "SupermaskConv1D",
    "SupermaskConv2D",
    "SupermaskConv2DTranspose",
    "SupermaskConv3D",
    "SupermaskDense",
    "SupermaskDepthwiseConv2D",
    "SupermaskMixin",
    "SupermaskSeparableConv2D",
    "default_score_initializer",
    "dense_forward",
    "drawn",
    "kernel_fans",
    "kernels_of",
    "masked_weights",
    "masks_found_once",
    "plain_class",
    "stochastic_weights",
    "supermask_layers",
]
