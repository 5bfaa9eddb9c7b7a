"""Puts masked kernels in place of kernels, as every supermask layer does."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import keras
import tensorflow as tf
from keras.src.backend.common.stateless_scope import get_stateless_scope

from tfsupermask._validation import fail
from tfsupermask.layers.masked_weight import MaskedWeight
from tfsupermask.ops import native


@contextlib.contextmanager
def masks_applied(
    weights: Iterable[MaskedWeight], layer: keras.Layer | None = None
) -> Iterator[None]:
    """Puts kernel · mask in place of each kernel while the body runs.

    Code in the body that reads a kernel gets the masked one, with its gradients; all
    supermask layers work in this way. Masks that are already applied around the body
    stay as they are, so that several calls compute a mask only once. A `tf.function`
    that the body calls computes the masks itself, at each of its calls.

    Args:
        weights: The masked weights.
        layer: Layer or model that the body calls. It gets the losses that it adds in
            the body.

    Example:
        >>> layer = SupermaskDense(3, sparsity=0.5)
        >>> layer.build((None, 8))
        >>> with masks_applied(layer.masked_weights):
        ...     int(tf.math.count_nonzero(layer.kernel.value))
        12
    """
    outer = get_stateless_scope()
    done = getattr(outer, "masked", frozenset())
    left = {id(each.kernel): each for each in weights if id(each.kernel) not in done}
    if not left:
        yield
        return
    with _MaskScope(left, outer) as scope:
        yield
    for loss in scope.losses if layer else ():
        keras.Layer.add_loss(layer, loss)  # which functional models do not offer


@contextlib.contextmanager
def functions_untraced():
    """Runs each `tf.function` in the body as plain Python, without keeping a trace."""
    # A trace from before a layer has its masks would serve later calls too.
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


class _MaskScope(keras.StatelessScope):
    """Holds masked kernels; all other variables are read and changed as usual."""

    def __init__(self, weights, outer):
        masked = [(weight.kernel, weight.masked()) for weight in weights.values()]
        super().__init__(masked, collect_losses=True)
        self._weights, self._outer, self._reading = weights, outer, None
        self._values = {_function_graph(): self.state_mapping}
        self.masked = self.state_mapping.keys() | getattr(outer, "masked", frozenset())

    def get_current_value(self, variable):
        key = id(variable)
        if key in self.state_mapping and variable is not self._reading:
            values = self._values_here()
            if key not in values:
                values[key] = self._masked_here(variable)
            return values[key]
        outer = self._outer
        return outer.get_current_value(variable) if outer else variable._value

    def add_update(self, update):
        variable, value = update
        if id(variable) in self.state_mapping:
            self._weights.pop(id(variable), None)
            self._values_here()[id(variable)] = value
        elif self._outer:
            self._outer.add_update(update)
        else:
            variable._direct_assign(value)

    def _values_here(self):
        """Returns the values of masked kernels in the function that is traced."""
        # A function keeps tensors from outside as they are when it is traced.
        return self._values.setdefault(_function_graph(), {})

    def _masked_here(self, variable):
        if id(variable) not in self._weights:
            raise fail(
                "Inside of a layer that assigns its kernel, as spectral normalization "
                "does, no layer's `call` may be a `tf.function`.",
                kernel=variable.path,
            )
        graph, self._reading = _function_graph(), variable
        try:
            if graph is None:
                return self._weights[id(variable)].masked()
            native.avoid_in(graph)
            with graph.as_default():  # not in the branch or the loop that asks first
                return self._weights[id(variable)].masked()
        finally:
            self._reading = None


def _function_graph():
    """Returns the graph of the function that is traced, `None` in eager code."""
    graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
    while getattr(graph, "is_control_flow_graph", False):
        graph = graph.outer_graph
    return graph
