"""Which supermask layer stands for which layer of Keras."""

from __future__ import annotations

import keras

from tfsupermask import layers

MASKED_CLASSES = {
    keras.layers.Conv1D: layers.SupermaskConv1D,
    keras.layers.Conv2D: layers.SupermaskConv2D,
    keras.layers.Conv3D: layers.SupermaskConv3D,
    keras.layers.DepthwiseConv2D: layers.SupermaskDepthwiseConv2D,
    keras.layers.SeparableConv2D: layers.SupermaskSeparableConv2D,
    keras.layers.Conv2DTranspose: layers.SupermaskConv2DTranspose,
    keras.layers.Dense: layers.SupermaskDense,
}
