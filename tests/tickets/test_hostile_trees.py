"""Architectures from strangers: nothing of them runs, and nothing grows."""

import builtins
import copy
import json
from unittest import mock

import keras
import pytest
from keras.src.backend.common import global_state

from tests.tickets import layout
from tests.tickets.trees import (
    FUNCTION,
    LAMBDA,
    MARKER,
    REGISTERED,
    Marker,
    called,
    dense,
    functional,
    layer,
    nested,
    ours,
    put,
    recurrent,
    sequential,
    slice_of,
    supermask,
    thing,
    without,
    wrapper,
    zeros,
)
from tfsupermask._validation import InputError
from tfsupermask.tickets import allowed, load_ticket
from tfsupermask.tickets.architecture import build, build_empty

pytestmark = pytest.mark.usefixtures("nothing_runs")

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

# They take functions, or make as many tensors or numbers as they are told to.
UNBOUNDED = {
    "core": "Map Scan ForiLoop WhileLoop VectorizedMap Cond Switch Unstack",
    "numpy": "Arange ArraySplit BroadcastTo Full Hsplit Linspace Meshgrid Pad Repeat "
    "Split Tile Vander",
    "nn": "OneHot MultiHot",
    "image": "PadImages Resize",
}
OPERATIONS = [
    layer(name, f"keras.src.ops.{module}")
    for module, names in UNBOUNDED.items()
    for name in names.split()
]
HUGE = sequential(dense(units=10**12))

