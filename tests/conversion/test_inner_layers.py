"""Layers inside a masked model of one's own, called and frozen by themselves."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as kl

from tfsupermask._validation import InputError
from tfsupermask.conversion import convert, fold
from tfsupermask.layers import EdgePopup, masked_weights, methods, register
from tfsupermask.tickets import save_ticket

from .conftest import built

X = np.random.default_rng(0).normal(size=(8, 6)).astype("float32")
Y = X[:, :2]


class Net(keras.Model):
    """Trains its parts by themselves, as autoencoders and the like do."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.backbone = keras.Sequential([keras.Input((6,)), kl.Dense(5), kl.Dense(4)])
        self.head = kl.Dense(2)

    def encode(self, inputs):
        return self.backbone(inputs)

    def call(self, inputs):
        return self.head(self.encode(inputs))


class TrainsParts(Net):
    def train_step(self, data):
        inputs, expected = data
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self.head(self.backbone(inputs)) - expected) ** 2)
        gradients = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply(gradients, self.trainable_weights)
        return {"loss": loss}


def changed(model, attribute, train):
    """Which scores, or kernels, training changes."""
    before = [getattr(each, attribute).numpy() for each in masked_weights(model)]
    train()
    after = [getattr(each, attribute).numpy() for each in masked_weights(model)]
    return [bool(np.any(a != b)) for a, b in zip(before, after, strict=True)]


def fit(model):
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)


def test_parts_are_masked_whoever_calls_them():
    model = convert(built(Net, X), 0.9, verbose=False)
    folded = fold(model)
    np.testing.assert_array_equal(model.encode(X), folded.encode(X))
    np.testing.assert_allclose(
        model.backbone.predict(X, verbose=0), folded.encode(X), rtol=1e-5, atol=1e-6
    )


def test_steps_of_ones_own_train_the_masks():
    model = convert(built(TrainsParts, X), 0.5, verbose=False)
    assert changed(model, "score", lambda: fit(model)) == [True] * 3
    assert changed(model, "kernel", lambda: fit(model)) == [False] * 3


def test_freezing_a_part_freezes_its_masks_and_nothing_frees_kernels():
    plain = built(Net, X)
    plain.backbone.trainable = False
    with pytest.warns(UserWarning, match=r"2 masked weights are not trained \(net"):
        model = convert(plain, verbose=False)
    assert not model.backbone.trainable
    assert changed(model, "score", lambda: fit(model)) == [False, False, True]
    model.backbone.trainable = True
    bias = model.backbone.layers[0].bias
    before = bias.numpy()
    assert changed(model, "score", lambda: fit(model)) == [True] * 3
    assert np.any(bias.numpy() != before)
    assert changed(model, "kernel", lambda: fit(model)) == [False] * 3
    assert fold(model).backbone.trainable


class Block(kl.Layer):
    """Layers whose configs change when they are built."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.attention = kl.MultiHeadAttention(2, 3)
        self.normalise, self.dense = kl.LayerNormalization(), kl.Dense(6)

    def call(self, inputs):
        x = self.normalise(inputs + self.attention(inputs, inputs))
        return x + self.dense(x)


@pytest.mark.filterwarnings("ignore:.*build:UserWarning")
def test_blocks_of_layers_are_saved_and_loaded(tmp_path):
    steps = np.random.default_rng(1).normal(size=(2, 3, 6)).astype("float32")
    model = keras.Sequential([keras.Input((3, 6)), Block(), kl.Dense(2)])
    model = convert(model, verbose=False)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", {"Block": Block})
    np.testing.assert_array_equal(loaded(steps), model(steps))


class Sized(keras.Model):
    def __init__(self, units=3):
        super().__init__()
        self.dense = kl.Dense(units)

    def call(self, inputs):
        return self.dense(inputs)


def test_a_model_whose_config_is_not_its_own_is_not_saved_in_silence(tmp_path):
    model = convert(built(lambda: Sized(5), X), verbose=False)
    np.testing.assert_array_equal(fold(model)(X), model(X))
    with pytest.raises(InputError, match=r"`get_config` mirrors.*layer='sized"):
        model.save(tmp_path / "model.keras")


def test_a_layer_that_two_models_hold_is_said_to_be_no_file():
    shared = kl.Dense(6, name="shared")
    inner = keras.Sequential([keras.Input((6,)), shared])
    model = keras.Sequential([keras.Input((6,)), inner, shared])
    with pytest.warns(UserWarning, match=r"two models hold \(shared\)"):
        convert(model, verbose=False)


def test_a_layer_that_one_model_holds_twice_is_said_to_be_nothing(recwarn):
    twice = kl.ReLU()
    layers = [keras.Input((6,)), kl.Dense(5), twice, kl.Dense(4), twice]
    convert(keras.Sequential(layers), verbose=False)
    assert not [each for each in recwarn if "models hold" in str(each.message)]


class Smallest(EdgePopup):
    def mask(self, score, k, draw=None):
        return super().mask(-tf.abs(score), k)


def test_a_method_of_ones_own_is_what_trains_and_what_a_ticket_holds(
    monkeypatch, tmp_path
):
    monkeypatch.setattr(methods, "_METHODS", dict(methods._METHODS))
    register(Smallest("smallest", ranking="score"))
    model = keras.Sequential([keras.Input((6,)), kl.Dense(5), kl.Dense(2)])
    model = convert(model, 0.6, method="smallest", verbose=False)
    np.testing.assert_array_equal(fold(model)(X), model(X))
    with pytest.raises(InputError, match=r"`score_for`.*method='smallest'"):
        save_ticket(model, tmp_path / "model.ticket")
