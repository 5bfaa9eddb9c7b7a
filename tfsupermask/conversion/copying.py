"""Copies of models, layer by layer, in which some layers become others."""

from __future__ import annotations

import inspect
import tempfile
import types
import warnings
from collections.abc import Callable

import keras
from keras.src.models.functional import Functional, functional_like_constructor
from keras.src.saving.serialization_lib import SafeModeScope

from tfsupermask._validation import fail
from tfsupermask.conversion.attributes import hidden_layers, replace_attributes
from tfsupermask.layers import plain_class
from tfsupermask.layers.walking import parts_of


def remake(
    layer: keras.Layer,
    layer_class: type[keras.Layer] | None = None,
    change: Callable[[dict], dict] = lambda config: config,
) -> keras.Layer:
    """Returns a new, unbuilt layer like a given one.

    Args:
        layer: The given one.
        layer_class: The new one's class, by default the same.
        change: Function from the given layer's config to the new one's.

    Raises:
        InputError: The class cannot be made from the config.
    """
    layer_class = layer_class or type(layer)
    classes = {type(each).__name__: type(each) for each in layer._flatten_layers()}
    # The functions in it are already running in this process: nothing is loaded.
    with keras.saving.custom_object_scope(classes), SafeModeScope(False):
        try:
            config = change(layer.get_config())
            # As it is, because not all functions survive serialisation.
            if isinstance(getattr(layer, "activation", None), types.FunctionType):
                config["activation"] = layer.activation
            return layer_class.from_config(config)
        except (TypeError, ValueError, NotImplementedError) as error:
            raise fail(
                f"Layer '{layer.name}' must be one that can be made anew from its "
                "config to be copied.",
                layer_class=layer_class.__name__,
            ) from error


def copy_model(
    model: keras.Model,
    new_layer: Callable[[keras.Layer], keras.Layer],
    copy_weights: Callable[[keras.Layer, keras.Layer], None],
    new_config: Callable[[dict], dict] = lambda config: config,
) -> keras.Model:
    """Returns a copy of a built model in which other layers stand for some of its own.

    Args:
        model: Sequential, functional or subclassed model, not compiled afterwards.
        new_layer: Returns the new, unbuilt layer that stands for a given one.
        copy_weights: Copies a given layer's own weights to the one that stands for it.
            Only called when they are of different classes.
        new_config: Returns the config of the new layer or model that stands for one
            whose own class says what it does with the layers in it.

    Raises:
        InputError: Something in the model cannot be copied.
    """
    copier = _Copier(new_layer, new_config)
    copied = copier.copy(model)
    copier.build()
    for source, target in copier.pairs():
        if isinstance(source, keras.Model) or type(source) is type(target):
            _copy_own_state(source, target)
        else:
            copy_weights(source, target)
    return copied


class _Copier:
    """Copies layers and models, each only once, so that shared ones stay shared."""

    def __init__(self, new_layer, new_config):
        self._new_layer = new_layer
        self._new_config = new_config
        self._copies = {}
        self._replaced = []

    def copy(self, operation):
        if id(operation) not in self._copies:
            self._copies[id(operation)] = (operation, self._copy_anew(operation))
        return self._copies[id(operation)][1]

    def build(self):
        """Builds what no graph has built, outer models first, then what they left."""
        for source, target in reversed(self._copies.values()):
            if isinstance(source, keras.Layer):
                _build_like(source, target)
        for source, target in self.pairs():
            _build_like(source, target)
        if used := [each.name for each in self._replaced if each.built]:
            raise hidden_layers(used)

    def pairs(self):
        """Yields every layer with its copy, those inside layers left whole included."""
        targets = {}
        for copied in self._copies.values():
            for source, target in _inner_pairs(*copied):
                shared = targets.setdefault(id(source), target) is not target
                if shared and source.variables:
                    raise fail(
                        "A layer with weights that is inside another one must not be "
                        "shared with other parts of the model.",
                        layer=source.name,
                    )
                yield source, target

    def _copy_anew(self, operation):
        if isinstance(operation, keras.Sequential):
            return self._copy_sequential(operation)
        if isinstance(operation, Functional):
            return self._copy_functional(operation)
        if not isinstance(operation, keras.Layer):
            return type(operation).from_config(operation.get_config())
        if isinstance(operation, keras.Model) or parts_of(operation):
            return self._copy_attributes(operation)
        return self._new_layer(operation)

    def _copy_sequential(self, model):
        _check_call(model, keras.Sequential)
        start = [_same_input(model.inputs[0])] if model.built else []
        layers = [*start, *map(self.copy, model.layers)]
        return keras.Sequential(layers, trainable=model.trainable, name=model.name)

    def _copy_functional(self, model):
        inputs = keras.tree.map_structure(_same_input, model.input)
        # Without the given model's class, which might not be made of inputs and
        # outputs, and without its optimizer and losses.
        graph = keras.Model(model.input, model.output, name=model.name)
        copied = keras.models.clone_model(graph, inputs, clone_function=self.copy)
        model_class = type(model)
        if not functional_like_constructor(model_class):
            _check_call(model, Functional)
            model_class = Functional
        return model_class(
            copied.input, copied.output, name=model.name, trainable=model.trainable
        )

    def _copy_attributes(self, layer):
        """Copies a layer whose class says what it does with the layers in it."""
        copied = remake(
            layer, change=lambda config: _accepted(layer, self._new_config(config))
        )
        copied.name, copied.dtype_policy = layer.name, layer.dtype_policy
        inner, fresh = (
            each._flatten_layers(include_self=False, recursive=False)
            for each in (layer, copied)
        )
        if list(map(_kind, inner)) != list(map(_kind, fresh)):
            raise fail(
                f"{type(layer).__name__} must make its layers in its constructor, from "
                "the arguments in its config, to be copied.",
                name=layer.name,
            )
        new = {id(old): self.copy(each) for each, old in zip(inner, fresh, strict=True)}
        replace_attributes(copied, new)
        self._replaced += [each for each in fresh if not each.built]
        return copied


def _check_call(model, base):
    if type(model).call is not base.call:
        raise fail(
            f"A {base.__name__} model with its own `call` can only be copied if it is "
            "functional and takes inputs and outputs in its constructor.",
            model=model.name,
        )


def _accepted(layer, config):
    """Returns a config without what Keras adds though the constructor refuses it."""
    parameters = inspect.signature(type(layer).__init__).parameters.values()
    if type(layer).get_config is not keras.Layer.get_config or any(
        parameter.kind is parameter.VAR_KEYWORD for parameter in parameters
    ):
        return config
    names = {parameter.name for parameter in parameters}
    return {key: value for key, value in config.items() if key in names}


def _kind(layer):
    return plain_class(layer) or type(layer)


def _inner_pairs(source, target):
    if not isinstance(source, keras.Layer):
        return []
    if parts_of(source):
        return [(source, target)]
    return zip(source._flatten_layers(), target._flatten_layers(), strict=True)


def _build_like(source, target):
    if source.built and not target.built:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.build_from_config(source.get_build_config())
        target.built = True


def _same_input(tensor):
    config = tensor._keras_history.operation.get_config()
    return keras.layers.InputLayer.from_config(config).output


def _copy_own_state(source, target):
    store = {}
    source.save_own_variables(store)
    target.load_own_variables(store)
    for seed, copied in zip(
        source._seed_generators, target._seed_generators, strict=True
    ):
        copied.state.assign(seed.state)
    if hasattr(source, "save_assets"):
        with tempfile.TemporaryDirectory() as folder:
            source.save_assets(folder)
            target.load_assets(folder)
