"""Layers that are attributes of a layer."""

from __future__ import annotations

from collections.abc import Mapping

import keras

from tfsupermask._validation import InputError, fail

# Attributes with which Keras and TensorFlow keep track of layers by themselves.
_BOOKKEEPING = ("_layers", "_tracker", "_self_")


def replace_attributes(layer: keras.Layer, new: Mapping[int, keras.Layer]) -> None:
    """Puts the layers in `new`, by the ids of the old ones, in place of the old.

    Raises:
        InputError: An old one is not where it can be found.
    """
    old = layer._flatten_layers(include_self=False, recursive=False)
    for each in old:
        layer._tracker.replace_tracked_value("layers", each, new[id(each)])
    found = set()
    for name, value in list(vars(layer).items()):
        held = new.keys() & {id(each) for each in _flat(value)}
        if held and not name.startswith(_BOOKKEEPING):
            setattr(layer, name, _replace(value, new))
            found |= held
    if len(found) < len(new):
        raise hidden_layers([each.name for each in old if id(each) not in found])


def hidden_layers(names: list[str]) -> InputError:
    """Returns the error that says that layers are not where they can be replaced."""
    return fail(
        "The layers inside a layer must be its attributes, alone or in lists, tuples, "
        "sets or dicts, to be copied.",
        layers=names,
    )


def _flat(value):
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, (list, tuple, set)):
        return [value]
    return [leaf for each in value for leaf in _flat(each)]


def _replace(value, new):
    if isinstance(value, dict):
        return {key: _replace(each, new) for key, each in value.items()}
    for kind in (list, tuple, set):
        if isinstance(value, kind):
            return kind(_replace(each, new) for each in value)
    return new.get(id(value), value)
