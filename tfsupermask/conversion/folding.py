"""Plain Keras models with the masks multiplied into the kernels."""

from __future__ import annotations

from typing import Any

import keras

from tfsupermask._validation import fail
from tfsupermask.conversion.copying import config_of, copy_model, remake
from tfsupermask.layers import SignedConstant, SupermaskMixin, plain_class
from tfsupermask.layers.kernels import weights_in
from tfsupermask.layers.walking import check_built

_SIGNED_CONSTANT = keras.saving.get_registered_name(SignedConstant)


def fold(model: keras.Model) -> keras.Model:
    """Returns the same model made of plain layers, with kernel · mask as kernels.

    It contains nothing of this package, not even initializers: it loads and runs where
    only Keras is installed. Its kernels can be trained as usual.

    Args:
        model: Built Keras model with supermask layers: Sequential, functional,
            subclassed, nested.

    Returns:
        A new model, not compiled; its outputs are the same. The given model is
        unchanged.

    Raises:
        InputError: `model` is not built, or a part of it cannot be copied.

    Example:
        >>> model = models.build("conv2", sparsity=0.9)
        >>> plain = fold(model)
        >>> plain.get_layer("conv1").__class__.__name__
        'Conv2D'
        >>> int(np.count_nonzero(plain.get_layer("conv1").kernel))
        173
    """
    check_built(model)
    return copy_model(model, plain_layer, fold_kernels)


def fold_kernels(layer: keras.Layer, new: keras.Layer) -> None:
    """Gives a new layer the kernels that the masked one computes with."""
    if isinstance(layer, SupermaskMixin) and layer.masked_weights:
        targets = weights_in(new)
        kernels = layer.effective_kernels()
        for weight, kernel in zip(layer.masked_weights, kernels, strict=True):
            targets[weight.position][1].assign(kernel)


def plain_layer(layer: keras.Layer) -> keras.Layer:
    """Returns a new, unbuilt layer like a given one, without masks."""
    return remake(layer, plain_class(layer).from_config, plain_config)


def plain_config(layer: keras.Layer) -> dict:
    """Returns the config of a layer without anything of this package."""
    masked = isinstance(layer, SupermaskMixin)
    if masked and (own := _own_methods(type(layer))):
        raise fail(
            f"The class of layer '{layer.name}' must leave `build` and `call` to the "
            "class that it masks, to be copied without masks.",
            layer_class=type(layer).__name__,
            own=own,
        )
    return _without_ours(layer.plain_config() if masked else config_of(layer))


def _own_methods(cls):
    """Returns which of `build` and `call` a user's class of masked layers defines."""
    ours = [each for each in cls.__mro__ if issubclass(each, SupermaskMixin)]
    return [
        name
        for name in ("build", "call")
        for each in ours
        if not each.__module__.startswith("tfsupermask.")
        and name in vars(each)
        and not hasattr(vars(each)[name], "of_masks")  # as the mixin makes them
    ]


def _without_ours(config: Any) -> Any:
    """Returns a config with Keras' initializers in place of this package's."""
    if isinstance(config, (list, tuple)):
        return type(config)(map(_without_ours, config))
    if not isinstance(config, dict):
        return config
    if config.get("registered_name") == _SIGNED_CONSTANT:
        normal = keras.initializers.VarianceScaling(
            config["config"]["scale"], "fan_in", "untruncated_normal"
        )
        return keras.initializers.serialize(normal)
    return {key: _without_ours(value) for key, value in config.items()}
