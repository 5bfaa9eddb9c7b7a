"""Copies models layer by layer, and replaces some layers by others."""

from __future__ import annotations

import functools
import inspect
import numbers
import tempfile
import types
import warnings
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from keras.src.models.functional import Functional, functional_like_constructor
from keras.src.saving.serialization_lib import SafeModeScope
from keras.src.utils.python_utils import is_default

from tfsupermask._validation import InputError, fail, listed
from tfsupermask.layers import Supermask, SupermaskMixin, masked_weights, plain_class
from tfsupermask.layers.kernels import MaskVariables
from tfsupermask.layers.mixin import MARK, accepted, with_activation
from tfsupermask.layers.walking import children_of, is_graph

# Attributes in which Keras and TensorFlow themselves track layers.
_BOOKKEEPING = ("_layers", "_tracker", "_self_")
# What a class of models changes if it trains or evaluates otherwise.
_STEPS = ("train_step", "test_step", "predict_step", "compute_loss", "compute_metrics")


def config_of(layer: keras.Layer) -> dict:
    """Returns the arguments of a layer's constructor; without masks of `supermask`."""
    if isinstance(layer, Supermask):
        return layer.plain_config()
    config = layer.get_config()
    masked = isinstance(layer, SupermaskMixin)
    return config if masked else accepted(type(layer), config)


def remake(
    layer: keras.Layer,
    make: Callable[[dict], keras.Layer] | None = None,
    config: Callable[[keras.Layer], dict] = config_of,
) -> keras.Layer:
    """Returns a new, unbuilt layer like a given one: `make(config(layer))`."""
    masked = make is None and isinstance(layer, Supermask)
    make = make or (type(layer).without_masks if masked else type(layer).from_config)
    classes = {type(each).__name__: type(each) for each in layer._flatten_layers()}
    # The functions in the config already run in this process: nothing is loaded.
    with keras.saving.custom_object_scope(classes), SafeModeScope(False):
        try:
            new = make(with_activation(layer, config(layer)))
        except InputError:
            raise
        except (TypeError, ValueError, NotImplementedError) as error:
            raise fail(
                f"Layer '{layer.name}' must be one that can be made anew from its "
                "config to be copied.",
                layer_class=type(layer).__name__,
            ) from error
    if masked:
        new.set_up(**layer.mask_arguments())
    old, parts = _parts_of(layer), _parts_of(new)
    if held := [name for part, name in old.items() if part in parts]:
        raise fail(
            f"The config of layer '{layer.name}' must describe the layers and weights "
            "inside it, not hold them, to be copied.",
            layer_class=type(layer).__name__,
            held=held,
        )
    # The constructor may not take these; and Keras may have numbered names.
    new.dtype_policy = layer.dtype_policy
    for one, other in _alike_parts(layer, new):
        if plain_class(one) is plain_class(other):
            other.name, other.dtype_policy = one.name, one.dtype_policy
        if isinstance(one, keras.layers.Lambda):
            _copy_functions(one, other)
    return new


def _alike_parts(layer, new):
    """Yields a layer and those inside it, each with its like in an unbuilt copy."""
    yield layer, new
    ours, theirs = map(_layers_directly_in, (layer, new))
    classes = list(map(plain_class, theirs))
    if classes == list(map(plain_class, ours))[: len(classes)]:  # some come by `build`
        for one, other in zip(ours, theirs, strict=False):
            yield from _alike_parts(one, other)


def _copy_functions(layer, new):
    """Gives a new Lambda the functions themselves: its config loses their globals."""
    for name in ("function", "mask", "_output_shape"):
        value = getattr(layer, name)
        if isinstance(value, types.FunctionType):
            setattr(new, name, value)


def _parts_of(layer):
    """Returns the names of a layer's layers and variables by their ids."""
    return {
        id(each): each.name for each in [*layer._flatten_layers(), *layer.variables]
    }


