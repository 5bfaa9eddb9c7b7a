"""VGG-16 for small images.

The 13 convolutions of configuration D (Simonyan & Zisserman, 2014), each followed by
batch normalisation and ReLU, with 2×2 max pooling after each of the five blocks. As is
usual on CIFAR, the two hidden layers have 512 neurons instead of 4096 and there is no
dropout. Their input is the average over the last map, one position for an image of 32
pixels and four for one of 64, so that their size is the same for all images.
"""

from __future__ import annotations

from tfsupermask._on_use import OnUse
from tfsupermask.models.registry import check_side, register
from tfsupermask.models.seeded import SeededLayers, scaled

keras = OnUse("keras")
_BLOCKS = ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3)
_DENSE_UNITS = (512, 512)


@register("vgg16")
def _build(*, input_shape, num_classes, width=1.0, **seeded):
    check_side("vgg16", input_shape, len(_BLOCKS))
    layers = SeededLayers(**seeded)
    inputs = x = keras.Input(input_shape, name="image")
    for block, sizes in enumerate(_BLOCKS, start=1):
        for index, filters in enumerate(scaled(sizes, width), start=1):
            x = layers.conv_bn(x, filters, 3, f"block{block}_conv{index}")
        x = keras.layers.MaxPooling2D(name=f"block{block}_pool")(x)
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    logits = layers.classify(x, scaled(_DENSE_UNITS, width), num_classes)
    return keras.Model(inputs, logits, name="vgg16")