# Each by what the error says.
MODELS = {
    "can hold no": [
        {**sequential(dense()), **MARKER},
        sequential(dense(), **REGISTERED),
        dense(),
    ],
    "of type dict": [
        without("config", sequential(dense())),
        {**sequential(dense()), "config": []},
    ],
    "of type": [
        sequential(without("module", dense())),
        thing("keras", "Sequential", name="m", trainable=True, layers={}),
    ],
    "be called with": [
        called(mask="marker>marker"),
        functional(lambda _: {"args": [[[1]]], "kwargs": {}}),
    ],
    "has keys that it must not have": [
        sequential({**dense(), "build_config": {"input_shape": [1, 2]}}),
        sequential(dense(), compile_config={"loss": "marker>marker"}),
        sequential({**dense(), "shared_object_id": 1}),
        functional(custom_objects={"Dense": "marker"}),
    ],
    "stateful": [
        # States of a petabyte.
        sequential(recurrent("LSTM", stateful=True), shape=(2, 2), batch=10**15),
        sequential(
            wrapper("Bidirectional", recurrent("GRU", stateful=1)), shape=(2, 2)
        ),
    ],
    "ends must be": [
        functional(output_layers=[zeros()]),
        functional(output_layers=["x", 0.5, 0]),
    ],
    "layers must make a": [
        called() | {"config": functional(input_layers=["x", 0, 0])["config"]},  # a loop
        functional(output_layers=["x", 7, 0]),
        functional(output_layers=["y", 0, 0]),
        sequential(
            wrapper("Bidirectional", wrapper("Bidirectional", recurrent("LSTM"))),
            shape=(2, 2),
        ),
        sequential(layer("RNN", cell=dense()), shape=(2, 2)),
        thing("keras", "Sequential", name="m", trainable=True, layers=[]),
    ],
    "64 levels deep": [nested(25)],
    "weights that the header says": [
        HUGE,
        sequential(dense(units=10**10), dense(units=1, name="y")),
        sequential(dense(units=2**62), dense(units=2**62, name="y")),
        sequential(layer("Normalization"), shape=(10**12,)),
        sequential(layer("RNN", cell=recurrent("LSTMCell", units=10**9)), shape=(2, 2)),
        sequential(wrapper("TimeDistributed", dense(units=10**12)), shape=(2, 2)),
        sequential(ours(units=2**40)),
        sequential(layer("Embedding", input_dim=10**9, output_dim=10**9)),
    ],
}
LAYERS = {
    "can hold no": [
        *OPERATIONS,
        layer("system", module="os"),
        layer("eval", module="builtins"),
        layer("Marker", **MARKER),
        layer("Dense", **REGISTERED, units=3),
        layer("Dense", registered_name="Dense", units=3),
        layer("Dense", "keras.src.layers.core.dense"),
        sequential(dense(), **REGISTERED),
        zeros(name="x"),
        ours(name="marker>Marker"),
        ours(name="tfsupermask>SupermaskConv2D"),
        ours(module="os"),
        layer("Lambda", function={"class_name": "__lambda__", "config": {"value": ""}}),
        layer("Lambda", function="marker>marker"),
        layer("TFSMLayer", filepath="/tmp"),
        layer("TorchModuleWrapper", module_bytes=""),
        layer("JaxLayer", call_fn="marker"),
        layer("StringLookup", vocabulary="/etc/passwd"),
        layer("TextVectorization", vocabulary="/etc/passwd"),
        wrapper("TimeDistributed", layer("Lambda")),
        wrapper("TimeDistributed", wrapper("TimeDistributed", layer("Lambda"))),
        wrapper("TimeDistributed", sequential(dense(), **REGISTERED)),
        wrapper("SpectralNormalization", layer("Marker", **MARKER)),
        wrapper("Bidirectional", recurrent("LSTM"), backward_layer=layer("Lambda")),
        layer("RNN", cell=layer("Marker", **MARKER)),
        layer("RNN", cell=layer("LSTMCell", **REGISTERED)),
        layer("RNN", cell=layer("StackedRNNCells", cells=[layer("Lambda")])),
        supermask(layer("Marker", **MARKER)),
        {**supermask(dense()), "class_name": "MarkerDense"},
        {**supermask(dense()), "module": "os"},
    ],
    "Layer 'x': A ticket can hold no layer": [supermask(layer("Lambda"))],
    "can hold no initializer": [supermask(dense(), score_initializer=FUNCTION)],
    "activation must be one of Keras' own": [
        supermask(dense(activation="marker")),
        recurrent("LSTM", recurrent_activation="marker>marker"),
        wrapper("TimeDistributed", dense(activation="marker>marker")),
        layer("RNN", cell=recurrent("GRUCell", activation="marker")),
    ],
    "must be a plain value": [supermask(dense(), method=zeros())],
    "must be an object|must be a list|must be a plain": [
        layer("TimeDistributed", layer="marker>marker"),
        layer("RNN", cell="marker>marker"),
        layer("RNN", cell=[recurrent("LSTMCell")]),
        layer("StackedRNNCells", cells="marker"),
    ],
}
DENSE = {
    "can hold no": [
        {"kernel_initializer": zeros() | REGISTERED},
        {"kernel_initializer": dense()},
        {"kernel_initializer": FUNCTION},
        {"kernel_initializer": thing("keras.initializers", "Orthogonal")},
        {"kernel_regularizer": FUNCTION},
        {"bias_regularizer": thing("keras.regularizers", "L2", **REGISTERED)},
        {"bias_constraint": thing("keras.constraints", "NonNeg", **REGISTERED)},
        {"bias_constraint": thing("keras", "Marker")},
        {"dtype": thing("keras", "DTypePolicy", **REGISTERED, name="float32")},
        {"dtype": thing("keras", "QuantizedDTypePolicy", mode="int8")},
        {"activation": layer("LeakyReLU", **REGISTERED)},
        {"activation": layer("Marker", **MARKER)},
    ],
    "dtype must be": [{"dtype": "int8_from_float32"}, {"dtype": ["float32"]}],
    "activation must be": [
        {"activation": value}
        for value in ("marker>marker", "marker", FUNCTION, 3, None, LAMBDA)
    ],
    "must be an object": [
        {"kernel_initializer": "zeros"},
        {"kernel_regularizer": "marker>marker"},
    ],
    "must be a plain value": [
        {"units": zeros()},
        {"units": {"a": 1}},
        {"units": [zeros()]},
        {"kernel_initializer": zeros(seed=zeros())},
        {"name": layer("Lambda")},
    ],
    "layers must make a": [{"marker": 1}, {"units": "3"}, {"units": -3}],
}
CALLED_WITH = {
    "be called with": [
        "marker>marker",
        LAMBDA,
        {"class_name": "__numpy__", "config": {"value": [1], "dtype": "float32"}},
        {"class_name": "__bytes__", "config": {"value": ""}},
        slice_of(),
        slice_of("marker", None, None),
        slice_of(0.5, None, None),
        slice_of(zeros(), None, None),
        [None] * 10_001,
    ],
    "tensor must have|has keys": [
        FUNCTION,
        {"class_name": "__typespec__", "spec_name": "x", "config": []},
    ],
}
HOSTILE = [
    (message, make(each))
    for table, make in (
        (MODELS, lambda tree: tree),
        (LAYERS, sequential),
        (DENSE, lambda arguments: sequential(dense(**arguments))),
        (CALLED_WITH, called),
    )
    for message, listed in table.items()
    for each in listed
]


