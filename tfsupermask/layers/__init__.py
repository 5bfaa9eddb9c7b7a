"""Keras layers with frozen weights and learned masks."""

from tfsupermask.layers.conv import SupermaskConv2D
from tfsupermask.layers.dense import SupermaskDense
from tfsupermask.layers.supermask import (
    SupermaskMixin,
    default_score_initializer,
    dense_forward,
    supermask_layers,
)

__all__ = [
    "SupermaskConv2D",
    "SupermaskDense",
    "SupermaskMixin",
    "default_score_initializer",
    "dense_forward",
    "supermask_layers",
]
