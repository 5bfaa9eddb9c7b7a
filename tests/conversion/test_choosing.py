"""Which kernels are masked, to what sparsity, and what is refused."""

import keras
import numpy as np
import pytest
from keras import layers as kl

from tfsupermask._validation import InputError
from tfsupermask.conversion import convert, fold
from tfsupermask.layers import masked_weights
from tfsupermask.sparsity import ALLOCATIONS, allocate

from .conftest import assert_same, nested, random, randomize, small, sparsities


@pytest.mark.parametrize(
    ("sparsity", "expected"),
    [
        (0.9, {"conv1": 0.9, "conv2": 0.9, "dense": 0.9}),
        ({"conv1": 0.1, "conv*": 0.2}, {"conv1": 0.1, "conv2": 0.2}),
        ({"conv*": 0.2, "conv1": 0.1}, {"conv1": 0.2, "conv2": 0.2}),
        ({"[cd]*": 0.3}, {"conv1": 0.3, "conv2": 0.3, "dense": 0.3}),
        (lambda layer: 0.0 if layer.use_bias else None, {"conv1": 0.0, "dense": 0.0}),
    ],
)
def test_sparsity_by_number_pattern_and_function(sparsity, expected):
    model = small()
    converted = convert(model, sparsity, verbose=False)
    assert sparsities(converted) == expected
    for name in {"conv1", "conv2", "dense"} - set(expected):
        left, layer = converted.get_layer(name), model.get_layer(name)
        assert type(left) is type(layer)
        assert left.kernel.trainable
        np.testing.assert_array_equal(left.kernel, layer.kernel)


@pytest.mark.parametrize("way", [convert, allocate])
def test_a_layer_that_two_models_hold_has_the_first_ones_sparsity(way):
    shared = keras.layers.Dense(8, name="shared")
    inputs = keras.Input((8,))
    inner = keras.Sequential([keras.Input((8,)), shared], name="inner")
    model = keras.Model(inputs, shared(inner(inputs)))
    sparsity = {"inner": 0.25, "*": 0.75}
    if way is convert:
        model = convert(model, sparsity, verbose=False)
    else:
        model = convert(model, verbose=False)
        allocate(model, sparsity)
    assert [weight.sparsity for weight in masked_weights(model)] == [0.25]


def first_whole(layer):
    return 0.0 if layer.name == "conv1" else 0.75


@pytest.mark.parametrize("sparsity", [{"conv1": 0, "*": 0.75}, first_whole])
@pytest.mark.parametrize("allocation", ALLOCATIONS)
def test_what_is_shared_out_by_layer_is_what_allocate_shares_out(sparsity, allocation):
    options = {"allocation": allocation, "verbose": False}
    converted = convert(small(), sparsity, **options)
    expected = convert(small(), verbose=False)
    allocate(expected, sparsity, allocation)
    counts = [
        [weight.num_kept for weight in masked_weights(model)]
        for model in (converted, expected)
    ]
    assert counts[0] == counts[1]
    assert converted.get_layer("conv1").realised_sparsity == 0


@pytest.mark.parametrize(
    ("make", "skip", "left"),
    [
        (small, "dense", "conv1 conv2"),
        (small, ["dense"], "conv1 conv2"),
        (small, ("conv*",), "dense"),
        (small, ["?onv1", "dense", "bn"], "conv2"),
        (small, (), "conv1 conv2 dense"),
        (nested, "inner", "first last"),
        (nested, "a", "first b last"),
    ],
)
def test_skip_leaves_layers_and_nested_models_alone(make, skip, left):
    converted = convert(make(), skip=skip, verbose=False)
    assert set(sparsities(converted)) == set(left.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sparsity": {"conv*": 0.5, "fc": 0.5}}, "`sparsity` must match.*'fc'"),
        ({"sparsity": {"Conv1": 0.5}}, "`sparsity` must match.*'Conv1'"),
        ({"sparsity": {"bn": 0.5}}, "`sparsity` must match.*'bn'"),
        ({"sparsity": {3: 0.5}}, "`sparsity` must match.*pattern=3"),
        ({"sparsity": {"dense": 0.5}, "skip": "dense"}, "must match.*'dense'"),
        ({"sparsity": {"conv*": 1.0}}, "`sparsity` must be a number in.*=1.0"),
        ({"sparsity": 1}, "`sparsity` must be a number in.*=1$"),
        ({"sparsity": True}, "`sparsity` must be a number in.*=True"),
        ({"sparsity": "0.5"}, "`sparsity` must be a number.*or a function.*'0.5'"),
        ({"sparsity": None}, "`sparsity` must be a number.*or a function.*None"),
        ({"sparsity": lambda layer: -1}, "`sparsity` must be a number in.*=-1"),
        ({"skip": "head"}, "`skip` must match the name of a layer.*'head'"),
        ({"skip": ["dense", "Dense"]}, "`skip` must match.*'Dense'"),
        ({"skip": [3]}, "`skip` must match.*pattern=3"),
        ({"skip": "*"}, "a kernel to mask.*neither `skip` nor.*'small'"),
        ({"sparsity": lambda layer: None}, "a kernel to mask"),
        ({"allocation": "even"}, "`allocation` must be one of.*'even'"),
        ({"initializer": "xavier"}, "`initializer` must be one of.*'xavier'"),
        ({"scores": "zeros"}, "`scores` must be one of.*'zeros'"),
        ({"method": "abs"}, "`method` must be one of.*'abs'"),
        ({"seed": -1}, "`seed` must be an integer.*-1"),
    ],
)
def test_refuses_bad_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        convert(small(), **arguments, verbose=False)


