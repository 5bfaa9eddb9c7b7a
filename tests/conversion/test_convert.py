"""What comes out of conversion, and what it says."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as kl

from tfsupermask import models
from tfsupermask._validation import InputError
from tfsupermask.conversion import convert, fold, summary
from tfsupermask.layers import SupermaskConv2D, masked_weights, plain_class

from .conftest import (
    assert_same,
    assert_same_weights,
    every_kind,
    nested,
    random,
    randomize,
    small,
    sparsities,
)


def test_every_kind_of_layer_keeps_name_config_and_weights():
    model, images = every_kind(), random(2, 6, 6, 3)
    converted = convert(model, 0.0, verbose=False)
    names = ["conv2d", "depthwise", "separable", "transpose", "conv1d", "conv3d", "fc"]
    assert sorted(sparsities(converted)) == sorted(names)
    for layer in model.layers:
        twin = converted.get_layer(layer.name)
        if layer.name not in names:
            assert type(twin) is type(layer)
            continue
        assert type(twin).__name__ == f"Supermask{type(layer).__name__}"
        assert {**twin.get_config(), **layer.get_config()} == twin.get_config()
        for weight in layer.weights:
            mine = next(w for w in twin.weights if w.name == weight.name)
            np.testing.assert_array_equal(mine, weight)
            assert mine.trainable == (weight.name == "bias")
    assert_same(converted(images), model(images))
    compiled = tf.function(converted)
    np.testing.assert_allclose(compiled(images), converted(images), rtol=1e-4)


def test_half_of_the_weights_are_masked_by_default_and_scores_are_trained():
    converted = convert(small(), verbose=False)
    assert sparsities(converted) == {"conv1": 0.5, "conv2": 0.5, "dense": 0.5}
    for weight in masked_weights(converted):
        assert weight.method.name == "edge_popup"
        assert float(tf.reduce_sum(weight.mask)) == weight.num_kept
        assert weight.num_kept == weight.num_weights - round(weight.num_weights / 2)
    assert not converted.compiled
    trained = {
        f"{layer.name}/{weight.name}"
        for layer in converted.layers
        for weight in layer.trainable_weights
    }
    scores = {"conv1/score", "conv2/score", "dense/score"}
    assert trained == scores | {"conv1/bias", "dense/bias", "bn/gamma", "bn/beta"}
    before = {w.path: w.numpy() for w in converted.weights}
    converted.compile("sgd", keras.losses.SparseCategoricalCrossentropy(True))
    converted.fit(random(8, 6, 6, 2), np.arange(8) % 5, verbose=0)
    for weight in converted.weights:
        changed = np.any(before[weight.path] != weight.numpy())
        assert changed != (weight.name in ("kernel", "num_kept")), weight.path


@pytest.mark.parametrize("compiled", [False, True])
def test_given_model_is_unchanged_compiled_or_not(compiled, capsys):
    model = nested()
    if compiled:
        # A loss that cannot be made anew from a config.
        model.compile("adam", lambda y, p: keras.ops.mean(keras.ops.square(y - p)))
        model.train_on_batch(random(4, 8), random(4, 2))
    config, before = model.to_json(), {v.path: v.numpy() for v in model.variables}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        converted = convert(model, 0.3, initializer="glorot_normal", verbose=compiled)
    printed = capsys.readouterr().out
    assert printed.startswith("masked weight") if compiled else printed == ""
    assert not converted.compiled
    assert model.compiled == compiled
    assert model.to_json() == config
    assert_same({v.path: v.numpy() for v in model.variables}, before)
    for variable in converted.variables:
        assert not any(variable is other for other in model.variables)


@pytest.mark.parametrize("function", [convert, fold, summary])
@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("conv2", "must be a Keras model.*model='conv2'"),
        (None, "must be a Keras model"),
        (kl.Dense(3), "must be a Keras model"),
        (keras.Sequential([kl.Dense(3)], name="raw"), "must be built.*model='raw'"),
    ],
)
def test_refuses_what_is_no_built_model(function, model, message):
    with pytest.raises(InputError, match=message):
        function(model)


class MyConv(kl.Conv2D):
    pass


def test_every_layer_with_kernels_is_masked():
    steps = keras.Input((5, 8))
    x = kl.Bidirectional(kl.LSTM(4, return_sequences=True), name="recurrent")(steps)
    x = kl.TimeDistributed(kl.Dense(6), name="wrapped")(x)
    x = kl.MultiHeadAttention(2, 3, name="attention")(x, x)
    x = kl.EinsumDense("abc,cd->abd", (None, 4), name="einsum")(x)
    x = MyConv(3, 2, name="mine")(kl.Reshape((5, 4, 1))(x))
    model = randomize(keras.Model(steps, kl.Dense(2, name="top")(kl.Flatten()(x))))
    converted = convert(model, 0.0, verbose=False)
    names = ["recurrent", "wrapped", "attention", "einsum", "mine", "top"]
    assert sorted(sparsities(converted)) == sorted(names)
    for name in names:
        source, copied = model.get_layer(name), converted.get_layer(name)
        assert plain_class(copied) is type(source)
        kernels = [w.numpy() for w in source.weights if "kernel" in w.name]
        assert_same([w.kernel.numpy() for w in copied.masked_weights], kernels)
    inputs = random(2, 5, 8)
    assert_same(converted(inputs), model(inputs))
    assert "tfsupermask" not in fold(converted).to_json()


def frozen():
    model = small()
    model.get_layer("conv1").trainable = model.get_layer("bn").trainable = False
    return model


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (lambda: convert(small(), verbose=False), {}, "3 layers were masked already"),
        (small, {"skip": ["dense"]}, r"Only \d+.\d% of the model"),
        (frozen, {}, r"1 masked weights are not trained \(conv1/kernel\)"),
    ],
)
def test_what_may_surprise_is_said(make, arguments, message):
    model = make()
    with pytest.warns(UserWarning, match=message):
        converted = convert(model, **arguments, verbose=False)
    if make is frozen:
        conv1 = converted.get_layer("conv1")
        assert conv1.trainable_weights == []
        assert converted.get_layer("bn").trainable_weights == []
        conv1.trainable = True
        assert {weight.name for weight in conv1.trainable_weights} == {"score", "bias"}


def test_supermask_layers_stay_as_they_are():
    mask = {"sparsity": 0.2, "method": "edge_popup_by_score"}
    layers = [SupermaskConv2D(4, 3, name="old", **mask), kl.Flatten()]
    layers = [keras.Input((6, 6, 2)), *layers, kl.Dense(3, name="new")]
    model = randomize(keras.Sequential(layers))
    converted = convert(model, 0.9, initializer="kaiming_normal", verbose=False)
    old, twin = model.get_layer("old"), converted.get_layer("old")
    assert sparsities(converted) == {"old": 0.2, "new": 0.9}
    assert twin.method.name == "edge_popup_by_score"
    assert_same_weights(twin, old)
    with pytest.raises(InputError, match=r"must be 'uniform'.*\['old'\]"):
        convert(model, allocation="global")
    alone = models.build("conv2", (8, 8, 3), sparsity=0.3)
    copied = convert(alone, 0.9, seed=5, verbose=False)
    assert sparsities(copied) == sparsities(alone)
    assert_same_weights(copied, alone)
