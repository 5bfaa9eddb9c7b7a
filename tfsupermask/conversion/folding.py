"""Plain Keras models with the masks baked into the kernels."""

from __future__ import annotations

from typing import Any

import keras

from tfsupermask._validation import fail
from tfsupermask.conversion.classes import MASKED_CLASSES
from tfsupermask.conversion.copying import copy_model, remake
from tfsupermask.layers import SignedConstant, SupermaskMixin
from tfsupermask.layers.walking import check_built

_PLAIN_CLASSES = {masked: plain for plain, masked in MASKED_CLASSES.items()}
_SIGNED_CONSTANT = keras.saving.get_registered_name(SignedConstant)


def fold(model: keras.Model) -> keras.Model:
    """Returns the same model made of plain Keras layers, with kernel · mask as kernels.

    Nothing of this package is left in it, initializers included: it loads and runs
    where only Keras is installed. Its kernels can be trained like any others.

    Args:
        model: Built Keras model with supermask layers: Sequential, functional,
            subclassed, nested.

    Returns:
        A new model, not compiled; its outputs are the same. The given model is
        unchanged.

    Raises:
        InputError: `model` is not built, or something in it cannot be copied.

    Example:
        >>> model = models.build("conv2", sparsity=0.9)
        >>> plain = fold(model)
        >>> plain.get_layer("conv1").__class__.__name__
        'Conv2D'
        >>> int(np.count_nonzero(plain.get_layer("conv1").kernel))
        173
    """
    check_built(model)
    return copy_model(model, _plain_layer, _fold_weights, _plain_config)


def _plain_layer(layer):
    if not isinstance(layer, SupermaskMixin):
        return remake(layer, change=_plain_config)
    if type(layer) not in _PLAIN_CLASSES:
        raise fail(
            "Only the supermask layers of this package can be folded.",
            layer=layer.name,
            layer_class=type(layer).__name__,
        )
    return remake(layer, _PLAIN_CLASSES[type(layer)], _without_mask)


def _without_mask(config):
    ours = ("sparsity", "ranking", "score_initializer")
    return _plain_config({key: config[key] for key in config if key not in ours})


def _plain_config(config: Any) -> Any:
    """Returns a config with an initializer of Keras' own in place of this package's."""
    if isinstance(config, (list, tuple)):
        return type(config)(map(_plain_config, config))
    if not isinstance(config, dict):
        return config
    if config.get("registered_name") == _SIGNED_CONSTANT:
        normal = keras.initializers.VarianceScaling(
            config["config"]["scale"], "fan_in", "untruncated_normal"
        )
        return keras.initializers.serialize(normal)
    return {key: _plain_config(value) for key, value in config.items()}


def _fold_weights(source, target):
    for weight in source.masked_weights if source.built else ():
        getattr(target, weight.attribute).assign(weight.kernel * weight.mask)
    if source.built and source.bias is not None:
        target.bias.assign(source.bias)
