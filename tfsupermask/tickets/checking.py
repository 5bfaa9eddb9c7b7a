"""Checks that an architecture holds nothing but what a ticket may name."""

from __future__ import annotations

from typing import Any

from tfsupermask._validation import InputError, fail
from tfsupermask.tickets import trusted
from tfsupermask.tickets.tree import check_keys

# Ten times what the largest of Keras' own image models has; bounds the time to build.
_MAX_OBJECTS = 100_000
_OBJECT = {"module": str, "class_name": str, "config": dict, "registered_name": object}
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


def is_model(tree: dict[str, Any]) -> bool:
    """Returns whether an object's tree names a model that tickets may name."""
    return _name(tree) in trusted.MODELS and tree["registered_name"] is None


def is_layer(tree: dict[str, Any]) -> bool:
    """Returns whether an object's tree names a layer that tickets may name."""
    if tree["registered_name"] is None:
        return _name(tree) in trusted.LAYERS
    return _is_own(tree) and trusted.is_own_layer(tree["registered_name"])


def is_initializer(tree: dict[str, Any]) -> bool:
    """Returns whether an object's tree names an initializer that tickets may name."""
    if tree["registered_name"] is None:
        return _name(tree) in trusted.INITIALIZERS
    return _is_own(tree) and trusted.is_own_initializer(tree["registered_name"])


def _check_model(tree):
    check_keys("A model", tree, _OBJECT, optional=_IN_GRAPH)
    if not is_model(tree):
        raise _untrusted("model", tree)
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
    for layer in config["layers"]:
        _check_layer(layer, _IN_GRAPH)
        for node in layer["inbound_nodes"]:
            check_keys("A node", node, {"args": list, "kwargs": dict}, optional=())
            _check_call([node["args"], node["kwargs"]])


def _check_layer(tree, in_graph=None):
    check_keys("A layer", tree, {**_OBJECT, **(in_graph or {})}, optional=())
    if is_model(tree):
        _check_model(tree)
    elif is_layer(tree):
        _check_constructor(tree)
    else:
        raise _untrusted("layer", tree)


def _check_constructor(tree):
    try:
        for key, value in tree["config"].items():
            _check_argument(key, value)
    except InputError as error:
        raise InputError(f"Layer {tree['config'].get('name')!r}: {error}") from None


def _check_argument(key, value):
    """Checks an argument of a layer's constructor; its name says what it may be."""
    if key == "dtype":
        _check_dtype(value)
    elif key == "activation":
        _check_activation(value)
    elif key.endswith("_initializer"):
        _check_object("initializer", value, is_initializer)
    elif key.endswith("_regularizer"):
        _check_object("regularizer", value, _is_in(trusted.REGULARIZERS))
    elif key.endswith("_constraint"):
        _check_object("constraint", value, _is_in(trusted.CONSTRAINTS))
    else:
        _check_plain(key, value)


def _check_activation(value):
    if isinstance(value, dict) and isinstance(value.get("config"), dict):
        _check_layer(value)
        return
    name = value.get("config") if isinstance(value, dict) else value
    if not isinstance(value, str) or value not in trusted.ACTIVATIONS:
        raise fail("An activation must be one of Keras' own.", activation=name)


def _check_object(what, tree, is_trusted):
    if tree is None:
        return
    check_keys(f"The {what}", tree, _OBJECT, optional=())
    if not is_trusted(tree):
        raise _untrusted(what, tree)
    for key, value in tree["config"].items():
        _check_plain(key, value)


def _check_dtype(value):
    if isinstance(value, dict):
        _check_object("dtype policy", value, _is_in(trusted.POLICIES))
        value = value["config"].get("name")
        known = trusted.POLICY_NAMES
    else:
        known = trusted.DTYPES | {None}
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
    """Checks what a layer is called with: tensors and plain values, no strings."""
    if isinstance(tree, list):
        for child in tree:
            _check_call(child)
    elif isinstance(tree, dict) and "class_name" in tree:
        _check_tensor(tree)
    elif isinstance(tree, dict):
        for child in tree.values():
            _check_call(child)
    elif isinstance(tree, str):
        # Keras would look it up among the classes that users registered.
        raise fail("A layer cannot be called with a string.", argument=tree)


def _check_tensor(tree):
    check_keys("A tensor", tree, {"class_name": str, "config": object}, optional=())
    if tree["class_name"] != "__keras_tensor__":
        raise fail(
            "A layer can be called with tensors of the model and plain values only.",
            class_name=tree["class_name"],
        )
    config = tree["config"]
    types = {"shape": list, "dtype": str, "keras_history": list}
    check_keys("A tensor", config, types, optional=())
    sizes = all(size is None or type(size) is int for size in config["shape"])
    history = [type(entry) for entry in config["keras_history"]]
    known = config["dtype"] in trusted.DTYPES
    if not (sizes and known and history == [str, int, int]):
        raise fail("A tensor must have sizes, a dtype and a history.", tensor=config)


def _count_objects(tree):
    children = tree.values() if isinstance(tree, dict) else tree
    if not isinstance(tree, (dict, list)):
        return 0
    return ("class_name" in tree) + sum(_count_objects(child) for child in children)


def _check_plain(key, value):
    if isinstance(value, list):
        for child in value:
            _check_plain(key, child)
    elif isinstance(value, dict):
        raise fail(
            f"{key!r} must be a plain value.", class_name=value.get("class_name")
        )


def _name(tree):
    return tree["module"], tree["class_name"]


def _is_own(tree):
    own_name = f"{trusted.OWN_MODULE}>{tree['class_name']}"
    return tree["module"] == trusted.OWN_MODULE and tree["registered_name"] == own_name


def _is_in(names):
    return lambda tree: _name(tree) in names and tree["registered_name"] is None


def _untrusted(what, tree):
    return fail(
        f"A ticket can hold no {what} of this class; other formats can hold the "
        "model without its masks (`fold`, then save as `.keras`).",
        name=tree["config"].get("name"),
        class_name=".".join(_name(tree)),
        registered_name=tree["registered_name"],
    )