def copy_model(
    model: keras.Model,
    new_layer: Callable[[keras.Layer], keras.Layer],
    finish: Callable[[keras.Layer, keras.Layer], None],
) -> keras.Model:
    """Returns a copy of a built model, with new layers in place of its own.

    `new_layer` makes the unbuilt layer for a given one; graphs are copied layer by
    layer. `finish` is called with each old layer and its new one, which is then built.
    """
    copier = _Copier(new_layer)
    copied = copier.copy(model)
    copier.build()
    for source, target in copier.pairs():
        _copy_own_state(source, target)
    copier.freeze()
    for source, target in copier.made():
        finish(source, target)
    return copied


def said_of_steps(model: keras.Model, copied: keras.Model) -> list[str]:
    """Returns a warning of the methods for training that a copy lacks, if any."""
    old, new = type(model), type(copied)
    lost = [name for name in _STEPS if getattr(old, name) is not getattr(new, name)]
    return lost and [
        f"The copy is a {new.__name__} without the {listed(lost)} of {old.__name__}: "
        "only classes with their own `call`, or with the constructor of "
        "`keras.Model(inputs, outputs)`, are kept."
    ]


class _Copier:
    """Copies layers and models, each only once, so that shared ones stay shared."""

    def __init__(self, new_layer):
        self._new_layer = new_layer
        self._copies = {}
        self._replaced = []

    def copy(self, operation):
        if id(operation) not in self._copies:
            self._copies[id(operation)] = (operation, self._copy_anew(operation))
        return self._copies[id(operation)][1]

    def build(self):
        """Builds the copies that no graph has built, outer models first."""
        for source, target in reversed(self._copies.values()):
            if isinstance(source, keras.Layer):
                _build_like(source, target)
        for source, target in self.pairs():
            _build_like(source, target)
        for _, target in self.made():
            if isinstance(target, SupermaskMixin):
                target.build_masks(wait=False)
        if used := [each.name for each in self._replaced if each.built]:
            raise _hidden_layers(used)

    def freeze(self):
        """Freezes the copies of frozen layers, outer ones first, and single weights."""
        for copied in reversed(self._copies.values()):
            for source, target in _inner_pairs(*copied):
                target.trainable = source.trainable
        kernels = set()
        for source, target in self.made():
            kernels |= {id(weight.kernel) for weight in masked_weights(source)}
            for weight in masked_weights(target):
                weight.freeze()
        for source, target in self.pairs():
            for one, other in zip(_own(source), _own(target), strict=False):
                if not one.trainable and id(one) not in kernels:  # masks freeze these
                    other.trainable = False

    def made(self):
        """Yields every layer that counts as a whole with its copy."""
        for source, target in self._copies.values():
            if isinstance(source, keras.Layer) and not children_of(source):
                yield source, target

    def pairs(self):
        """Yields every layer with its copy, also in layers that count as a whole."""
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
        if not isinstance(operation, keras.Layer):
            return _copy_operation(operation)
        if not is_graph(operation):
            return self._copy_whole(operation)
        sequential = isinstance(operation, keras.Sequential)
        copy = self._copy_sequential if sequential else self._copy_functional
        copied = copy(operation)
        own, its = ([w.shape for w in _own(each)] for each in (operation, copied))
        if own != its:
            raise fail(
                f"The weights of model '{operation.name}' must be in its layers, to be "
                "copied.",
                weights=[weight.name for weight in _own(operation)],
            )
        return copied

    def _copy_sequential(self, model):
        # Keras may give it none, although it is built: if it takes a list or a dict.
        start = map(_same_input, getattr(model, "inputs", ()))
        layers = [*start, *map(self.copy, model.layers)]
        return keras.Sequential(layers, trainable=model.trainable, name=model.name)

    def _copy_functional(self, model):
        inputs = keras.tree.map_structure(_same_input, model.input)
        # A plain model: the given one's class might not take inputs and outputs, and
        # its optimizer and losses are not copied.
        graph = keras.Model(model.input, model.output, name=model.name)
        copied = keras.models.clone_model(graph, inputs, clone_function=self.copy)
        like = functional_like_constructor(type(model))
        return (type(model) if like else Functional)(
            copied.input, copied.output, name=model.name, trainable=model.trainable
        )

    def _copy_whole(self, layer):
        """Copies a layer that is no graph: its class decides how it uses inner layers.

        If these or the new layer's hold masks, or the config does not describe them,
        they are copied one by one and replace those that the new layer has made.
        """
        copied = self._new_layer(layer)
        # Keras never trains a weight that is made while its layer is frozen.
        copied.trainable = True
        inner, fresh = map(_layers_directly_in, (layer, copied))
        misses = _may_miss(type(layer)) and bool(fresh) and not _alike(inner, fresh)
        makes_masks = any(
            isinstance(each, SupermaskMixin)
            for each in copied._flatten_layers(include_self=False)
        )
        of_config = _set_missed(layer, copied)
        if isinstance(copied, SupermaskMixin):
            copied.config_is_complete = not (misses or of_config or makes_masks)
        one_by_one = makes_masks or bool(children_of(layer))
        if not one_by_one and not misses:
            return copied
        if list(map(plain_class, inner)) != list(map(plain_class, fresh)):
            raise fail(
                f"{type(layer).__name__} must make its layers in its constructor, from "
                "the arguments in its config, to be copied.",
                name=layer.name,
            )
        copy = self.copy if one_by_one else remake
        new = {id(old): copy(each) for each, old in zip(inner, fresh, strict=True)}
        _replace_attributes(copied, new)
        self._replaced += [each for each in fresh if not each.built]
        return copied


