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

from tfsupermask._validation import fail
from tfsupermask.tickets.checking import check_architecture
from tfsupermask.tickets.portable import to_tree
from tfsupermask.tickets.tree import check_tree

_UNINITIALIZED = "uninitialized_variables"
_TERMINAL_COLOUR = re.compile(r"\x1b\[\d+m")


def describe(model: keras.Model) -> dict[str, Any]:
    """Returns the JSON tree of a model's layers and how they are connected.

    Args:
        model: Functional or Sequential model, built.

    Raises:
        InputError: The model has a layer that a ticket cannot hold.
    """
    if not isinstance(model, keras.Model) or not model.built:
        raise fail("`model` must be a built Keras model.", model=model)
    _check_shared_layers(model)
    try:
        tree = to_tree(model)
    except (NotImplementedError, TypeError, ValueError) as error:
        raise fail(
            "`model` must be functional or Sequential, of layers with `get_config`.",
            model=model.name,
            error=_first_words(error),
        ) from error
    check_tree(tree)
    check_architecture(tree)
    return tree


def build(tree: dict[str, Any]) -> keras.Model:
    """Builds the model that a tree describes.

    Args:
        tree: A JSON tree that `check_tree` accepts.

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


def build_empty(tree: dict[str, Any]) -> keras.Model:
    """Builds a model whose weights have shapes but no values and take no memory.

    Raises:
        InputError: As `build` does.
    """
    with no_values():
        return build(tree)


@contextlib.contextmanager
def no_values() -> Iterator[None]:
    """Lets models be built whose weights have shapes but no values.

    However large they are, they take no memory.

    Example:
        >>> with no_values():
        ...     large = [keras.Input((10**6,)), keras.layers.Dense(10**6)]
        ...     model = keras.Sequential(large)
        >>> model.count_params()
        1000001000000
    """
    # In a graph nothing is computed, and in this scope no variable is initialised.
    with (
        _no_uninitialized_left(),
        tf.Graph().as_default(),
        keras.StatelessScope(initialize_variables=False),
    ):
        yield


def count_constants(model: keras.Model) -> int:
    """Returns the number of numbers in a model that are no weights.

    They are the constants of normalisations that were given a mean: as large as their
    input, however little the architecture says about them.
    """
    return sum(
        2 * math.prod(layer.mean.shape)
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.Normalization)
        and layer.input_mean is not None
    )


@contextlib.contextmanager
def _no_uninitialized_left():
    # Keras would initialise what is left on its list later, whatever its size.
    before = list(global_state.get_global_attribute(_UNINITIALIZED, []))
    try:
        yield
    finally:
        global_state.set_global_attribute(_UNINITIALIZED, before)


def _check_shared_layers(model):
    """Raises if a layer belongs to two models: Keras stores such a layer twice."""
    owners = {}
    pending = [model]
    while pending:
        owner = pending.pop()
        for layer in owner.layers:
            first = owners.setdefault(id(layer), owner)
            if first is not owner:
                raise fail(
                    "A ticket cannot hold a layer that two models share.",
                    layer=layer.name,
                    models=[first.name, owner.name],
                )
            if hasattr(layer, "layers"):
                pending.append(layer)


def _first_words(error):
    return " ".join(_TERMINAL_COLOUR.sub("", str(error)).split())[:300]
