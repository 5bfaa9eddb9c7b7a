import builtins
import copy
import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.applications import convnext, inception_resnet_v2
from keras.src.backend.common import global_state

from tests.tickets import layout
from tfsupermask import layers
from tfsupermask._validation import InputError
from tfsupermask.layers import SignedConstant, SupermaskDense
from tfsupermask.tickets import (
    allowed,
    load_ticket,
    read_ticket_header,
    save_ticket,
)
from tfsupermask.tickets.architecture import build, build_empty, describe

RAN = []


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
SHORT_NAMES = dict.fromkeys(
    [
        *("Dense", "SupermaskDense", "Sequential", "Functional", "InputLayer"),
        *("DTypePolicy", "float32", "linear", "relu", "args", "m", "d", "i"),
    ],
    Marker,
) | {"marker": marker}


@pytest.fixture(autouse=True)
def nothing_runs():
    """Checks that no test made or called what it must not."""
    RAN.clear()
    keras.saving.get_custom_objects().update(SHORT_NAMES)
    yield
    for name in SHORT_NAMES:
        del keras.saving.get_custom_objects()[name]
    assert RAN == []


def thing(module, class_name, registered_name=None, **config):
    return {
        "module": module,
        "class_name": class_name,
        "config": config,
        "registered_name": registered_name,
    }


def layer(class_name, module="keras.layers", registered_name=None, **config):
    return thing(module, class_name, registered_name, **{"name": "x", **config})


def dense(**config):
    config = {"units": 3, "kernel_initializer": zeros(), **config}
    return layer("Dense", **config)


def zeros(**config):
    return thing("keras.initializers", "Zeros", **config)


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


def slice_of(*ends):
    config = dict(zip(("start", "stop", "step"), ends, strict=False))
    return {"class_name": "__slice__", "config": config}


def nested(depth):
    tree = dense()
    for _ in range(depth):
        tree = sequential(tree)
    return tree


PLAIN = [
    sequential(dense()),
    functional(),
    called(training=False),
    sequential(dense(activation="relu")),
    sequential(dense(activation=layer("LeakyReLU", negative_slope=0.2))),
    sequential(dense(dtype="float16")),
    sequential(dense(kernel_regularizer=thing("keras.regularizers", "L2", l2=0.1))),
    sequential(sequential(dense())),
    called(training=None),
]

MARKER = {"module": "builtins", "registered_name": "marker>Marker"}
FUNCTION = thing("builtins", "function", "marker>marker") | {"config": "marker>marker"}
LAMBDA = {"class_name": "__lambda__", "config": {"value": "marker"}}

# They take functions, or make as many tensors or numbers as they are told to.
UNBOUNDED = {
    "core": "Map Scan ForiLoop WhileLoop VectorizedMap Cond Switch Unstack",
    "numpy": "Arange ArraySplit BroadcastTo Full Hsplit Linspace Meshgrid Pad Repeat "
    "Split Tile Vander",
    "nn": "OneHot MultiHot",
    "image": "PadImages Resize",
}

