"""Checks that an architecture holds nothing but what a ticket may name."""

from __future__ import annotations

from typing import Any

from tfsupermask._validation import InputError, fail
from tfsupermask.tickets import allowed
from tfsupermask.tickets.file import check_keys

# Ten times what the largest of Keras' own image models has; bounds the time to build.
_MAX_OBJECTS = 100_000
_MAX_ARGUMENTS = 10_000
# Keras tries layers again that are listed before those that they are called with.
_MAX_TRIES = 10**6
_OBJECT = {"module": str, "class_name": str, "config": dict, "registered_name": object}
_OBJECT_OR_FUNCTION = {**_OBJECT, "config": object}
OBJECT_KEYS = frozenset(_OBJECT)
_IN_GRAPH = {"name": str, "inbound_nodes": list}
_FUNCTIONAL = {
    **{"name": str, "trainable": bool, "layers": list},
    **{"input_layers": object, "output_layers": object},
}
_SEQUENTIAL = {"name": str, "trainable": bool, "layers": list}


def check_architecture(tree: Any) -> None:
    """Raises unless `tree` describes a model made of what tickets may name.

    Args:
        tree: A JSON tree that `check_tree` accepts, as Keras serialises models, without
            how they were built and compiled.

    Raises:
        InputError: It names another class, or has a key or a value where Keras would
            not put it.
    """
    objects = _count_objects(tree)
    if objects > _MAX_OBJECTS:
        raise fail(
            f"An architecture must have at most {_MAX_OBJECTS} objects.",
            objects=objects,
        )
    _check_model(tree)


def _check_model(tree):
    check_keys("A model", tree, _OBJECT, optional=_IN_GRAPH)
    if not allowed.is_model(tree):
        raise _not_allowed("model", tree)
    if tree["class_name"] == "Sequential":
        _check_sequential(tree["config"])
    else:
        _check_functional(tree["config"])


def _check_sequential(config):
    optional = ("dtype", "build_input_shape")
    check_keys("A Sequential model", config, _SEQUENTIAL, optional)
    _check_dtype(config.get("dtype"))
    _check_plain("build_input_shape", config.get("build_input_shape"))
    for layer in config["layers"]:
        _check_layer(layer)


def _check_functional(config):
    check_keys("A functional model", config, _FUNCTIONAL, optional=())
    _check_ends(config["input_layers"])
    _check_ends(config["output_layers"])
    seen, early = set(), 0
    for layer in config["layers"]:
        _check_layer(layer, _IN_GRAPH)
        seen.add(layer["name"])
        for node in layer["inbound_nodes"]:
            early += len(_check_node(node, layer["name"]) - seen)
    if early * len(config["layers"]) > _MAX_TRIES:
        raise fail(
            "A model's layers must be listed after those that they are called with.",
            listed_before=early,
        )


def _check_node(node, name):
    """Returns the names of the layers that a layer is called with."""
    check_keys("A node", node, {"args": list, "kwargs": dict}, optional=())
    names = set(_check_call([node["args"], node["kwargs"]]))
    if not names:
        # It would be computed while the model is built.
        raise fail("A layer must be called with a tensor of the model.", name=name)
    return names


def _check_layer(tree, in_graph=None):
    check_keys("A layer", tree, {**_OBJECT, **(in_graph or {})}, optional=())
    if allowed.is_model(tree):
        _check_model(tree)
    elif allowed.is_layer(tree):
        _check_constructor(tree)
    else:
        raise _not_allowed("layer", tree)


def _check_constructor(tree):
    config = tree["config"]
    try:
        for key, value in config.items():
            _check_argument(key, value)
    except InputError as error:
        if "name" not in config:  # the layer inside says which
            raise
        raise InputError(f"Layer {config['name']!r}: {error}") from None


def _check_argument(key, value):
    """Checks an argument of a layer's constructor; its name says what it may be."""
    if key == "dtype":
        _check_dtype(value)
    elif key in ("layer", "backward_layer", "cell"):
        _check_layer(value)
    elif key == "cells":
        _check_cells(value)
    elif key == "stateful" and value is not False:
        # What it remembers is made when it is built, and is no weight that counts.
        raise fail("A ticket can hold no layer that is stateful.", stateful=value)
    elif key == "activation" or key.endswith("_activation"):
        _check_activation(value)
    elif key.endswith("_initializer"):
        _check_object("initializer", value, allowed.is_initializer)
    elif key.endswith("_regularizer"):
        _check_object("regularizer", value, _is_in(allowed.REGULARIZERS))
    elif key.endswith("_constraint"):
        _check_object("constraint", value, _is_in(allowed.CONSTRAINTS))
    else:
        _check_plain(key, value)