@pytest.mark.parametrize("tree", PLAIN, ids=range(len(PLAIN)))
def test_the_trees_that_these_tests_change_are_sound(tree):
    before = copy.deepcopy(tree)
    assert build(tree).built
    assert build_empty(tree)[0].count_params() in (9, 0)
    assert tree == before


@pytest.mark.parametrize(("message", "tree"), HOSTILE)
def test_hostile_architectures_are_refused(message, tree, small):
    put(small, tree)
    with pytest.raises(InputError, match=message):
        load_ticket(small)


def test_constants_count_as_well(small):
    normalise = layer("Normalization", mean=0.0, variance=1.0)
    put(small, sequential(normalise, shape=(10**12,)), num_parameters=0)
    with pytest.raises(InputError, match="constants=2000000000000"):
        load_ticket(small)


def test_a_model_of_too_many_layers_is_refused(small, monkeypatch):
    put(small, sequential(*[dense()] * 20))
    monkeypatch.setattr(allowed, "_MAX_OBJECTS", 41)
    with pytest.raises(InputError, match=r"at most 41 objects.*42"):
        load_ticket(small)


def chain(length, order):
    """A model of layers one after the other, listed in that order or against it."""
    tree, listed = functional(), []
    entry, last = tree["config"]["layers"]
    nodes = json.dumps(last["inbound_nodes"])
    for place in range(length):
        before = f'"{place - 1}"' if place else '"i"'
        new = {
            "name": str(place),
            "inbound_nodes": json.loads(nodes.replace('"i"', before)),
        }
        listed.append({**layer("ReLU", name=str(place)), **new})
    tree["config"]["layers"] = [entry, *listed[::order]]
    tree["config"]["output_layers"] = [str(length - 1), 0, 0]
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


SIGNED = thing("tfsupermask", "SignedConstant", "tfsupermask>SignedConstant", scale=2.0)


IN_PLACE = [
    ("SupermaskDense", sequential(ours()), "layer"),
    ("SignedConstant", sequential(dense(kernel_initializer=SIGNED)), "initializer"),
]


@pytest.mark.parametrize(("name", "tree", "kind"), IN_PLACE)
def test_a_class_registered_in_place_of_ours_is_not_made(name, tree, kind, monkeypatch):
    custom = keras.saving.get_custom_objects()
    monkeypatch.setitem(custom, f"tfsupermask>{name}", Marker)
    with pytest.raises(InputError, match=f"no {kind} of this class.*{name}"):
        build(tree)


def test_loading_opens_no_other_file(small, monkeypatch):
    spy = mock.Mock(side_effect=open)
    monkeypatch.setattr(builtins, "open", spy)
    load_ticket(small)
    assert {str(call.args[0]) for call in spy.call_args_list} <= {str(small)}