HOSTILE = {
    "can hold no": {
        "os": sequential(layer("system", module="os")),
        "builtins": sequential(layer("eval", module="builtins")),
        "builtins as a model": {**sequential(dense()), **MARKER},
        "registered layer": sequential(layer("Marker", **MARKER)),
        "registered as Dense": sequential(
            layer("Dense", registered_name="marker>Marker", units=3)
        ),
        "registered as Sequential": sequential(
            dense(), registered_name="marker>Marker"
        ),
        "registered as nested": sequential(
            sequential(dense(), registered_name="marker>Marker")
        ),
        "registered as Zeros": sequential(
            dense(kernel_initializer=zeros() | {"registered_name": "marker>Marker"})
        ),
        "registered as L2": sequential(
            dense(bias_regularizer=thing("keras.regularizers", "L2", "marker>Marker"))
        ),
        "registered as NonNeg": sequential(
            dense(bias_constraint=thing("keras.constraints", "NonNeg", "marker>Marker"))
        ),
        "registered as a policy": sequential(
            dense(dtype=thing("keras", "DTypePolicy", "marker>Marker", name="float32"))
        ),
        "registered as an activation": sequential(
            dense(activation=layer("LeakyReLU", registered_name="marker>Marker"))
        ),
        "registered as ours": sequential(
            layer("SupermaskDense", "tfsupermask", "marker>Marker", units=3)
        ),
        "ours by another name": sequential(
            layer(
                "SupermaskDense", "tfsupermask", "tfsupermask>SupermaskConv2D", units=3
            )
        ),
        "ours from another module": sequential(
            layer("SupermaskDense", "os", "tfsupermask>SupermaskDense", units=3)
        ),
        "registered by short name": sequential(
            layer("Dense", registered_name="Dense", units=3)
        ),
        "an initializer as a layer": sequential(zeros(name="x")),
        "a layer as an initializer": sequential(dense(kernel_initializer=dense())),
        "a layer as the model": dense(),
        "lambda layer": sequential(
            layer(
                "Lambda", function={"class_name": "__lambda__", "config": {"value": ""}}
            )
        ),
        "lambda layer by name": sequential(layer("Lambda", function="marker>marker")),
        "SavedModel": sequential(layer("TFSMLayer", filepath="/tmp")),
        "torch": sequential(layer("TorchModuleWrapper", module_bytes="")),
        "jax": sequential(layer("JaxLayer", call_fn="marker")),
        "vocabulary": sequential(layer("StringLookup", vocabulary="/etc/passwd")),
        "text": sequential(layer("TextVectorization", vocabulary="/etc/passwd")),
        "in a wrapper": sequential(wrapper("TimeDistributed", layer("Lambda"))),
        "in a wrapper in a wrapper": sequential(
            wrapper("TimeDistributed", wrapper("TimeDistributed", layer("Lambda")))
        ),
        "registered in a wrapper": sequential(
            wrapper("SpectralNormalization", layer("Marker", **MARKER))
        ),
        "backwards": sequential(
            wrapper("Bidirectional", recurrent("LSTM"), backward_layer=layer("Lambda"))
        ),
        "cell": sequential(layer("RNN", cell=layer("Marker", **MARKER))),
        "cell registered as LSTMCell": sequential(
            layer("RNN", cell=layer("LSTMCell", registered_name="marker>Marker"))
        ),
        "cell in a stack": sequential(
            layer("RNN", cell=layer("StackedRNNCells", cells=[layer("Lambda")]))
        ),
        "in a layer of ours": sequential(supermask(layer("Marker", **MARKER))),
        "a model in a wrapper": sequential(
            wrapper(
                "TimeDistributed",
                sequential(dense(), registered_name="marker>Marker"),
            )
        ),
        "initializer function": sequential(dense(kernel_initializer=FUNCTION)),
        "regularizer function": sequential(dense(kernel_regularizer=FUNCTION)),
        "orthogonal": sequential(
            dense(kernel_initializer=thing("keras.initializers", "Orthogonal"))
        ),
        **{
            f"operation {module}.{name}": sequential(
                layer(name, f"keras.src.ops.{module}")
            )
            for module, names in UNBOUNDED.items()
            for name in names.split()
        },
        "other module of Keras": sequential(
            layer("Dense", "keras.src.layers.core.dense")
        ),
        "quantized policy": sequential(
            dense(dtype=thing("keras", "QuantizedDTypePolicy", mode="int8"))
        ),
        "activation class": sequential(dense(activation=layer("Marker", **MARKER))),
        "constraint": sequential(dense(bias_constraint=thing("keras", "Marker", None))),
    },
    "dtype must be": {
        "quantized dtype": sequential(dense(dtype="int8_from_float32")),
        "unhashable dtype": sequential(dense(dtype=["float32"])),
    },
    "activation must be": {
        "activation": sequential(dense(activation="marker>marker")),
        "activation by short name": sequential(dense(activation="marker")),
        "activation function": sequential(dense(activation=FUNCTION)),
        "activation a number": sequential(dense(activation=3)),
        "no activation": sequential(dense(activation=None)),
        "activation a lambda": sequential(dense(activation=LAMBDA)),
        "recurrent activation": sequential(
            recurrent("LSTM", recurrent_activation="marker>marker")
        ),
        "activation in a wrapper": sequential(
            wrapper("TimeDistributed", dense(activation="marker>marker"))
        ),
        "activation in a cell": sequential(
            layer("RNN", cell=recurrent("GRUCell", activation="marker"))
        ),
    },
    "must be an object": {
        "initializer by name": sequential(dense(kernel_initializer="zeros")),
        "regularizer by name": sequential(dense(kernel_regularizer="marker>marker")),
    },
    "of type dict": {
        "no name": {k: v for k, v in sequential(dense()).items() if k != "config"},
        "config a list": {**sequential(dense()), "config": []},
    },
    "be called with": {
        "called with a name": called("marker>marker"),
        "called with a keyword": called(mask="marker>marker"),
        "called with a lambda": called(LAMBDA),
        "called with an array": called(
            {"class_name": "__numpy__", "config": {"value": [1], "dtype": "float32"}}
        ),
        "called with an empty slice": called(slice_of()),
        "called with a slice of texts": called(slice_of("marker", None, None)),
        "called with a slice of floats": called(slice_of(0.5, None, None)),
        "called with a slice of objects": called(slice_of(zeros(), None, None)),
        "called with much": called([None] * 10_001),
        "called with no tensor": functional(lambda _: {"args": [[[1]]], "kwargs": {}}),
        "called with bytes": called(
            {"class_name": "__bytes__", "config": {"value": ""}}
        ),
    },
    "tensor must have|has keys": {
        "called with a function": called(FUNCTION),
        "called with a typespec": called(
            {"class_name": "__typespec__", "spec_name": "x", "config": []}
        ),
    },
    "has keys that it must not have": {
        "build_config": sequential(
            {**dense(), "build_config": {"input_shape": [1, 2]}}
        ),
        "compile_config": sequential(dense(), compile_config={"loss": "marker>marker"}),
        "shared object": sequential({**dense(), "shared_object_id": 1}),
        "custom_objects": functional(custom_objects={"Dense": "marker"}),
    },
    "of type": {
        "no module": sequential({k: v for k, v in dense().items() if k != "module"}),
        "layers a dict": sequential(dense())
        | {"config": {"name": "m", "trainable": True, "layers": {}}},
    },
    "must be a plain value": {
        "object as a size": sequential(dense(units=zeros())),
        "dict as a size": sequential(dense(units={"a": 1})),
        "object in a list": sequential(dense(units=[zeros()])),
        "seed an object": sequential(dense(kernel_initializer=zeros(seed=zeros()))),
    },
    "stateful": {
        "states of a petabyte": sequential(
            recurrent("LSTM", stateful=True), shape=(2, 2), batch=10**15
        ),
        "states of a wrapped layer": sequential(
            wrapper("Bidirectional", recurrent("GRU", stateful=1)), shape=(2, 2)
        ),
    },
    "must be an object|must be a list|must be a plain": {
        "layer by name": sequential(layer("TimeDistributed", layer="marker>marker")),
        "cell by name": sequential(layer("RNN", cell="marker>marker")),
        "cells in a cell": sequential(layer("RNN", cell=[recurrent("LSTMCell")])),
        "cells by name": sequential(layer("StackedRNNCells", cells="marker")),
        "layer elsewhere": sequential(dense(name=layer("Lambda"))),
    },
    "ends must be": {
        "ends an object": functional(output_layers=[zeros()]),
        "ends a float": functional(output_layers=["x", 0.5, 0]),
    },
    "layers must make a": {
        "unknown argument": sequential(dense(marker=1)),
        "size a string": sequential(dense(units="3")),
        "negative size": sequential(dense(units=-3)),
        "loop": called() | {"config": functional(input_layers=["x", 0, 0])["config"]},
        "unknown tensor": functional(output_layers=["x", 7, 0]),
        "unknown layer": functional(output_layers=["y", 0, 0]),
        "wrapper in a wrapper": sequential(
            wrapper("Bidirectional", wrapper("Bidirectional", recurrent("LSTM"))),
            shape=(2, 2),
        ),
        "no cell": sequential(layer("RNN", cell=dense()), shape=(2, 2)),
        "never built": thing(
            "keras", "Sequential", name="m", trainable=True, layers=[]
        ),
    },
    "64 levels deep": {
        "deep": nested(25),
    },
    "weights that the header says": {
        "huge": sequential(dense(units=10**12)),
        "huge in the middle": sequential(dense(units=10**10), dense(units=1, name="y")),
        "huge beyond 64 bits": sequential(
            dense(units=2**62), dense(units=2**62, name="y")
        ),
        "huge statistics": sequential(layer("Normalization"), shape=(10**12,)),
        "huge cell": sequential(
            layer("RNN", cell=recurrent("LSTMCell", units=10**9)), shape=(2, 2)
        ),
        "huge layer in a wrapper": sequential(
            wrapper("TimeDistributed", dense(units=10**12)), shape=(2, 2)
        ),
        "huge mask": sequential(
            layer(
                "SupermaskDense",
                "tfsupermask",
                "tfsupermask>SupermaskDense",
                units=2**40,
            )
        ),
        "huge embedding": sequential(
            layer("Embedding", input_dim=10**9, output_dim=10**9)
        ),
    },
}
HUGE = HOSTILE["weights that the header says"]["huge"]
HUGE_CONSTANTS = sequential(
    layer("Normalization", mean=0.0, variance=1.0), shape=(10**12,)
)


