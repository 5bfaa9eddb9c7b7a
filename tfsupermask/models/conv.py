"""Conv2, Conv4 and Conv6 of Table 5.1."""

from __future__ import annotations

import functools
import itertools

import keras

from tfsupermask._validation import fail
from tfsupermask.layers import SupermaskConv2D, SupermaskDense
from tfsupermask.models.registry import register
from tfsupermask.ops import derive_seed

_WIDTHS = (64, 128, 256)
_DENSE_UNITS = (256, 256)


def _build(num_blocks, *, input_shape, num_classes, sparsity, ranking, seed):
    if min(input_shape[:2]) < 2**num_blocks:
        raise fail(
            f"conv{2 * num_blocks} halves the image {num_blocks} times and needs at "
            f"least {2**num_blocks} pixels a side.",
            input_shape=input_shape,
        )

    places = itertools.count()

    def masked(layer_class, size, name, **kwargs):
        place = next(places)
        return layer_class(
            size,
            name=name,
            sparsity=sparsity,
            ranking=ranking,
            kernel_initializer=keras.initializers.VarianceScaling(
                1.0, "fan_avg", "untruncated_normal", derive_seed(seed, "kernel", place)
            ),
            score_initializer=keras.initializers.VarianceScaling(
                1 / 3, "fan_in", "uniform", derive_seed(seed, "score", place)
            ),
            **kwargs,
        )

    convolution = functools.partial(
        masked, SupermaskConv2D, kernel_size=3, padding="same", activation="relu"
    )
    inputs = x = keras.Input(input_shape, name="image")
    for block, width in enumerate(_WIDTHS[:num_blocks]):
        x = convolution(width, f"conv{2 * block + 1}")(x)
        x = convolution(width, f"conv{2 * block + 2}")(x)
        x = keras.layers.MaxPooling2D(name=f"pool{block + 1}")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    for index, units in enumerate(_DENSE_UNITS, start=1):
        x = masked(SupermaskDense, units, f"dense{index}", activation="relu")(x)
    last = f"dense{len(_DENSE_UNITS) + 1}"
    # Float32 logits keep the loss exact under mixed precision.
    logits = masked(SupermaskDense, num_classes, last, dtype="float32")(x)
    return keras.Model(inputs, logits, name=f"conv{2 * num_blocks}")


for _num_blocks in (1, 2, 3):
    register(f"conv{2 * _num_blocks}")(functools.partial(_build, _num_blocks))
