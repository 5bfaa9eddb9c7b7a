"""What layers compute, watched in a forward pass."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import keras
import numpy as np

from tfsupermask.layers import kernels_of
from tfsupermask.layers.walking import leaves


@contextlib.contextmanager
def watched(
    model: keras.Model, see: Callable[[keras.Layer, Callable[[], np.ndarray]], None]
) -> Iterator[None]:
    """Calls `see(layer, product)` right before each layer with kernels does its work.

    Works with whatever the body runs eagerly, nested and subclassed models included.
    Batch normalisations use the statistics of what they receive, as in training, and
    get theirs back afterwards.

    Args:
        model: Any built Keras model.
        see: Takes a layer and a function that returns the float32 product of the
            layer's inputs with its kernels as they are when it is called: what comes
            before bias and activation.
    """
    layers = [layer for layer in leaves(model) if layer.built]
    kept = []
    try:
        for layer in layers:
            if kernels_of(layer):
                layer.call = _seen(layer, layer.call, see)
            elif isinstance(layer, keras.layers.BatchNormalization):
                kept.append((layer, layer.get_weights()))
                layer.call = _up_to_date(layer, layer.call)
        yield
    finally:
        for layer in layers:
            vars(layer).pop("call", None)
        for layer, weights in kept:
            layer.set_weights(weights)


def _seen(layer, call, see):
    def seen(*args, **kwargs):
        def product():
            with _kernels_alone(layer):
                return keras.ops.convert_to_numpy(
                    keras.ops.cast(call(*args, **kwargs), "float32")
                )

        see(layer, product)
        return call(*args, **kwargs)

    return seen


@contextlib.contextmanager
def _kernels_alone(layer):
    """Takes bias and activation from a layer for a while."""
    activation, bias = layer.activation, layer.bias
    values = None if bias is None else bias.numpy()
    layer.activation = None
    try:
        if bias is not None:
            bias.assign(np.zeros_like(values))
        yield
    finally:
        layer.activation = activation
        if bias is not None:
            bias.assign(values)


def _up_to_date(layer, call):
    def up_to_date(inputs, *args, **kwargs):
        maps = keras.ops.convert_to_numpy(keras.ops.cast(inputs, "float32"))
        others = tuple(np.delete(np.arange(maps.ndim), layer.axis))
        layer.moving_mean.assign(maps.mean(others, np.float64))
        layer.moving_variance.assign(maps.var(others, np.float64))
        return call(inputs, *args, **kwargs)

    return up_to_date