def _copy_operation(operation):
    try:
        return type(operation).from_config(operation.get_config())
    except NotImplementedError as error:
        raise fail(
            f"Operation '{operation.name}' of the graph must have a config to be "
            "copied; put it into a layer.",
            operation_class=type(operation).__name__,
        ) from error


def _may_miss(cls):
    """Returns whether the default config of a class lacks some of its arguments."""
    default = is_default(cls.get_config)
    return issubclass(cls, keras.Model) and default and bool(_arguments(cls))


def _arguments(cls):
    return {*inspect.signature(cls.__init__).parameters} - {"self", "args", "kwargs"}


def _set_missed(layer, copied):
    """Gives an unbuilt copy what its config lacks; returns whether it should have it.

    That is what the constructor takes, and of models what else it sets: what `build`
    derives is derived again.
    """
    cls = plain_class(layer)
    missed = _missed_values(layer, copied) if is_default(cls.get_config) else {}
    arguments = {name for name in missed if name.lstrip("_") in _arguments(cls)}
    for name, value in missed.items():
        fresh = getattr(copied, name)
        made = isinstance(fresh, (np.ndarray, tf.Tensor)) or bool(fresh)
        if name in arguments or (_may_miss(cls) and made):
            setattr(copied, name, value)
    return _may_miss(cls) and bool(arguments)


def _missed_values(layer, copied):
    """Returns the plain values in a layer's attributes that differ in its copy."""
    of_masks = dir(SupermaskMixin) if isinstance(copied, SupermaskMixin) else ()
    names = (vars(layer).keys() & vars(copied).keys()) - _names_of_keras() - {*of_masks}
    values = {name: (getattr(layer, name), getattr(copied, name)) for name in names}
    return {
        name: _replace(one, {}, set())
        for name, (one, other) in values.items()
        if _is_plain(one) and _is_plain(other) and not _equal(one, other)
    }


@functools.cache
def _names_of_keras():
    return {*vars(keras.Model()), "call"}


def _equal(one, other):
    try:
        alike = type(one) is type(other) and np.shape(one) == np.shape(other)
        return alike and bool(np.all(one == other))
    except (TypeError, ValueError, tf.errors.OpError):  # of arrays
        return False


