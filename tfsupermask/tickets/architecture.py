"""A model without its weights: from Keras to JSON, and with checks back."""

from __future__ import annotations

import contextlib
import copy
import math
import re
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf
from keras.src.backend.common import global_state

from tfsupermask._validation import InputError, fail
from tfsupermask.layers.walking import check_built, shared_layers
from tfsupermask.tickets.allowed import (
    OWN_MODULE,
    check_architecture,
    is_allowed,
    is_object,
)
from tfsupermask.tickets.file import check_tree

_ELSEWHERE = (
    "The model does not fit in a ticket: `fold` it for other formats, or save it with "
    "its masks as `.keras` (`model.save`)."
)
_OF_ONE_PROGRAM = ("build_config", "compile_config", "shared_object_id")
_ZEROS = {
    "module": "keras.initializers",
    "class_name": "Zeros",
    "config": {},
    "registered_name": None,
}
_UNINITIALIZED = "uninitialized_variables"
_TERMINAL_COLOUR = re.compile(r"\x1b\[\d+m")


def describe(model: keras.Model) -> dict[str, Any]:
    """Returns the JSON tree of a built model's layers and connections."""
    check_built(model)
    # Keras stores such a layer twice.
    for layer, owners in shared_layers(model).items():
        raise fail(
            "A ticket cannot hold a layer that two models share.",
            layer=layer.name,
            models=[owner.name for owner in owners],
        )
    try:
        tree = to_tree(model)
    except Exception as error:  # users' layers may raise anything
        raise fail(
            "`model` must be functional or Sequential, of layers with a `get_config` "
            "of plain values.",
            model=model.name,
            error=_first_words(error),
        ) from error
    check_tree(tree)
    try:
        check_architecture(tree)
    except InputError as error:
        raise InputError(f"{_ELSEWHERE} {error}") from None
    return tree


def to_tree(keras_object: Any) -> Any:
    """Returns the JSON tree of a layer, model or initializer, equal in all programs.

    It does not hold how the object was built and compiled, nor initializers that
    tickets do not allow, because a ticket holds the values.
    """
    return _same_anywhere(keras.saving.serialize_keras_object(keras_object))


def build(tree: dict[str, Any]) -> keras.Model:
    """Checks and builds the model that a JSON tree describes."""
    check_architecture(tree)
    # A copy, because Keras changes the tree.
    tree = copy.deepcopy(tree)
    try:
        model = keras.saving.deserialize_keras_object(tree, safe_mode=True)
    except Exception as error:
        raise fail(
            "The ticket's layers must make a model.",
            error=_first_words(error),
        ) from error
    if not model.built:
        raise fail("The ticket's layers must make a built model.", model=model.name)
    return model


def build_empty(tree: dict[str, Any]) -> tuple[keras.Model, int]:
    """Builds a model without values, which takes no memory.

    Also returns how many numbers the model would hold beside its variables: those of
    layers without use, and the constants of normalisations with a given mean, which
    are as large as their input.
    """
    with no_values() as made:
        model = build(tree)
    needed = {id(variable) for variable in model.variables}
    others = sum(math.prod(each.shape) for each in made if id(each) not in needed)
    constants = sum(
        2 * math.prod(layer.mean.shape)
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.Normalization)
        and layer.input_mean is not None
    )
    return model, others + constants


@contextlib.contextmanager
def no_values() -> Iterator[list[keras.Variable]]:
    """While open, new weights have shapes but no values and memory; yields a list."""
    # Keras would later initialise the variables on its list, whatever their size.
    before = global_state.get_global_attribute(_UNINITIALIZED, [])
    made = []
    global_state.set_global_attribute(_UNINITIALIZED, made)
    try:
        # A graph computes nothing, and this scope initialises no variable.
        with tf.Graph().as_default(), keras.StatelessScope(initialize_variables=False):
            yield made
    finally:
        global_state.set_global_attribute(_UNINITIALIZED, before)


def _same_anywhere(tree):
    if isinstance(tree, (list, tuple)):
        return [_same_anywhere(child) for child in tree]
    if not isinstance(tree, dict):
        return tree
    tree = {
        key: _same_anywhere(value)
        for key, value in tree.items()
        if key not in _OF_ONE_PROGRAM
    }
    for key, value in tree.items():
        if key.endswith("_initializer") and value is not None:
            known = is_object(value) and is_allowed("initializer", value)
            tree[key] = value if known else _ZEROS
    if is_object(tree):
        _name_for_anyone(tree)
    return tree


def _name_for_anyone(tree):
    """Names Keras' classes only by module, and this package's by registered name."""
    tree["module"] = tree["module"] or "__main__"
    if tree["module"].split(".")[0] == "keras":
        tree["registered_name"] = None
    elif str(tree["registered_name"]).startswith(f"{OWN_MODULE}>"):
        tree["module"] = OWN_MODULE


def _first_words(error):
    return " ".join(_TERMINAL_COLOUR.sub("", str(error)).split())[:300]
