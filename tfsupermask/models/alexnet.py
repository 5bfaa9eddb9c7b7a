"""AlexNet for small images.

The five convolutions, three max poolings and three fully connected layers of Krizhevsky
et al. (2012), as usual on CIFAR: all filters are 3×3, the first stride is 2 instead of
4, there is one tower with 64, 192, 384, 256 and 256 filters, pooling is 2×2, and hidden
layers have 1024 neurons instead of 4096. There is no local response normalisation and
no dropout.
"""

from __future__ import annotations

from tfsupermask._on_use import OnUse
from tfsupermask.models.registry import check_side, register
from tfsupermask.models.seeded import SeededLayers, scaled

keras = OnUse("keras")
_FILTERS = (64, 192, 384, 256, 256)
_POOLED = (1, 2, 5)
_DENSE_UNITS = (1024, 1024)


@register("alexnet")
def _build(*, input_shape, num_classes, sparsity, method, seed, width=1.0):
    check_side("alexnet", input_shape, 1 + len(_POOLED))
    layers = SeededLayers(sparsity, method, seed)
    inputs = x = keras.Input(input_shape, name="image")
    for index, filters in enumerate(scaled(_FILTERS, width), start=1):
        strides = 2 if index == 1 else 1
        name = f"conv{index}"
        x = layers.conv(filters, 3, name, strides=strides, activation="relu")(x)
        if index in _POOLED:
            x = keras.layers.MaxPooling2D(name=f"pool{index}")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    logits = layers.classify(x, scaled(_DENSE_UNITS, width), num_classes)
    return keras.Model(inputs, logits, name="alexnet")