def _is_plain(value):
    if isinstance(value, dict):
        return _is_plain([*value, *value.values()])
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    if isinstance(value, types.FunctionType):
        return "<" not in value.__qualname__  # a local one may hold the model
    if isinstance(value, tf.Tensor):
        return not tf.is_symbolic_tensor(value)
    return value is None or isinstance(value, (numbers.Number, str, np.ndarray))


def _alike(inner, fresh):
    """Returns whether layers have the same configs, except for their names."""
    if list(map(type, inner)) != list(map(type, fresh)):
        return not any(isinstance(each, SupermaskMixin) for each in inner)
    try:
        one, other = (
            [{**each.get_config(), "name": None} for each in layers]
            for layers in (inner, fresh)
        )
    except NotImplementedError:
        return True
    return one == other


def _inner_pairs(source, target):
    if not isinstance(source, keras.Layer):
        return []
    if children_of(source):
        return [(source, target)]
    # Those of a copy may be made later.
    masks = isinstance(target, SupermaskMixin) and bool(target.masked_weights)
    return zip(_layers_in(source, masks), _layers_in(target, masks), strict=True)


def _layers_directly_in(layer):
    inside = layer._flatten_layers(include_self=False, recursive=False)
    return [each for each in inside if not isinstance(each, MaskVariables)]


def _layers_in(layer, masks=False):
    """Returns a layer and the layers inside it, without inputs and, usually, masks."""
    left_out = (keras.layers.InputLayer, *(() if masks else (MaskVariables,)))
    return [each for each in layer._flatten_layers() if not isinstance(each, left_out)]


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
    store.pop(MARK, None)
    target.load_own_variables(store)
    # A dropout that was switched off meanwhile has none in the copy.
    for seed, copied in zip(
        source._seed_generators, target._seed_generators, strict=False
    ):
        copied.state.assign(seed.state)
    for name in vars(source).keys() & vars(target).keys():
        both = (_flat(vars(each)[name]) for each in (source, target))
        for value, copied in zip(*both, strict=False):
            # TensorFlow's own, which Keras does not list.
            variables = all(isinstance(v, tf.Variable) for v in (value, copied))
            if variables and copied.shape == value.shape:
                copied.assign(value)
    if is_default(plain_class(source).get_config):
        for name, value in _missed_values(source, target).items():
            setattr(target, name, value)  # what was changed since it was made
    if hasattr(source, "save_assets"):
        with tempfile.TemporaryDirectory() as folder:
            source.save_assets(folder)
            target.load_assets(folder)


def _flat(value):
    """Yields a value, or all that is in it if it is a list, a tuple or a dictionary."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for each in value:
            yield from _flat(each)
    else:
        yield value


def _own(layer):
    return [*layer._trainable_variables, *layer._non_trainable_variables]


def _replace_attributes(layer, new):
    """Replaces the layers inside a layer by those in `new`, by the old ones' ids."""
    old = layer._flatten_layers(include_self=False, recursive=False)
    for each in old:
        layer._tracker.replace_tracked_value("layers", each, new[id(each)])
    found = set()
    for name, value in list(vars(layer).items()):
        if name.startswith(_BOOKKEEPING):
            continue
        held = set()
        replaced = _replace(value, new, held)
        if held:
            setattr(layer, name, replaced)
            found |= held
    if len(found) < len(new):
        raise _hidden_layers([each.name for each in old if id(each) not in found])


def _replace(value, new, held):
    """Returns a value with its layers replaced; adds the old ones' ids to `held`."""
    if isinstance(value, dict):
        return {key: _replace(each, new, held) for key, each in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_replace(each, new, held) for each in value))
    for kind in (list, tuple, set):
        if isinstance(value, kind):
            return kind(_replace(each, new, held) for each in value)
    if id(value) in new:
        held.add(id(value))
    copied = value.copy() if isinstance(value, np.ndarray) else value
    return new.get(id(value), copied)


def _hidden_layers(names) -> InputError:
    return fail(
        "The layers inside a layer must be its attributes, alone or in lists, tuples, "
        "sets or dicts, to be copied.",
        layers=names,
    )