def put(path, tree, num_parameters=9):
    """Replaces the architecture of a ticket."""
    header, contents = layout.read(path)
    header["num_parameters"] = num_parameters
    layout.write(path, header, [json.dumps(tree).encode(), *contents[1:]])


@pytest.mark.parametrize("tree", PLAIN, ids=range(len(PLAIN)))
def test_the_trees_that_these_tests_change_are_sound(tree):
    assert build(tree).built
    assert build_empty(tree)[0].count_params() in (9, 0)


@pytest.mark.parametrize(
    ("name", "message"),
    [(name, message) for message, trees in HOSTILE.items() for name in trees],
)
def test_hostile_architectures_are_refused(name, message, small):
    put(small, HOSTILE[message][name])
    with pytest.raises(InputError, match=message):
        load_ticket(small)


def test_constants_count_as_well(small):
    put(small, HUGE_CONSTANTS, num_parameters=0)
    with pytest.raises(InputError, match="constants=2000000000000"):
        load_ticket(small)


def test_layers_that_no_output_needs_count_as_well(small):
    tree = functional()
    entry, needed = tree["config"]["layers"]
    unused = {**needed, **dense(name="y", units=10**12), "name": "y"}
    tree["config"]["layers"] = [entry, needed, unused]
    put(small, tree)
    with pytest.raises(InputError, match="constants=3000000000000"):
        load_ticket(small)


