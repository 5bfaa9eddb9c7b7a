"""A model without its weights: from Keras to JSON and, checked, back."""

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
from tfsupermask.layers.walking import shared_layers
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
    """Returns the JSON tree of a built model's layers and how they are connected.

    Raises:
        InputError: The model has a layer that a ticket cannot hold.
    """
    if not isinstance(model, keras.Model) or not model.built:
        raise fail("`model` must be a built Keras model.", model=model)
    for layer, owners in shared_layers(model):  # Keras stores such a layer twice
        raise fail(
            "A ticket cannot hold a layer that two models share.",
            layer=layer.name,
            models=[owner.name for owner in owners],
        )
    try:
        tree = to_tree(model)
    except Exception as error:  # of any kind, as it comes from the layers' own code
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
    """Returns the JSON tree of a layer, model or initializer, the same anywhere.

    It leaves out how the object was built and compiled, and initializers that tickets
    do not know: a ticket holds the values.
    """
    return _same_anywhere(keras.saving.serialize_keras_object(keras_object))


def build(tree: dict[str, Any]) -> keras.Model:
    """Builds the model that a JSON tree describes, which `check_tree` accepts.

    Raises:
        InputError: The tree names something that tickets may not name, or Keras
            cannot build it.
    """
    check_architecture(tree)
    # A copy, as Keras takes what it deserialises apart.
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
    """Builds a model whose weights have shapes but no values and take no memory.

    Returns:
        The model, and how many numbers it would take that are none of its variables:
        those of layers that nothing needs, and the constants of normalisations that
        were given a mean, as large as their input however little the tree says.
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
    """Lets models be built whose weights have shapes but no values, and lists these.

    However large they are, they take no memory.
    """
    # Keras would initialise what is left on its list later, whatever its size.
    before = global_state.get_global_attribute(_UNINITIALIZED, [])
    made = []
    global_state.set_global_attribute(_UNINITIALIZED, made)
    try:
        # In a graph nothing is computed, and in this scope no variable is initialised.
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
        if key.endswith("_initializer") and not _is_known(value):
            tree[key] = _ZEROS
    if is_object(tree):
        _name_for_anyone(tree)
    return tree


def _is_known(tree):
    return tree is None or (is_object(tree) and is_allowed("initializer", tree))


def _name_for_anyone(tree):
    """Names classes of Keras by module alone, those of this package by registration."""
    tree["module"] = tree["module"] or "__main__"
    if tree["module"].split(".")[0] == "keras":
        tree["registered_name"] = None
    elif str(tree["registered_name"]).startswith(f"{OWN_MODULE}>"):
        tree["module"] = OWN_MODULE


def _first_words(error):
    return " ".join(_TERMINAL_COLOUR.sub("", str(error)).split())[:300]
