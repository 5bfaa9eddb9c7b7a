"""A model as one graph, which tells what each of its layers receives."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable

import keras
import numpy as np
import tensorflow as tf

from tfsupermask.init.watching import borrowed_calls, functions_inlined


class Trace:
    """What layers receive in a forward pass, as tensors of one graph.

    The layers may be anywhere: in models inside the model, in wrappers, in layers and
    models of one's own. The graph reads variables when it runs.

    Args:
        model: Any built Keras model of one input.
        layers: The layers to watch.
        example: Array (n, ...) of what the model takes.

    Attributes:
        inputs: Symbolic tensor, what the model takes.
        received: What each of the layers receives when it is called first, in the order
            of these calls. Layers are missing that are not called, or called only in a
            graph of their own, such as the body of a loop.
    """

    def __init__(
        self, model: keras.Model, layers: Iterable[keras.Layer], example: np.ndarray
    ):
        first: dict[keras.Layer, tf.Tensor] = {}

        def recorded(layer, call):
            def record(*args, **kwargs):
                first.setdefault(layer, [*args, *kwargs.values()][0])
                return call(*args, **kwargs)

            return record

        def run(inputs):
            self.inputs = inputs
            model(inputs, training=False)
            return inputs

        spec = tf.TensorSpec((None, *example.shape[1:]), example.dtype)
        with borrowed_calls(layers, recorded), functions_inlined():
            self._function = tf.compat.v1.wrap_function(run, [spec])
        self.received = {
            layer: _before_autocast(tensor)
            for layer, tensor in first.items()
            if tensor.graph is self._function.graph
        }

    def between(
        self, start: tf.Tensor, end: tf.Tensor
    ) -> Callable[[np.ndarray], np.ndarray] | None:
        """Returns the part of the network from one tensor to another, if it is all.

        Args:
            start: Where values are given.
            end: Whose values the function returns, as float32.

        Returns:
            The function, `None` if `end` depends on the inputs in another way too.
        """
        if _depends(end, self.inputs, start):
            return None

        @functools.cache  # many a way is never gone
        def part():
            return self._function.prune([start], [end])

        def compute(values):
            # In one graph, TensorFlow fuses convolutions with what follows.
            (found,) = part()(tf.cast(values, start.dtype))
            return tf.cast(found, tf.float32).numpy()

        return compute


def _before_autocast(tensor):
    """Returns a tensor as it was before Keras rounded it to a compute dtype."""
    return tensor.op.inputs[0] if tensor.op.type == "Cast" else tensor


def _depends(end, inputs, start):
    """Whether `end` depends on `inputs` by a way that avoids `start`."""
    waiting, seen = [end], {start.name}
    while waiting:
        tensor = waiting.pop()
        if tensor.name not in seen:
            if tensor is inputs:
                return True
            seen.add(tensor.name)
            waiting += tensor.op.inputs
    return False