def test_models_that_call_each_other_are_refused_at_once(small):
    """Ten levels of a hundred calls each are 10²⁰ calls."""
    tree = functional()
    for _ in range(10):
        outer = functional()
        entry, inner = outer["config"]["layers"]
        nodes = inner["inbound_nodes"] * 100
        inner = {**tree, "name": "x", "inbound_nodes": nodes}
        outer["config"]["layers"] = [entry, inner]
        tree = outer
    put(small, tree)
    with pytest.raises(InputError, match="at most 100000 objects"):
        load_ticket(small)


def chain(length, order):
    """A model of layers one after the other, listed in that order or against it."""
    tree = functional()
    entry, last = tree["config"]["layers"]
    listed = []
    for place in range(length):
        before = f'"{place - 1}"' if place else '"i"'
        nodes = json.loads(json.dumps(last["inbound_nodes"]).replace('"i"', before))
        relu = layer("ReLU", name=str(place))
        listed.append({**relu, "name": str(place), "inbound_nodes": nodes})
    config = tree["config"]
    config |= {"layers": [entry, *listed[::order]]}
    config |= {"output_layers": [str(length - 1), 0, 0]}
    return tree


def test_layers_may_be_listed_in_any_order_up_to_a_number():
    for tree in (chain(100, 1), chain(100, -1)):
        assert len(build(tree).layers) == 101
    allowed.check_architecture(chain(2000, 1))
    with pytest.raises(InputError, match=r"listed after.*listed_before=1999"):
        build(chain(2000, -1))


def test_supermask_versions_of_any_layer_are_made():
    assert build(sequential(supermask(dense()))).count_params() == 9 + 6 + 1
    inner = wrapper("TimeDistributed", supermask(dense(), score_initializer=zeros()))
    assert build(sequential(inner, shape=(2, 2))).count_params() == 9 + 6 + 1


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (supermask(layer("Lambda")), "Layer 'x': A ticket can hold no layer"),
        (supermask(layer("Marker", **MARKER)), "no layer"),
        (supermask(dense(activation="marker")), "one of Keras' own"),
        (supermask(dense(), score_initializer=FUNCTION), "no initializer"),
        (supermask(dense(), method=zeros()), "plain value"),
        ({**supermask(dense()), "class_name": "MarkerDense"}, "no layer"),
        ({**supermask(dense()), "module": "os"}, "no layer"),
    ],
)
def test_supermask_versions_of_other_layers_are_refused(tree, message):
    with pytest.raises(InputError, match=message):
        build(sequential(tree))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e400", "123456789" * 3])
