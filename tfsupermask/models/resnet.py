"""ResNet-18 of Table 5.1, and ResNet-34, -50 and -101 built in the same way.

Four blocks of residual units (He et al., 2015) with 64, 128, 256 and 512 filters. The
first unit of blocks 2 to 4 halves the map; in bottlenecks the 3×3 convolution does so.
Shortcuts are 1×1 convolutions where the shape changes, and the identity elsewhere. The
stem depends on the smaller side of the images:

- up to 48 pixels: 3×3 convolution;
- up to 128 pixels: 3×3 convolution and 2×2 max pooling ("64, pool" of Table 5.1);
- above: 7×7 convolution of stride 2 and 3×3 max pooling of stride 2.

Every convolution is followed by batch normalisation and, before the pooling and
everywhere but at the end of a branch, ReLU. All padding is Keras' "same": with stride 2
on an even side it pads the end only, where PyTorch's reference pads both.
"""

from __future__ import annotations

import functools

from tfsupermask._on_use import OnUse
from tfsupermask.models.registry import check_side, register
from tfsupermask.models.seeded import SeededLayers, scaled

keras = OnUse("keras")
_FILTERS = (64, 128, 256, 512)


def _stem(layers, x, filters):
    side = min(x.shape[1:3])
    if side <= 128:
        x = layers.conv_bn(x, filters, 3, "stem_conv")
        return x if side <= 48 else keras.layers.MaxPooling2D(name="stem_pool")(x)
    x = layers.conv_bn(x, filters, 7, "stem_conv", strides=2)
    return keras.layers.MaxPooling2D(3, strides=2, padding="same", name="stem_pool")(x)


def _basic(layers, x, filters, strides, name):
    x = layers.conv_bn(x, filters, 3, f"{name}_conv1", strides)
    return layers.conv_bn(x, filters, 3, f"{name}_conv2", relu=False)


def _bottleneck(layers, x, filters, strides, name):
    x = layers.conv_bn(x, filters, 1, f"{name}_conv1")
    x = layers.conv_bn(x, filters, 3, f"{name}_conv2", strides)
    return layers.conv_bn(x, 4 * filters, 1, f"{name}_conv3", relu=False)


def _unit(branch, layers, x, filters, strides, name):
    # The shortcut comes second here and in the sum, and so in `model.layers`.
    y = branch(layers, x, filters, strides, name)
    if x.shape != y.shape:
        shortcut = f"{name}_shortcut"
        x = layers.conv_bn(x, y.shape[-1], 1, shortcut, strides, relu=False)
    y = keras.layers.Add(name=f"{name}_add")([y, x])
    return keras.layers.ReLU(name=f"{name}_relu")(y)


def _build(name, branch, num_units, *, input_shape, num_classes, width=1.0, **seeded):
    check_side(name, input_shape, len(_FILTERS) - 1)
    layers = SeededLayers(**seeded)
    sizes = scaled(_FILTERS, width)
    inputs = keras.Input(input_shape, name="image")
    x = _stem(layers, inputs, sizes[0])
    for block, (filters, units) in enumerate(
        zip(sizes, num_units, strict=True), start=1
    ):
        for unit in range(1, units + 1):
            strides = 2 if block > 1 and unit == 1 else 1
            x = _unit(branch, layers, x, filters, strides, f"block{block}_unit{unit}")
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    return keras.Model(inputs, layers.logits(num_classes, "dense")(x), name=name)


for _name, _branch, _num_units in (
    ("resnet18", _basic, (2, 2, 2, 2)),
    ("resnet34", _basic, (3, 4, 6, 3)),
    ("resnet50", _bottleneck, (3, 4, 6, 3)),
    ("resnet101", _bottleneck, (3, 4, 23, 3)),
):
    register(_name)(functools.partial(_build, _name, _branch, _num_units))