def _check_cells(cells):
    if not isinstance(cells, list):
        raise fail("'cells' must be a list.", cells=cells)
    for cell in cells:
        _check_layer(cell)


def _check_activation(value):
    is_object = isinstance(value, dict) and OBJECT_KEYS.issubset(value)
    if is_object and isinstance(value["config"], dict):
        _check_layer(value)
        return
    if not isinstance(value, str) or value not in allowed.ACTIVATIONS:
        name = value["config"] if is_object else value
        raise fail("An activation must be one of Keras' own.", activation=name)


def _check_object(what, tree, is_allowed):
    if tree is None:
        return
    check_keys(f"The {what}", tree, _OBJECT_OR_FUNCTION, optional=())
    if not is_allowed(tree):
        raise _not_allowed(what, tree)
    check_keys(f"The {what}", tree, _OBJECT, optional=())
    for key, value in tree["config"].items():
        _check_plain(key, value)


def _check_dtype(value):
    if isinstance(value, dict):
        _check_object("dtype policy", value, _is_in(allowed.POLICIES))
        value = value["config"].get("name")
        known = allowed.POLICY_NAMES
    else:
        known = allowed.DTYPES | {None}
    if isinstance(value, list) or value not in known:
        raise fail("A dtype must be one of Keras' own, not quantized.", dtype=value)


def _check_ends(tree):
    """Checks the structure that says which tensors go in and come out."""
    if isinstance(tree, (list, dict)):
        for child in tree.values() if isinstance(tree, dict) else tree:
            _check_ends(child)
    elif not isinstance(tree, (str, int)):
        raise fail("A model's ends must be names and numbers.", received=tree)


def _check_call(tree):
    """Checks what a layer is called with: tensors and plain values, no strings.

    Returns the names of the layers that the tensors come from.
    """
    if isinstance(tree, dict) and "class_name" in tree:
        return _check_tensor_or_slice(tree)
    if isinstance(tree, (dict, list)):
        if len(tree) > _MAX_ARGUMENTS:
            raise fail(
                f"A layer can be called with at most {_MAX_ARGUMENTS} values at once.",
                values=len(tree),
            )
        children = tree.values() if isinstance(tree, dict) else tree
        return [name for child in children for name in _check_call(child)]
    if isinstance(tree, str):
        # Keras would look it up among the classes that users registered.
        raise fail("A layer cannot be called with a string.", argument=tree)
    return []


def _check_tensor_or_slice(tree):
    check_keys("A tensor", tree, {"class_name": str, "config": object}, optional=())
    if tree["class_name"] == "__keras_tensor__":
        _check_tensor(tree["config"])
        return [tree["config"]["keras_history"][0]]
    if not _is_slice(tree["class_name"], tree["config"]):
        raise fail(
            "A layer can be called with tensors of the model, slices and plain values "
            "only.",
            class_name=tree["class_name"],
        )
    return []


def _check_tensor(config):
    types = {"shape": list, "dtype": str, "keras_history": list}
    check_keys("A tensor", config, types, optional=())
    sizes = all(size is None or type(size) is int for size in config["shape"])
    history = [type(entry) for entry in config["keras_history"]]
    known = config["dtype"] in allowed.DTYPES
    if not (sizes and known and history == [str, int, int]):
        raise fail("A tensor must have sizes, a dtype and a history.", tensor=config)


def _is_slice(class_name, config):
    if class_name == "__ellipsis__":
        return config == {}
    return (
        class_name == "__slice__"
        and isinstance(config, dict)
        and sorted(config) == ["start", "step", "stop"]
        and all(end is None or type(end) is int for end in config.values())
    )


def _count_objects(tree):
    """Counts objects, those of a nested model as often as the model is called."""
    if isinstance(tree, list):
        return sum(_count_objects(child) for child in tree)
    if not isinstance(tree, dict):
        return 0
    nodes = tree.get("inbound_nodes")
    calls = max(1, len(nodes)) if isinstance(nodes, list) else 1
    return ("class_name" in tree) + sum(
        _count_objects(child) * (calls if key == "config" else 1)
        for key, child in tree.items()
    )


def _check_plain(key, value):
    if isinstance(value, list):
        for child in value:
            _check_plain(key, child)
    elif isinstance(value, dict):
        raise fail(
            f"{key!r} must be a plain value.", class_name=value.get("class_name")
        )


def _is_in(names):
    return lambda tree: allowed.is_keras(tree, names)


def _not_allowed(what, tree):
    config = tree["config"]
    return fail(
        f"A ticket can hold no {what} of this class.",
        name=config.get("name") if isinstance(config, dict) else config,
        class_name=".".join(allowed.name_of(tree)),
        registered_name=tree["registered_name"],
    )