def test_numbers_must_be_finite(small, number):
    header, contents = layout.read(small)
    text = json.dumps(sequential(dense(units=424242))).replace("424242", number)
    layout.write(small, header, [text.encode(), *contents[1:]])
    with pytest.raises(InputError, match=r"finite|64 bits"):
        load_ticket(small)


def test_whatever_is_refused_takes_no_memory_later(small):
    """Keras initialises what it finds on its list when another scope ends."""
    put(small, HUGE, num_parameters=3 * 10**12)
    with pytest.raises(InputError, match="max_parameters"):
        load_ticket(small)
    put(small, HUGE)
    with pytest.raises(InputError, match="num_parameters=3000000000000"):
        load_ticket(small)
    assert not global_state.get_global_attribute("uninitialized_variables")
    with keras.StatelessScope():
        pass


def test_a_model_of_too_many_layers_is_refused(small, monkeypatch):
    put(small, sequential(*[dense()] * 20))
    monkeypatch.setattr(allowed, "_MAX_OBJECTS", 41)
    with pytest.raises(InputError, match=r"at most 41 objects.*42"):
        load_ticket(small)


def test_a_class_registered_in_place_of_ours_is_not_made(small, monkeypatch):
    name = "tfsupermask>SupermaskDense"
    monkeypatch.setitem(keras.saving.get_custom_objects(), name, Marker)
    with pytest.raises(InputError, match=r"no layer of this class.*SupermaskDense"):
        load_ticket(small)


def test_an_initializer_registered_in_place_of_ours_is_not_made(monkeypatch):
    name = "tfsupermask>SignedConstant"
    monkeypatch.setitem(keras.saving.get_custom_objects(), name, Marker)
    signed = thing("tfsupermask", "SignedConstant", name, scale=2.0, seed=0)
    with pytest.raises(InputError, match=r"no initializer.*SignedConstant"):
        build(sequential(dense(kernel_initializer=signed)))


