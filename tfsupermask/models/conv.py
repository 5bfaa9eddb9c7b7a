"""Conv2, Conv4 and Conv6 of Table 5.1, and Conv8 of Ramanujan et al. (2020).

Blocks of two 3×3 convolutions and a 2×2 max pooling, with 64, 128, 256 and 512 filters,
then two hidden layers of 256 neurons.
"""

from __future__ import annotations

import functools

from tfsupermask._on_use import OnUse
from tfsupermask.models.registry import check_side, register
from tfsupermask.models.seeded import SeededLayers, scaled

keras = OnUse("keras")
_FILTERS = (64, 128, 256, 512)
_DENSE_UNITS = (256, 256)


def _build(num_blocks, *, input_shape, num_classes, sparsity, method, seed, width=1.0):
    model_name = f"conv{2 * num_blocks}"
    check_side(model_name, input_shape, num_blocks)
    layers = SeededLayers(sparsity, method, seed)
    inputs = x = keras.Input(input_shape, name="image")
    for block, filters in enumerate(scaled(_FILTERS[:num_blocks], width)):
        for index in (2 * block + 1, 2 * block + 2):
            x = layers.conv(filters, 3, f"conv{index}", activation="relu")(x)
        x = keras.layers.MaxPooling2D(name=f"pool{block + 1}")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    logits = layers.classify(x, scaled(_DENSE_UNITS, width), num_classes)
    return keras.Model(inputs, logits, name=model_name)


for _num_blocks in (1, 2, 3, 4):
    register(f"conv{2 * _num_blocks}")(functools.partial(_build, _num_blocks))
