"""JSON trees as Keras writes them, and classes that nothing in them may reach."""

import functools
import json
import tempfile

import keras

from tests.tickets import layout
from tfsupermask.layers import SupermaskDense
from tfsupermask.tickets import save_ticket

RAN = []


@functools.cache
def small_ticket():
    """Returns the bytes of a ticket of a 2×3 kernel, half of it kept."""
    keras.utils.set_random_seed(0)
    layer = SupermaskDense(3, use_bias=True, name="d")
    model = keras.Sequential([keras.Input((2,), name="i"), layer], name="m")
    with tempfile.TemporaryDirectory() as folder:
        path = save_ticket(model, f"{folder}/s.ticket", class_names=["a", "b", "c"])
        return path.read_bytes()


@keras.saving.register_keras_serializable("marker")
class Marker(keras.layers.Layer):
    """Stands for any class that a user registered: it must never be made."""

    def __init__(self, *args, **kwargs):
        RAN.append("made")
        super().__init__()

    def __call__(self, *args, **kwargs):
        RAN.append("called")
        return args[0]


@keras.saving.register_keras_serializable("marker")
def marker(*args, **kwargs):
    """Likewise for functions."""
    RAN.append("called")
    return args[0]


# Legacy registration without a package. Not "Zeros" and the like, which Keras' own
# constructors look up.
_SHORT_NAMES = """Dense SupermaskDense Sequential Functional InputLayer DTypePolicy
float32 linear relu args m d i"""
SHORT_NAMES = dict.fromkeys(_SHORT_NAMES.split(), Marker) | {"marker": marker}

MARKER = {"module": "builtins", "registered_name": "marker>Marker"}
REGISTERED = {"registered_name": "marker>Marker"}


def thing(module, class_name, registered_name=None, **config):
    return {
        "module": module,
        "class_name": class_name,
        "config": config,
        "registered_name": registered_name,
    }


FUNCTION = thing("builtins", "function", "marker>marker") | {"config": "marker>marker"}
LAMBDA = {"class_name": "__lambda__", "config": {"value": "marker"}}


def layer(class_name, module="keras.layers", registered_name=None, **config):
    return thing(module, class_name, registered_name, **{"name": "x", **config})


def dense(**config):
    config = {"units": 3, "kernel_initializer": zeros(), **config}
    return layer("Dense", **config)


def zeros(**config):
    return thing("keras.initializers", "Zeros", **config)


def wrapper(class_name, inner, **config):
    return layer(class_name, layer=inner, **config)


def recurrent(class_name, **config):
    return layer(class_name, **{"units": 2, **config})


def supermask(inner, **config):
    """A supermask version of any layer, as this package stores it."""
    return layer(
        f"Supermask{inner['class_name']}",
        "tfsupermask",
        "tfsupermask>Supermask",
        **{"layer": inner, "sparsity": 0.5, "method": "edge_popup", **config},
    )


def ours(class_name="SupermaskDense", module="tfsupermask", name=None, units=3):
    """A supermask layer with a class of its own, perhaps by another's name."""
    return layer(class_name, module, name or f"tfsupermask>{class_name}", units=units)


def sequential(*inner, shape=(2,), batch=None, **changes):
    entry = layer("InputLayer", name="i", batch_shape=[batch, *shape], dtype="float32")
    config = {"name": "m", "trainable": True, "layers": [entry, *inner]}
    return {**thing("keras", "Sequential", **config), **changes}


def functional(node=None, **changes):
    tensor = {"shape": [None, 2], "dtype": "float32", "keras_history": ["i", 0, 0]}
    tensor = {"class_name": "__keras_tensor__", "config": tensor}
    node = {"args": [tensor], "kwargs": {}} if node is None else node(tensor)
    entry = layer("InputLayer", name="i", batch_shape=[None, 2], dtype="float32")
    inner = [
        {**entry, "name": "i", "inbound_nodes": []},
        {**dense(), "name": "x", "inbound_nodes": [node]},
    ]
    config = {"name": "m", "trainable": True, "layers": inner}
    config |= {"input_layers": ["i", 0, 0], "output_layers": ["x", 0, 0]}
    return thing("keras.src.models.functional", "Functional", **{**config, **changes})


def called(*args, **kwargs):
    return functional(lambda tensor: {"args": [tensor, *args], "kwargs": kwargs})


def with_idle_layer():
    """A model with 3·10¹² weights in a layer that no output needs."""
    tree = functional()
    needed = tree["config"]["layers"][1]
    unused = {**needed, **dense(name="y", units=10**12), "name": "y"}
    tree["config"]["layers"].append(unused)
    return tree


def calling(levels):
    """A model that calls another a hundred times, which does the same."""
    tree = functional()
    for _ in range(levels):
        outer = functional()
        entry, inner = outer["config"]["layers"]
        nodes = inner["inbound_nodes"] * 100
        inner = {**tree, "name": "x", "inbound_nodes": nodes}
        outer["config"]["layers"] = [entry, inner]
        tree = outer
    return tree


def slice_of(*ends):
    config = dict(zip(("start", "stop", "step"), ends, strict=False))
    return {"class_name": "__slice__", "config": config}


def nested(depth):
    tree = dense()
    for _ in range(depth):
        tree = sequential(tree)
    return tree


def without(key, tree):
    return {other: value for other, value in tree.items() if other != key}


def put(path, tree, num_parameters=9):
    """Replaces the architecture of a ticket."""
    header, contents = layout.read(path)
    header["num_parameters"] = num_parameters
    layout.write(path, header, [json.dumps(tree).encode(), *contents[1:]])