def test_our_initializer_needs_no_other_import(tmp_path):
    signed = SignedConstant(seed=1)
    layers = [keras.Input((3,)), SupermaskDense(2, kernel_initializer=signed)]
    save_ticket(keras.Sequential(layers), tmp_path / "a.ticket")
    code = "import sys, tfsupermask as t; print(t.load_ticket(sys.argv[1]).version)"
    command = [sys.executable, "-c", code, str(tmp_path / "a.ticket")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "2\n", done.stderr


def test_activations_are_those_of_keras():
    for name in allowed.ACTIVATIONS:
        assert keras.activations.serialize(keras.activations.get(name)) == name


MADE = {
    **{name: {"size": 2} for name in ("UpSampling1D", "UpSampling2D", "UpSampling3D")},
    **{
        f"{kind}Pooling{d}D": {"pool_size": 2}
        for kind in ("Average", "Max")
        for d in "123"
    },
    **{f"Conv{d}D": {"filters": 2, "kernel_size": 2} for d in "123"},
    **{f"Conv{d}DTranspose": {"filters": 2, "kernel_size": 2} for d in "123"},
    **{f"DepthwiseConv{d}D": {"kernel_size": 2} for d in "12"},
    **{f"SeparableConv{d}D": {"filters": 2, "kernel_size": 2} for d in "12"},
    **{f"SpatialDropout{d}D": {"rate": 0.5} for d in "123"},
    **{name: {"rate": 0.5} for name in ("AlphaDropout", "Dropout", "GaussianDropout")},
    "Activation": {"activation": "selu"},
    "Dense": {"units": 2, "bias_regularizer": "l1", "kernel_constraint": "max_norm"},
    "EinsumDense": {"equation": "abc,cd->abd", "output_shape": (None, 3)},
    "Embedding": {"input_dim": 5, "output_dim": 2},
    "GaussianNoise": {"stddev": 0.5},
    "GroupNormalization": {"groups": 2},
    "Dot": {"axes": 2},
    "MultiHeadAttention": {"num_heads": 2, "key_dim": 2},
    "Normalization": {"mean": [1.0, 2.0, 3.0, 4.0], "variance": [1.0] * 4},
    "Permute": {"dims": (2, 1)},
    "RepeatVector": {"n": 2},
    "Rescaling": {"scale": [1.0, 2.0, 3.0, 4.0], "offset": -1},
    "Reshape": {"target_shape": (-1, 2)},
    "LayerScale": {"init_values": 0.1, "projection_dim": 4},
    "CustomScaleLayer": {"scale": 0.2},
}
MADE |= {
    **{name: {"units": 2} for name in ("GRU", "LSTM", "SimpleRNN")},
    **{name: {"units": 4} for name in ("GRUCell", "LSTMCell", "SimpleRNNCell")},
    **{f"ConvLSTM{d}D": {"filters": 2, "kernel_size": 2} for d in "123"},
    "RNN": {"cell": [keras.layers.LSTMCell(2), keras.layers.GRUCell(3, dropout=0.5)]},
    "StackedRNNCells": {"cells": [keras.layers.SimpleRNNCell(4)]},
    "Bidirectional": {"layer": keras.layers.LSTM(2, recurrent_dropout=0.5)},
    "TimeDistributed": {"layer": keras.Sequential([keras.layers.Dense(2)])},
    "SpectralNormalization": {"layer": keras.layers.Dense(2)},
    "GroupQueryAttention": {
        **{"head_dim": 2, "num_query_heads": 4, "num_key_value_heads": 2}
    },
    "CategoryEncoding": {"num_tokens": 3},
    **{
        name: {"height": 3, "width": 3}
        for name in ("CenterCrop", "RandomCrop", "Resizing")
    },
    **{
        f"Random{kind}": {"factor": 0.5}
        for kind in (
            *("Brightness", "ColorDegeneration", "Contrast", "Hue", "Rotation"),
            *("Saturation", "Sharpness"),
        )
    },
    "RandomPosterization": {"factor": 4},
    "RandomTranslation": {"height_factor": 0.5, "width_factor": 0.5},
    "RandomZoom": {"height_factor": 0.5},
}
PAIRS = {"Add", "Average", "Concatenate", "Dot", "Maximum", "Minimum", "Multiply"}
PAIRS |= {"Subtract", "AdditiveAttention", "Attention"}
CELLS = ("GRUCell", "LSTMCell", "SimpleRNNCell", "StackedRNNCells")
SPATIAL = ("AutoContrast", "CenterCrop", "Resizing", "Solarization")
RANKS = {"RepeatVector": 0, "CategoryEncoding": 0, **dict.fromkeys(CELLS, 0)}
RANKS |= dict.fromkeys(SPATIAL, 2)


def connect(name):
    """Connects a layer to an input of a rank that it takes."""
    rank = next((int(d) for d in "123" if f"{d}D" in name), 1)
    rank = 2 if name.startswith("Random") else RANKS.get(name, rank)
    rank += name.startswith("ConvLSTM")
    inputs = keras.Input((*[6] * rank, 3 if rank == 2 else 4))
    if name == "LayerScale":
        made = convnext.LayerScale(**MADE[name], name="layer_scale")
    elif name == "CustomScaleLayer":
        made = inception_resnet_v2.CustomScaleLayer(**MADE[name])
        return inputs, made([inputs, inputs])
    else:
        made = getattr(keras.layers, name)(**MADE.get(name, {}))
    if name in ("MultiHeadAttention", "GroupQueryAttention"):
        return inputs, made(inputs, inputs)
    if name in CELLS:
        return inputs, made(inputs, [inputs] * (1 + name.startswith("LSTM")))[0]
    return inputs, made([inputs, inputs] if name in PAIRS else inputs)


PLAIN_OPERATIONS = """absolute all any arctan argmax argmin ceil cos cosh erf exp expm1
flip floor isfinite isinf isnan log log10 log1p log2 logical_not logsumexp max mean min
negative ones_like prod ravel reciprocal round rsqrt sign sin sinh sort sqrt square
std stop_gradient sum tan tanh transpose var zeros_like
celu elu gelu glu hard_shrink hard_sigmoid hard_silu hard_tanh leaky_relu log_sigmoid
log_softmax normalize relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign
sparse_plus sparse_sigmoid sparsemax squareplus tanh_shrink"""
PAIR_OPERATIONS = """add arctan2 divide divide_no_nan dot equal floor_divide greater
greater_equal less less_equal logaddexp logical_and logical_or logical_xor matmul
maximum minimum mod multiply not_equal power subtract true_divide"""


def operate(x):
    """Returns what each operation that a ticket may name makes of a square matrix."""
    ops = keras.ops
    return [
        *(getattr(ops, name)(x) for name in PLAIN_OPERATIONS.split()),
        *(getattr(ops, name)(x, x) for name in PAIR_OPERATIONS.split()),
        *(x[:, 1], x[..., ::2], x[:, None, 1:-1], x + 1, 2 / x, x @ x, -x, abs(x) > 0),
        *(ops.clip(x, 0.2, 0.8), ops.threshold(x, 0.5, 0.1), ops.cast(x, "int32")),
        *(
            ops.concatenate([x, x], axis=-1),
            ops.stack([x, x]),
            *(ops.where(x > 0.5, x, 0), ops.norm(x, axis=-1)),
        ),
        *(ops.cumsum(x, axis=1), ops.cumprod(x, axis=1), ops.roll(x, 2, axis=1)),
        *(ops.expand_dims(x, 1), ops.squeeze(ops.expand_dims(x, 1), 1)),
        *(ops.reshape(x, (-1, 16)), ops.transpose(x, (0, 2, 1)), ops.mean(x, (1, 2))),
        *(ops.moveaxis(x, 1, 2), ops.swapaxes(x, 1, 2), *ops.top_k(x, 2)),
        *(
            ops.take(x, [0, 2], axis=1),
            ops.take_along_axis(x, ops.cast(x, "int32"), axis=1),
        ),
    ]


def test_every_operation_that_a_ticket_may_name_comes_back(tmp_path):
    x = keras.Input((4, 4))
    model = keras.Model(x, operate(x))
    described = {
        (tree["module"], tree["class_name"])
        for tree in describe(model)["config"]["layers"]
    }
    operations = {pair for pair in allowed.CLASSES["layer"] if ".ops." in pair[0]}
    assert described == operations | {("keras.layers", "InputLayer")}
    loaded = load_ticket(save_ticket(model, tmp_path / "a.ticket")).model
    inputs = np.random.default_rng(0).random((2, 4, 4), np.float32)
    for found, expected in zip(loaded(inputs), model(inputs), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_every_layer_that_a_ticket_may_name_comes_back(tmp_path):
    names = {pair for pair in allowed.CLASSES["layer"] if ".ops." not in pair[0]}
    ends = [connect(name) for _, name in sorted(names) if name != "InputLayer"]
    model = keras.Model([a for a, _ in ends], [b for _, b in ends])
    described = {
        (tree["module"], tree["class_name"])
        for tree in describe(model)["config"]["layers"]
    }
    assert described == names
    path = save_ticket(model, tmp_path / "a.ticket")
    names = {part["name"] for part in read_ticket_header(path)["parts"]}
    assert "layer_scale/variable" in names  # without Keras' running number
    loaded = load_ticket(path).model
    rng = np.random.default_rng(0)
    inputs = [rng.random((2, *a.shape[1:]), np.float32) for a, _ in ends]
    results = (each(inputs, training=False) for each in (loaded, model))
    for found, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(found, expected)


class Subclass(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.SupermaskDense(3)

    def call(self, inputs):
        return self.dense(inputs)


def subclassed():
    model = Subclass()
    model(np.zeros((1, 2)))
    return model


def shared():
    first = keras.layers.Dense(2, name="first")
    inner_input = keras.Input((2,))
    inner = keras.Model(inner_input, first(inner_input), name="inner")
    inputs = keras.Input((2,))
    return keras.Model(inputs, inner(first(inputs)), name="outer")


def with_constant():
    inputs = keras.Input((2,))
    return keras.Model(inputs, inputs + np.ones(2, np.float32))


def split():
    inputs = keras.Input((2,))
    return keras.Model(inputs, keras.ops.split(inputs, 2, axis=-1))


def of(*layers):
    return keras.Sequential([keras.Input((2,)), *layers])


class Unregistered(keras.layers.Layer):
    """Of no package, and of `__main__` as far as Keras is told."""


Unregistered.__module__ = "__main__"


@keras.saving.register_keras_serializable("keras_hub")
class Composite(keras.layers.Layer):
    """Stands for the layers of other packages, made of many."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.SupermaskDense(2)

    def build(self, shape):
        self.dense.build(shape)

    def call(self, inputs):
        return self.dense(inputs)


class Unserialisable(keras.layers.Layer):
    """A layer whose config holds what no file can."""

    def __init__(self, function, **kwargs):
        super().__init__(**kwargs)
        self.function = function

    def get_config(self):
        return {**super().get_config(), "function": self.function}


class Failing(keras.layers.Layer):
    """A layer whose config is broken."""

    def get_config(self):
        raise AttributeError("no config")


def local():
    class Local(keras.layers.Layer):
        pass

    return of(Local(name="odd"))


def odd(inputs):
    return inputs


odd.__module__ = "__main__"

ELSEWHERE = r"^The model does not fit in a ticket: `fold` it .*masks as `\.keras`.*"
REFUSED = {
    "subclassed": (subclassed, "no model of this class.*Subclass"),
    "lambda": (
        lambda: of(keras.layers.Lambda(tf.abs, name="odd")),
        "fold.*keras.*name='odd'.*keras.layers.Lambda",
    ),
    "class of __main__": (
        lambda: of(Unregistered(name="odd")),
        ELSEWHERE + r"no layer.*name='odd'.*'__main__\.Unregistered'",
    ),
    "local class": (local, ELSEWHERE + r"no layer.*'odd'.*Local.*'Local'"),
    "registered class": (lambda: of(Composite()), ELSEWHERE + "keras_hub>Composite"),
    "class in a wrapper": (
        lambda: keras.Sequential(
            [
                keras.Input((2, 2)),
                keras.layers.TimeDistributed(Unregistered(name="odd"), name="outer"),
            ]
        ),
        ELSEWHERE + "Layer 'outer': A ticket can hold no layer.*'odd'",
    ),
    "own activation": (
        lambda: of(keras.layers.Dense(2, activation=marker, name="odd")),
        ELSEWHERE + r"Layer 'odd': An activation must be.*marker",
    ),
    "activation of __main__": (
        lambda: of(keras.layers.Dense(2, activation=odd, name="d")),
        ELSEWHERE + r"Layer 'd': An activation must be.*odd",
    ),
    "lambda as activation": (
        lambda: of(keras.layers.Dense(2, activation=lambda x: x, name="odd")),
        ELSEWHERE + "Layer 'odd': An activation must be",
    ),
    "object as activation": (
        lambda: of(keras.layers.Dense(2, activation=Marker.call)),
        ELSEWHERE + "An activation must be",
    ),
    "own regularizer": (
        lambda: of(keras.layers.Dense(2, kernel_regularizer=odd, name="d")),
        ELSEWHERE + "Layer 'd': A ticket can hold no regularizer.*odd",
    ),
    "no config": (lambda: of(Failing()), "`get_config` of plain values.*no config"),
    "unserialisable": (
        lambda: of(Unserialisable(object())),
        "`get_config` of plain values.*Cannot serialize",
    ),
    "stateful": (
        lambda: keras.Sequential(
            [keras.Input((2, 2), batch_size=2), keras.layers.LSTM(2, stateful=True)]
        ),
        ELSEWHERE + "no layer that is stateful",
    ),
    "shared": (shared, "two models share.*first.*inner"),
    "constant": (with_constant, ELSEWHERE + "tensors of the model, slices"),
    "split": (split, ELSEWHERE + "no layer of this class.*Split"),
    "unbuilt": (lambda: keras.Sequential([layers.SupermaskDense(2)]), "built"),
    "no model": (lambda: layers.SupermaskDense(2), "built Keras model"),
}


@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`")
@pytest.mark.parametrize("name", REFUSED)
def test_models_that_tickets_cannot_hold_are_refused(name, tmp_path):
    make, message = REFUSED[name]
    model = make()
    RAN.clear()
    with pytest.raises(InputError, match=message):
        save_ticket(model, tmp_path / "a.ticket")
    assert list(tmp_path.iterdir()) == []


def odd_initializer(shape, dtype=None):
    return keras.ops.ones(shape, dtype)


odd_initializer.__module__ = "__main__"


def test_unknown_initializers_are_left_out(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((2,)),
            layers.SupermaskDense(
                3,
                kernel_initializer=keras.initializers.Orthogonal(seed=0),
                score_initializer=odd_initializer,
            ),
        ]
    )
    loaded = load_ticket(save_ticket(model, tmp_path / "a.ticket")).model
    expected = model.layers[0].kernel * model.layers[0].mask
    np.testing.assert_array_equal(loaded.layers[0].kernel, expected)


def test_loading_opens_no_other_file(small, monkeypatch):
    opened = []
    original = builtins.open

    def spy(file, *args, **kwargs):
        opened.append(str(file))
        return original(file, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", spy)
    load_ticket(small)
    assert set(opened) <= {str(small)}


def test_checking_changes_nothing():
    for tree in PLAIN:
        before = copy.deepcopy(tree)
        build(tree)
        assert tree == before
