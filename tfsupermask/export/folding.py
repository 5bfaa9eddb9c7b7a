"""Plain Keras models with the masks baked into the kernels."""

from __future__ import annotations

import keras

from tfsupermask._validation import fail
from tfsupermask.layers import (
    SupermaskConv2D,
    SupermaskDense,
    SupermaskMixin,
    supermask_layers,
)

_PLAIN = {SupermaskConv2D: keras.layers.Conv2D, SupermaskDense: keras.layers.Dense}


def fold(model: keras.Model) -> keras.Model:
    """Returns the same model made of plain Keras layers, with kernel · mask as kernels.

    Args:
        model: Functional or Sequential Keras model with supermask layers.

    Returns:
        A new model without any class of this package; its outputs are the same. The
        given model is unchanged.

    Raises:
        InputError: A supermask layer is inside a nested model.

    Example:
    >>> plain = fold(model)
    >>> plain.save("subnetwork.keras")
    """
    nested = [la.name for la in supermask_layers(model) if la not in model.layers]
    if nested:
        raise fail(
            "`model` must hold its supermask layers itself, not in nested models.",
            nested=nested,
        )
    folded = keras.models.clone_model(model, clone_function=_plain_layer)
    for source, target in zip(model.layers, folded.layers, strict=True):
        if isinstance(source, SupermaskMixin):
            target.kernel.assign(source.kernel * source.mask)
            if source.bias is not None:
                target.bias.assign(source.bias)
        else:
            target.set_weights(source.get_weights())
    return folded


def _plain_layer(layer):
    config = layer.get_config()
    if not isinstance(layer, SupermaskMixin):
        return type(layer).from_config(config)
    for name in ("sparsity", "ranking", "score_initializer"):
        del config[name]
    return _PLAIN[type(layer)].from_config(config)
