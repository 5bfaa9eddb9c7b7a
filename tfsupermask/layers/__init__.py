"""Keras layers with frozen weights and learned masks."""

from tfsupermask.layers.conv import SupermaskConv1D, SupermaskConv2D, SupermaskConv3D
from tfsupermask.layers.dense import SupermaskDense
from tfsupermask.layers.depthwise import (
    SupermaskDepthwiseConv2D,
    SupermaskSeparableConv2D,
)
from tfsupermask.layers.kernels import (
    Kernel,
    default_score_initializer,
    kernel_fans,
    kernels_of,
    plain_class,
)
from tfsupermask.layers.masked_weight import MaskedWeight
from tfsupermask.layers.supermask import (
    SupermaskMixin,
    dense_forward,
    masked_weights,
    supermask_layers,
)
from tfsupermask.layers.transpose import SupermaskConv2DTranspose

__all__ = [
    "Kernel",
    "MaskedWeight",
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
    "kernel_fans",
    "kernels_of",
    "masked_weights",
    "plain_class",
    "supermask_layers",
]
