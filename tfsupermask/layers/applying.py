"""Puts masked kernels in place of kernels, as every supermask layer does."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import keras
from keras.src.backend.common.stateless_scope import get_stateless_scope

from tfsupermask.layers.masked_weight import MaskedWeight


@contextlib.contextmanager
def masks_applied(
    weights: Iterable[MaskedWeight], layer: keras.Layer | None = None
) -> Iterator[None]:
    """Puts kernel · mask in place of each kernel while the body runs.

    Code in the body that reads a kernel gets the masked one, with its gradients; all
    supermask layers work in this way. Masks that are already applied around the body
    stay as they are, so that several calls compute a mask only once.

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
    masked = [(weight.kernel, weight.masked()) for weight in left.values()]
    with _MaskScope(masked, outer) as scope:
        yield
    for loss in scope.losses if layer else ():
        keras.Layer.add_loss(layer, loss)  # which functional models do not offer


class _MaskScope(keras.StatelessScope):
    """Holds masked kernels; all other variables are read and changed as usual."""

    def __init__(self, masked, outer):
        super().__init__(masked, collect_losses=True)
        self._outer = outer
        self.masked = self.state_mapping.keys() | getattr(outer, "masked", frozenset())

    def get_current_value(self, variable):
        if id(variable) in self.state_mapping:
            return self.state_mapping[id(variable)]
        outer = self._outer
        return outer.get_current_value(variable) if outer else variable._value

    def add_update(self, update):
        variable, value = update
        if id(variable) in self.state_mapping:
            super().add_update(update)
        elif self._outer:
            self._outer.add_update(update)
        else:
            variable._direct_assign(value)
