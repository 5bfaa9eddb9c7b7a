"""Layers' calls borrowed for a while: what they receive and compute, watched."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator

import keras
import numpy as np
import tensorflow as tf

from tfsupermask.init.finding import normalisations_in
from tfsupermask.init.undoing import restored
from tfsupermask.layers import kernels_of


@contextlib.contextmanager
def borrowed_calls(
    layers: Iterable[keras.Layer], around: Callable[[keras.Layer, Callable], Callable]
) -> Iterator[None]:
    """Puts `around(layer, call)` in place of every layer's `call` in the body."""
    borrowed = []
    try:
        for layer in layers:
            borrowed.append((layer, vars(layer).get("call")))
            layer.call = around(layer, layer.call)
        yield
    finally:
        for layer, own in borrowed:
            vars(layer).pop("call", None)
            if own is not None:
                layer.call = own


def borrowed_statistics(
    layers: Iterable[keras.layers.BatchNormalization],
) -> contextlib.AbstractContextManager[None]:
    """Gives batch normalisations their statistics back after the body."""
    return restored(v for layer in layers for v in layer.non_trainable_variables)


def take_statistics(layer: keras.layers.BatchNormalization, maps: np.ndarray) -> None:
    """Gives a batch normalisation the statistics of float32 maps that it receives."""
    others = tuple(np.delete(np.arange(maps.ndim), layer.axis))
    layer.moving_mean.assign(maps.mean(others, np.float64))
    layer.moving_variance.assign(maps.var(others, np.float64))


@contextlib.contextmanager
def functions_inlined() -> Iterator[None]:
    """Makes every `tf.function` part of what calls it."""
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


@contextlib.contextmanager
def watched(
    model: keras.Model, see: Callable[[keras.Layer, Callable[[], np.ndarray]], None]
) -> Iterator[None]:
    """Calls `see(layer, product)` right before each linear layer does its work.

    Linear layers are those that multiply with kernels of their own, then add a bias and
    activate: dense ones and convolutions. They may be anywhere in the model, but what
    runs in a graph of its own is not watched.

    Batch normalisations use the statistics of what they receive, as in training, and
    get theirs back afterwards.

    Args:
        model: Any built Keras model.
        see: Takes a layer and a function that returns the float32 product of the
            layer's inputs with its kernels as they are when it is called: what comes
            before bias and activation.
    """
    layers = model._flatten_layers()
    normalisations = normalisations_in(layers)
    with (
        functions_inlined(),
        borrowed_statistics(normalisations),
        borrowed_calls(normalisations, _up_to_date),
        borrowed_calls(
            [layer for layer in layers if _is_linear(layer)],
            lambda layer, call: _seen(layer, call, see),
        ),
    ):
        yield


def _is_linear(layer):
    # Cells of recurrent layers multiply twice.
    if not hasattr(layer, "activation") or hasattr(layer, "state_size"):
        return False
    kernels = kernels_of(layer)
    return bool(kernels) and all(kernel.owner is layer for kernel in kernels)


def _seen(layer, call, see):
    def seen(*args, **kwargs):
        def product():
            with _kernels_alone(layer):
                return _as_numpy(call(*args, **kwargs))

        if tf.executing_eagerly():
            see(layer, product)
        return call(*args, **kwargs)

    return seen


@contextlib.contextmanager
def _kernels_alone(layer):
    """Takes bias and activation from a layer for a while."""
    activation, bias = layer.activation, getattr(layer, "bias", None)
    layer.activation = keras.activations.linear
    try:
        with restored([] if bias is None else [bias]):
            if bias is not None:
                bias.assign(keras.ops.zeros_like(bias))
            yield
    finally:
        layer.activation = activation


def _up_to_date(layer, call):
    def up_to_date(inputs, *args, **kwargs):
        if tf.executing_eagerly():
            take_statistics(layer, _as_numpy(inputs))
        return call(inputs, *args, **kwargs)

    return up_to_date


def _as_numpy(tensor):
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))
