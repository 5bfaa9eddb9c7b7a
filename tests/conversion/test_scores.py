"""The scores and the kernels that conversion starts with."""

import functools

import keras
import numpy as np
import pytest
from keras import layers as kl

from tfsupermask import init, models
from tfsupermask.conversion import convert, fold, summary
from tfsupermask.layers import (
    drawn,
    masked_weights,
    method_names,
    redraw_removed,
    supermask_layers,
)

from .conftest import every_kind, random, small


@pytest.mark.parametrize("name", method_names())
def test_every_method_converts(name):
    model, images = small(), random(3, 6, 6, 2)
    for scores in ("random", "magnitude"):
        converted = convert(model, 0.5, method=name, scores=scores, verbose=False)
        np.testing.assert_allclose(fold(converted)(images), converted(images), 1e-5)
    trained = {id(variable) for variable in converted.trainable_variables}
    for weight in masked_weights(converted):
        assert id(weight.trained) in trained
        assert (id(weight.kernel) in trained) == weight.method.trains_kernel
        magnitude, keeps = np.abs(weight.kernel.numpy()), weight.mask.numpy() != 0
        kept = magnitude.size - round(magnitude.size / 2)
        if name == "dense":
            assert weight.num_kept == magnitude.size
            assert weight.sparsity == 0
        else:
            assert weight.num_kept == keeps.sum() == kept
            assert magnitude[keeps].min() >= magnitude[~keeps].max()


def test_random_scores_are_in_full_precision_whatever_keras_computes_in():
    model = small()
    keras.config.set_floatx("bfloat16")
    try:
        converted = convert(model, scores="random", verbose=False)
    finally:
        keras.config.set_floatx("float32")
    for weight in masked_weights(converted):
        values = weight.score.numpy()
        assert len(np.unique(values)) > 0.9 * values.size


@pytest.mark.parametrize("name", ["stochastic", "iterand"])
def test_draws_are_those_of_the_seed(name):
    given = small()

    def draw(seed, elsewhere):
        keras.utils.set_random_seed(elsewhere)
        arguments = {"method": name, "scores": "magnitude", "seed": seed}
        model = convert(given, 0.5, **arguments, verbose=False)
        if name == "iterand":
            redraw_removed(model, 7)
        with drawn(model, 3):
            return np.concatenate(
                [np.ravel(weight.masked()) for weight in masked_weights(model)]
                + [np.ravel(weight.kernel) for weight in masked_weights(model)]
            )

    np.testing.assert_array_equal(draw(1, elsewhere=5), draw(1, elsewhere=6))
    assert (draw(1, elsewhere=5) != draw(2, elsewhere=5)).any()


@pytest.mark.parametrize("name", ["magnitude", "dense", "fixed", "biprop"])
def test_layers_that_are_not_trainable_stay_so(name):
    model = small()
    model.get_layer("conv2").trainable = False
    with pytest.warns(UserWarning, match=r"1 masked weights are not trained \(conv2"):
        converted = convert(model, 0.5, method=name, verbose=False)
    layer = converted.get_layer("conv2")
    assert layer.trainable_weights == []
    rows = [row for row in summary(converted).splitlines() if "(not trained)" in row]
    assert [row.split()[0] for row in rows] == ["conv2/kernel"]
    layer.trainable = True
    assert [id(v) for v in layer.trainable_weights] == [
        id(layer.masked_weights[0].trained)
    ]
    assert "not trained" not in summary(converted)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"scores": "magnitude", "sparsity": 0.6},
        {"scores": "magnitude", "initializer": "kaiming_uniform"},
    ],
)
def test_magnitude_scores_start_from_magnitude_pruning(arguments):
    for weight in masked_weights(convert(every_kind(), **arguments, verbose=False)):
        kernel = np.abs(weight.kernel.numpy())
        np.testing.assert_array_equal(weight.score, kernel)
        kept = np.sort(kernel[weight.mask.numpy() == 1])
        np.testing.assert_array_equal(kept, np.sort(kernel.ravel())[-weight.num_kept :])


