"""What each layer of a network receives while PatchesInit works through it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf

from tfsupermask.layers import dense_forward


def forward_mode(model: keras.Model, forward: str) -> contextlib.AbstractContextManager:
    """Returns the context of a `"dense"` or a `"masked"` forward pass."""
    return dense_forward(model) if forward == "dense" else contextlib.nullcontext()


def layer_input(
    model: keras.Model, layer: keras.Layer, preprocess: Callable
) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function from a batch of images to the maps that `layer` receives."""
    until_layer = keras.Model(model.inputs, layer.input)

    def activations(images):
        maps = until_layer(tf.convert_to_tensor(preprocess(images)), training=False)
        return tf.cast(maps, tf.float32).numpy()

    return activations


@contextlib.contextmanager
def batch_statistics(
    model: keras.Model, images: np.ndarray, preprocess: Callable
) -> Iterator[Callable[[keras.Layer], None]]:
    """Lends batch normalisations the statistics of one batch; takes them back after.

    Yields a function that brings those up to date that come before a given layer, whose
    own inputs have just got their kernels.
    """
    normalisations = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    weights = [layer.get_weights() for layer in normalisations]
    waiting = list(model.layers)

    def update_before(layer):
        while (earlier := waiting.pop(0)) is not layer:
            if earlier in normalisations:
                maps = layer_input(model, earlier, preprocess)(images)
                others = tuple(range(maps.ndim - 1))
                earlier.moving_mean.assign(maps.mean(others, np.float64))
                earlier.moving_variance.assign(maps.var(others, np.float64))

    try:
        yield update_before
    finally:
        for layer, values in zip(normalisations, weights, strict=True):
            layer.set_weights(values)
