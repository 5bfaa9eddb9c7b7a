"""Keras objects as JSON trees that are the same wherever the object is made."""

from __future__ import annotations

from typing import Any

import keras

from tfsupermask.tickets import trusted
from tfsupermask.tickets.checking import OBJECT_KEYS, is_initializer

_OF_ONE_PROGRAM = ("build_config", "compile_config", "shared_object_id")
_ZEROS = {
    "module": "keras.initializers",
    "class_name": "Zeros",
    "config": {},
    "registered_name": None,
}


def to_tree(keras_object: Any) -> Any:
    """Returns the JSON tree of a layer, model or initializer.

    It leaves out how the object was built and compiled, and initializers that tickets
    do not know: a ticket holds the values.

    Example:
        >>> tree = to_tree(keras.layers.Dense(3, kernel_initializer="orthogonal"))
        >>> tree["config"]["kernel_initializer"]["class_name"]
        'Zeros'
    """
    return _portable(keras.saving.serialize_keras_object(keras_object))


def _portable(tree):
    if isinstance(tree, (list, tuple)):
        return [_portable(child) for child in tree]
    if not isinstance(tree, dict):
        return tree
    tree = {
        key: _portable(value)
        for key, value in tree.items()
        if key not in _OF_ONE_PROGRAM
    }
    for key, value in tree.items():
        if key.endswith("_initializer") and not _is_known(value):
            tree[key] = _ZEROS
    if OBJECT_KEYS.issubset(tree):
        _name_portably(tree)
    return tree


def _is_known(tree):
    return tree is None or (
        isinstance(tree, dict) and OBJECT_KEYS.issubset(tree) and is_initializer(tree)
    )


def _name_portably(tree):
    """Names classes of Keras by module alone, those of this package by registration."""
    if tree["module"].split(".")[0] == "keras":
        tree["registered_name"] = None
    elif str(tree["registered_name"]).startswith(f"{trusted.OWN_MODULE}>"):
        tree["module"] = trusted.OWN_MODULE
