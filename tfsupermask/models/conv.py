"""Conv2, Conv4 and Conv6 of Table 5.1."""

from __future__ import annotations

import functools

import keras

from tfsupermask.models.registry import check_side, register
from tfsupermask.models.seeded import SeededLayers

_WIDTHS = (64, 128, 256)
_DENSE_UNITS = (256, 256)


def _build(num_blocks, *, input_shape, num_classes, sparsity, method, seed):
    model_name = f"conv{2 * num_blocks}"
    check_side(model_name, input_shape, num_blocks)
    layers = SeededLayers(sparsity, method, seed)
    inputs = x = keras.Input(input_shape, name="image")
    for block, width in enumerate(_WIDTHS[:num_blocks]):
        for index in (2 * block + 1, 2 * block + 2):
            x = layers.conv(width, 3, f"conv{index}", activation="relu")(x)
        x = keras.layers.MaxPooling2D(name=f"pool{block + 1}")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    logits = layers.classify(x, _DENSE_UNITS, num_classes)
    return keras.Model(inputs, logits, name=model_name)


for _num_blocks in (1, 2, 3):
    register(f"conv{2 * _num_blocks}")(functools.partial(_build, _num_blocks))