@pytest.mark.parametrize("name", method_names())
def test_every_method_converts_half_precision(name):
    layers = [keras.Input((6,)), kl.Dense(5, dtype="bfloat16", name="half")]
    converted = convert(keras.Sequential(layers), 0.6, method=name, verbose=False)
    (weight,) = masked_weights(converted)
    assert weight.kernel.dtype == "bfloat16"
    magnitude = np.abs(weight.kernel.numpy().astype("float32"))
    kept = magnitude[weight.mask.numpy() != 0]
    assert kept.size == (30 if name == "dense" else 12)
    assert kept.min() >= np.sort(magnitude, axis=None)[-kept.size]


@pytest.mark.parametrize("name", init.NAMES)
def test_initializer_draws_kernels_anew_and_stays_in_the_layer(name):
    model = every_kind()
    converted = convert(model, initializer=name, seed=2, verbose=False)
    twin = keras.models.clone_model(model)
    init.initialize(twin, name, 2)
    for layer in supermask_layers(converted):
        for weight in layer.masked_weights:
            name = weight.kernel.name
            drawn = getattr(twin.get_layer(layer.name), name)
            np.testing.assert_array_equal(weight.kernel, drawn)
            kind = "depthwise" if layer.name == "depthwise" else "kernel"
            kind = name.split("_")[0] if "_" in name else kind
            config = layer.get_config()[f"{kind}_initializer"]
            again = keras.initializers.deserialize(config)(weight.kernel.shape)
            np.testing.assert_array_equal(again, weight.kernel)


def test_initializer_leaves_skipped_layers_alone():
    model, drawn = small(), {"initializer": "signed_constant", "skip": "conv1"}
    converted = convert(model, **drawn, verbose=False)
    one, other = converted.get_layer("conv1"), model.get_layer("conv1")
    np.testing.assert_array_equal(one.kernel, other.kernel)
    assert one.get_config() == other.get_config()
    assert np.unique(np.abs(converted.get_layer("conv2").kernel)).size == 1