def test_refuses_a_model_with_nothing_to_convert():
    model = keras.Sequential([keras.Input((4,)), kl.BatchNormalization()], name="none")
    with pytest.raises(InputError, match=r"'none', classes=\['BatchNormalization'\]"):
        convert(model)


@pytest.mark.parametrize(
    ("method", "argument", "message"),
    [("enable_lora", 2, "uses LoRA"), ("quantize", "int8", "is quantized")],
)
def test_lora_and_quantized_layers_are_refused(method, argument, message):
    model, images = small(), random(3, 6, 6, 2)
    dense = model.get_layer("dense")
    getattr(dense, method)(argument)
    if method == "enable_lora":
        dense.lora_kernel_b.assign(random(2, 5))
    with pytest.raises(InputError, match=f"{message}.*in `skip`.*layer='dense'"):
        convert(model)
    converted = convert(model, 0.0, skip="dense", verbose=False)
    np.testing.assert_allclose(converted(images), model(images), rtol=1e-4, atol=1e-4)


class Block(kl.Layer):
    """Two layers inside, and a weight that no rule takes for a kernel."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.inner = kl.Dense(units, name="inner")
        self.outer = kl.Dense(2, name="outer")

    def build(self, shape):
        self.inner.build(shape)
        self.outer.build((*shape[:-1], self.units))
        self.table = self.add_weight(shape=(2, 2), name="table")

    def call(self, inputs):
        return self.outer(self.inner(inputs)) @ self.table

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def half_of_outer(layer):
    return 0.5 if layer.name == "outer" else None


def is_table(layer, variable):
    return variable.name == "table"


INNER, OUTER, TOP = "block/inner/kernel", "block/outer/kernel", "top/kernel"


@pytest.mark.filterwarnings("ignore:Only")
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, {INNER: 0.5, OUTER: 0.5, TOP: 0.5}),
        ({"skip": "inner"}, {OUTER: 0.5, TOP: 0.5}),
        ({"skip": "block"}, {TOP: 0.5}),
        ({"sparsity": {"outer": 0.25, "block": 0.75}}, {INNER: 0.75, OUTER: 0.25}),
        ({"sparsity": half_of_outer}, {OUTER: 0.5}),
        ({"kernels": is_table}, {"block/table": 0.5}),
    ],
)
def test_layers_inside_layers_count_by_their_names(arguments, expected, tmp_path):
    plain = [keras.Input((4,)), Block(3, name="block"), kl.Dense(2, name="top")]
    plain = randomize(keras.Sequential(plain))
    converted, inputs = convert(plain, **arguments, verbose=False), random(5, 4)
    found = {weight.name: weight.sparsity for weight in masked_weights(converted)}
    assert found == expected
    with keras.saving.custom_object_scope({"Block": Block}):
        converted.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        cloned = keras.models.clone_model(converted)
    cloned.set_weights(converted.get_weights())
    for again in (loaded, cloned):
        assert {w.name: w.sparsity for w in masked_weights(again)} == expected
        assert_same(again(inputs), converted(inputs))
    assert_same(fold(converted)(inputs), converted(inputs))
