"""Layers whose scores select weights otherwise than edge-popup's."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.layers.test_supermask import each_layer, make_input, make_layer
from tfsupermask import models
from tfsupermask._validation import InputError
from tfsupermask.layers import (
    MaskDraws,
    SupermaskConv2D,
    SupermaskDense,
    SupermaskSeparableConv2D,
    dense_forward,
    drawn,
    masked_weights,
    masks_found_once,
    stochastic_weights,
)

STOCHASTIC = {"method": "stochastic", "score_initializer": "random_normal"}


@pytest.fixture(autouse=True)
def _seeded():
    keras.utils.set_random_seed(0)


def scramble(layer, scale=2.0):
    rng = np.random.default_rng(0)
    for weight in layer.masked_weights:
        weight.score.assign(rng.normal(0, scale, weight.kernel.shape))


def signed_by_hand(weight):
    score = weight.score.numpy()
    kept = np.argsort(-np.abs(score.ravel()))[: weight.num_kept]
    return np.isin(np.arange(score.size), kept).reshape(score.shape) * np.sign(score)


def thresholded_by_hand(weight):
    mask = weight.score.numpy() > 0
    return mask * (mask.size / mask.sum())


BY_HAND = {"signed": signed_by_hand, "stochastic": thresholded_by_hand}


@each_layer
@pytest.mark.parametrize("ranking", BY_HAND)
def test_masks_and_outputs_are_those_by_hand(kind, ranking):
    layer = make_layer(kind, ranking=ranking, sparsity=0.7)
    plain = make_layer(kind, sparsity=0.0)
    scramble(layer)
    for weight, dense in zip(layer.masked_weights, plain.masked_weights, strict=True):
        mask = BY_HAND[ranking](weight)
        np.testing.assert_allclose(weight.mask, mask, rtol=1e-6)
        assert weight.num_kept == np.count_nonzero(mask)
        dense.kernel.assign(weight.kernel.numpy() * mask)
        np.testing.assert_allclose(weight.masked(), dense.kernel, rtol=1e-6)
    inputs = make_input(kind)
    for call in (layer, tf.function(layer)):
        np.testing.assert_allclose(call(inputs), plain(inputs), rtol=1e-4, atol=1e-5)


@each_layer
@pytest.mark.parametrize("ranking", BY_HAND)
def test_a_layer_of_the_same_config_is_the_same(kind, ranking):
    layer = make_layer(kind, ranking=ranking, sparsity=0.7)
    again = type(layer).from_config(layer.get_config())
    assert (again.ranking, again.sparsity) == (ranking, 0.7)


@each_layer
def test_only_scores_are_weights_and_are_trained(kind):
    layer, plain = make_layer(kind, method="stochastic"), make_layer(kind)
    for each in ("weights", "trainable_weights", "variables"):
        names, expected = (
            [variable.name for variable in getattr(one, each)] for one in (layer, plain)
        )
        assert names == expected


@each_layer
def test_gradient_of_the_signed_layer_has_no_sign(kind):
    layer = make_layer(kind, method="signed", sparsity=0.7)
    for weight in layer.masked_weights:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(weight.masked() * 3)
        np.testing.assert_allclose(
            tape.gradient(loss, weight.score.value),
            3 * weight.kernel.numpy(),
            rtol=1e-6,
        )


@each_layer
def test_gradient_of_the_stochastic_layer_goes_through_the_draw(kind):
    layer = make_layer(kind, **STOCHASTIC)
    for weight in layer.masked_weights:
        weight.draw.assign(4)
        with tf.GradientTape() as tape:
            masked = weight.masked()
            loss = tf.reduce_sum(masked * 3)
        kept = np.count_nonzero(masked) / weight.num_weights
        probability = 1 / (1 + np.exp(-weight.score.numpy()))
        np.testing.assert_allclose(
            tape.gradient(loss, weight.score.value),
            3 * weight.kernel.numpy() / kept * probability * (1 - probability),
            rtol=1e-4,
        )


@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.9])
def test_scores_start_at_the_sparsitys_probability(sparsity):
    layer = SupermaskDense(50, method="stochastic", sparsity=sparsity)
    layer.build((None, 400))
    score = layer.score.numpy()
    start = np.log((1 - sparsity) / sparsity)
    np.testing.assert_allclose(1 / (1 + np.exp(-start)), 1 - sparsity)
    assert np.abs(score - start).max() <= 1 / 20 + 1e-6
    assert (score - start).std() > 0.9 / 20 / np.sqrt(3)
    with drawn(keras.Sequential([keras.Input((400,)), layer]), 1):
        kept = np.count_nonzero(layer.masked_kernel()) / 20_000
    assert abs(kept - (1 - sparsity)) < 0.02


def test_scores_of_ones_own_are_shifted_too():
    layer = SupermaskDense(
        3, method="stochastic", sparsity=0.8, score_initializer="ones"
    )
    layer.build((None, 4))
    np.testing.assert_allclose(layer.score, 1 + np.log(0.25), rtol=1e-6)


@each_layer
def test_sparsity_zero_keeps_all_in_draws_too(kind):
    layer = make_layer(kind, **STOCHASTIC)
    model = keras.Sequential([keras.Input(make_input(kind).shape[1:]), layer])
    before = layer.num_kept
    with drawn(model, 1), dense_forward(model):
        assert layer.num_kept == layer.num_weights
        for weight in layer.masked_weights:
            np.testing.assert_array_equal(weight.mask, 1)
            np.testing.assert_array_equal(weight.masked(), weight.kernel)
    assert layer.num_kept == before < layer.num_weights


def test_realised_sparsity_follows_the_scores():
    layer = make_layer("dense", method="stochastic")
    layer.score.assign(np.where(np.arange(35).reshape(7, 5) < 10, 1.0, -1.0))
    assert (layer.num_kept, layer.realised_sparsity) == (10, 1 - 10 / 35)
    layer.score.assign(-np.ones((7, 5)))
    assert layer.num_kept == 1
    assert float(layer.mask[0, 0]) == 35


def test_the_number_kept_is_learned_and_refused():
    layer = make_layer("dense", method="stochastic")
    with pytest.raises(InputError, match=r"is learned and cannot be set.*num_kept=3"):
        layer.masked_weights[0].num_kept = 3


@each_layer
def test_draws_differ_and_leave_the_mask_alone(kind):
    layer, inputs = make_layer(kind, **STOCHASTIC), make_input(kind)
    model = keras.Sequential([keras.Input(inputs.shape[1:]), layer])
    compiled = tf.function(layer)
    masks = [weight.mask.numpy() for weight in layer.masked_weights]
    outputs = {0: layer(inputs).numpy()}
    for number in (1, 2, -1):
        with drawn(model, number):
            outputs[number] = layer(inputs).numpy()
            np.testing.assert_allclose(compiled(inputs), outputs[number], rtol=1e-4)
            for weight, mask in zip(layer.masked_weights, masks, strict=True):
                np.testing.assert_array_equal(weight.mask, mask)
    np.testing.assert_array_equal(layer(inputs), outputs[0])
    np.testing.assert_allclose(compiled(inputs), outputs[0], rtol=1e-4, atol=1e-6)
    assert compiled.experimental_get_tracing_count() == 1
    assert len({value.tobytes() for value in outputs.values()}) == 4


def test_masks_found_once_are_found_once():
    layer = make_layer("dense", **STOCHASTIC)
    layer.masked_weights[0].draw.assign(1)
    with masks_found_once():
        assert layer.masked_kernel() is layer.masked_kernel()


def test_kernels_and_layers_have_draws_of_their_own():
    """Though their scores be equal, and their shapes."""
    model = models.build("conv4", (8, 8, 3), method="stochastic")
    layer = SupermaskSeparableConv2D(
        64,
        1,
        depth_multiplier=64,
        method="stochastic",
        score_initializer=keras.initializers.RandomNormal(seed=1),
    )
    layer.build((None, 8, 8, 1))
    pairs = [masked_weights(model)[2:4], layer.masked_weights]
    for one, other in [pairs[0], pairs[1]]:
        size = min(one.num_weights, other.num_weights)
        draws = []
        for weight in (one, other):
            weight.score.assign(tf.zeros_like(weight.score.value))
            weight.draw.assign(1)
            draws.append(np.ravel(weight.masked())[:size] != 0)
        assert size == 64 or 0.45 < (draws[0] != draws[1]).mean() < 0.55
        assert (draws[0] != draws[1]).any()


def test_draws_are_those_of_the_seed():
    def draw(seed):
        model = models.build("conv2", (8, 8, 3), method="stochastic", seed=seed)
        with drawn(model, 3):
            return [weight.masked().numpy() for weight in masked_weights(model)]

    first = draw(1)
    for one, again, other in zip(first, draw(1), draw(2), strict=True):
        np.testing.assert_array_equal(one, again)
        assert 0.3 < ((one != 0) != (other != 0)).mean() < 0.7


def test_drawn_ends_when_its_body_fails():
    model = models.build("conv2", (8, 8, 3), method="stochastic")
    with contextlib.suppress(RuntimeError), drawn(model, 5):
        assert [int(weight.draw) for weight in masked_weights(model)] == [5] * 5
        raise RuntimeError
    assert [int(weight.draw) for weight in masked_weights(model)] == [0] * 5


def test_other_models_have_nothing_to_draw():
    model = models.build("conv2", (8, 8, 3), method="signed")
    assert stochastic_weights(model) == []
    with drawn(model, 5):
        pass


class Recorder(keras.callbacks.Callback):
    """Notes the draws at moments of training."""

    def __init__(self):
        super().__init__()
        self.during, self.after, self.testing = [], [], []

    def _draws(self):
        return {int(weight.draw) for weight in stochastic_weights(self.model)}

    def on_train_batch_begin(self, batch, logs=None):
        self.during.append(self._draws())

    def on_train_batch_end(self, batch, logs=None):
        self.after.append(self._draws())

    def on_test_batch_begin(self, batch, logs=None):
        self.testing.append(self._draws())


def compiled_model(seed=0):
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            SupermaskConv2D(
                8, 3, activation="relu", method="stochastic",
                score_initializer=keras.initializers.RandomNormal(seed=seed),
                kernel_initializer=keras.initializers.HeNormal(seed=1),
            ),
            keras.layers.Flatten(),
            SupermaskDense(
                2, method="stochastic", use_bias=True,
                score_initializer=keras.initializers.RandomNormal(seed=seed + 1),
                kernel_initializer=keras.initializers.HeNormal(seed=2),
            ),
        ]
    )  # fmt: skip
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(5.0), loss, metrics=["accuracy"])
    return model


@pytest.fixture
def images_and_labels():
    rng = np.random.default_rng(0)
    labels = np.arange(64) % 2
    images = rng.normal(size=(64, 6, 6, 2)) + 0.5 * labels[:, None, None, None]
    return images.astype(np.float32), labels


def test_fit_draws_for_each_step_and_evaluates_without_chance(images_and_labels):
    model, record = compiled_model(), Recorder()
    model.fit(*images_and_labels, batch_size=16, epochs=2, verbose=0,
        validation_data=images_and_labels, callbacks=[MaskDraws(), record])  # fmt: skip
    assert record.during == [{step} for step in range(1, 9)]
    assert record.after == [{0}] * 8
    assert set().union(*record.testing) == {0}
    fresh = masked_weights(compiled_model())
    for one, other in zip(fresh, masked_weights(model), strict=True):
        np.testing.assert_array_equal(one.kernel, other.kernel)
        assert (one.score.numpy() != other.score.numpy()).mean() > 0.9


def test_fit_learns(images_and_labels):
    model = compiled_model()
    model.fit(*images_and_labels, batch_size=16, epochs=30, verbose=0,
        callbacks=[MaskDraws()])  # fmt: skip
    assert model.evaluate(*images_and_labels, verbose=0)[1] > 0.9


@pytest.mark.parametrize("ending", ["keras", "weights.h5"])
def test_a_saved_model_goes_on_with_the_same_draws(images_and_labels, tmp_path, ending):
    model, path = compiled_model(), tmp_path / f"model.{ending}"
    options = {"batch_size": 16, "verbose": 0, "shuffle": False}
    model.fit(*images_and_labels, **options, callbacks=[MaskDraws()])
    if ending == "keras":
        model.save(path)
        loaded = keras.models.load_model(path)
    else:
        model.save_weights(path)
        loaded = compiled_model()
        loaded.load_weights(path)
    np.testing.assert_array_equal(
        model(images_and_labels[0]), loaded(images_and_labels[0])
    )
    for each in (model, loaded):
        each.fit(*images_and_labels, **options, callbacks=[MaskDraws()])
    for one, other in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_mixed_precision_computes_in_half():
    layer = SupermaskDense(50, method="stochastic", dtype="mixed_bfloat16")
    outputs = layer(np.ones((2, 40), np.float32))
    assert outputs.dtype == tf.bfloat16
    assert (layer.score.dtype, layer.mask.dtype) == ("float32", tf.float32)
    expected = layer.kernel.numpy() * layer.mask.numpy()
    np.testing.assert_allclose(outputs[0], expected.sum(axis=0), atol=0.1)