class Parts(kl.Layer):
    """Layers inside, and a weight that no rule takes for a kernel."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first = kl.Dense(4, name="first")
        self.heads = kl.MultiHeadAttention(2, 3, name="heads")

    def build(self, shape):
        self.first.build(shape)
        self.heads.build((*shape[:-1], 4), (*shape[:-1], 4))
        self.table = self.add_weight(shape=(4, 2), name="table")

    def call(self, inputs):
        x = self.first(inputs)
        return self.heads(x, x) @ self.table


class Net(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.backbone, self.head = Parts(name="backbone"), kl.Dense(2, name="head")

    def call(self, inputs):
        return self.head(self.backbone(inputs))


def in_a_graph():
    layers = [keras.Input((5, 3)), Parts(name="backbone"), kl.Dense(2, name="head")]
    return keras.Sequential(layers)


def is_unusual(layer, variable):
    return variable.name in ("table", "bias")


@functools.cache
def with_references(make, initializer):
    """A model, all kernels that can be drawn, by name, and a copy without draws."""
    model = make()
    model(random(2, 5, 3))
    for index, weight in enumerate(model.weights):
        weight.assign(random(*weight.shape, seed=index))
    whole = convert(model, initializer=initializer, verbose=False)
    everything = {w.name: w.kernel.numpy() for w in masked_weights(whole)}
    return model, everything, convert(model, 0.0, verbose=False)


@pytest.mark.filterwarnings("ignore:Only")
@pytest.mark.parametrize("make", [Net, in_a_graph])
@pytest.mark.parametrize("initializer", ["signed_constant", "kaiming_normal"])
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"skip": "head"},
        {"skip": ["first", "attention_output"]},
        {"sparsity": {"*backbone*": 0.5}},
        {"kernels": lambda layer, variable: variable.name == "table"},
        {"kernels": is_unusual, "skip": "heads"},
    ],
)
def test_initializer_draws_what_is_masked_and_nothing_else(
    make, initializer, arguments
):
    model, everything, given = with_references(make, initializer)
    converted = convert(model, initializer=initializer, verbose=False, **arguments)
    masked = {id(w.kernel): w for w in masked_weights(converted)}
    ours = (w for w in converted.weights if w.name not in ("score", "num_kept"))
    theirs = (w for w in given.weights if w.name not in ("score", "num_kept"))
    for mine, old in zip(ours, theirs, strict=True):
        if id(mine) not in masked:
            np.testing.assert_array_equal(mine, old)
            continue
        weight = masked[id(mine)]
        assert np.all(mine.numpy() != old.numpy())
        if weight.name in everything:
            np.testing.assert_array_equal(mine, everything[weight.name])
        if initializer == "signed_constant":
            expected = np.full(mine.shape, (2 / weight.fans[0]) ** 0.5)
            np.testing.assert_allclose(np.abs(mine), expected, rtol=1e-5)


def test_converted_conv2_is_the_conv2_of_models():
    built = models.build("conv2", (8, 8, 3), num_classes=4, sparsity=0.7, seed=6)
    relu = {"use_bias": False, "activation": "relu"}
    convolutions = [kl.Conv2D(64, 3, padding="same", **relu) for _ in range(2)]
    dense = [kl.Dense(256, **relu), kl.Dense(256, **relu), kl.Dense(4, use_bias=False)]
    plain = [*convolutions, kl.MaxPooling2D(), kl.Flatten(), *dense]
    plain = keras.Sequential([keras.Input((8, 8, 3)), *plain])
    converted = convert(plain, 0.7, initializer="glorot_normal", seed=6, verbose=False)
    for one, two in zip(masked_weights(built), masked_weights(converted), strict=True):
        np.testing.assert_array_equal(one.kernel, two.kernel)
        np.testing.assert_allclose(one.score, two.score, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("allocation", ["erdos_renyi", "global"])
def test_allocation_shares_one_sparsity_out(allocation):
    model = small()
    model.get_layer("conv2").kernel.assign(100 * model.get_layer("conv2").kernel)
    converted = convert(model, 0.8, allocation=allocation, verbose=False)
    weights = masked_weights(converted)
    kept = sum(weight.num_kept for weight in weights)
    total = sum(weight.num_weights for weight in weights)
    assert kept == total - round(0.8 * total)
    assert len({round(weight.sparsity, 3) for weight in weights}) > 1
    if allocation == "global":  # which looks at the magnitudes
        assert converted.get_layer("conv2").sparsity == 0


def nested():
    base = keras.Sequential(
        [keras.Input((6, 6, 2)), kl.Conv2D(3, 3, name="conv"), kl.Flatten()],
        name="base",
    )
    base.trainable = False
    return keras.Sequential([keras.Input((6, 6, 2)), base, kl.Dense(2)]), [
        "conv/kernel"
    ]


def recurrent():
    frozen = kl.LSTM(4, trainable=False, name="lstm")
    names = ["lstm/lstm_cell/kernel", "lstm/lstm_cell/recurrent_kernel"]
    return keras.Sequential([keras.Input((5, 3)), frozen, kl.Dense(2)]), names


def attention():
    inputs = keras.Input((5, 3))
    layer = kl.MultiHeadAttention(2, 4, trainable=False, name="heads")
    model = keras.Model(inputs, kl.Dense(2)(layer(inputs, inputs)))
    parts = ("query", "key", "value", "attention_output")
    return model, [f"heads/{part}/kernel" for part in parts]


@pytest.mark.parametrize("make", [nested, recurrent, attention])
def test_masks_that_are_not_trained_are_listed_and_warned_of(make):
    model, names = make()
    with pytest.warns(
        UserWarning, match=f"{len(names)} masked weights are not trained"
    ):
        converted = convert(model, 0.5, verbose=False)
    rows = [row for row in summary(converted).splitlines() if "(not trained)" in row]
    assert [row.split()[0] for row in rows] == names
    trained = {id(variable) for variable in converted.trainable_weights}
    untrained = [w for w in masked_weights(converted) if id(w.trained) not in trained]
    assert [weight.name for weight in untrained] == names
