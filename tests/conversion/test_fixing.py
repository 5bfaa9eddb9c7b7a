"""Masks that are fixed, and kernels that are trained under them."""

import keras
import numpy as np
import pytest
from keras import layers as kl

import tfsupermask
from tests.layers.kinds import Composite
from tfsupermask._validation import InputError
from tfsupermask.conversion import convert, fix_masks, fold, summary
from tfsupermask.layers import (
    SupermaskConv2D,
    SupermaskDense,
    SupermaskSeparableConv2D,
    masked_weights,
    method_names,
    supermask,
    supermask_layers,
)

from .conftest import assert_same, assert_same_weights, random, randomize


def of_many_kinds():
    """Layers with and without masks, two of them frozen, some inside of others."""
    image = keras.Input((6, 6, 3))
    x = kl.Conv2D(4, 3, name="conv")(image)
    x = kl.BatchNormalization(name="norm")(x)
    x = kl.SeparableConv2D(4, 2, name="separable")(x)
    x = kl.Reshape((9, 4))(x)
    x = kl.MultiHeadAttention(2, 2, name="attention")(x, x)
    x = kl.TimeDistributed(kl.Dense(5, name="rows"), name="wrapper")(x)
    x = kl.LSTM(5, name="lstm")(x)
    inner = [keras.Input((5,)), kl.Dense(6, name="in"), kl.Dense(5, name="out")]
    x = keras.Sequential(inner, name="inner")(x)
    x = kl.Dense(5, name="plain")(x)
    x = Composite(rate=0.0, name="own")(x)
    model = randomize(keras.Model(image, kl.Dense(2, name="top")(x)))
    for name in ("norm", "lstm"):
        model.get_layer(name).trainable = False
    options = {"skip": "plain", "method": "signed", "verbose": False}
    with pytest.warns(UserWarning, match="trained"):
        return convert(model, 0.6, scores="random", **options)


def assert_fixed(model, fixed, images):
    np.testing.assert_allclose(fixed(images), model(images), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(fold(fixed)(images), fixed(images))
    assert {layer.method.name for layer in supermask_layers(fixed)} == {"fixed"}
    for given, weight in zip(*map(masked_weights, (model, fixed)), strict=True):
        assert weight.name == given.name
        mask = given.mask.numpy() != 0
        np.testing.assert_array_equal(weight.mask, mask)
        np.testing.assert_array_equal(weight.kernel, given.effective())
        assert weight.num_kept == mask.sum() == given.num_kept
    # Biases, averages, and layers without masks.
    masks = ("score", "num_kept")
    masked = {id(w.kernel) for m in (model, fixed) for w in masked_weights(m)}
    rest = [
        [v for v in m.weights if id(v) not in masked and v.name not in masks]
        for m in (model, fixed)
    ]
    assert_same(*([v.numpy() for v in each] for each in rest))


@pytest.mark.parametrize("method", method_names())
def test_outputs_are_those_of_every_method(method):
    model = small(method)
    before = [variable.numpy() for variable in model.variables]
    fixed = fix_masks(model)
    assert_fixed(model, fixed, random(4, 6, 6, 2))
    assert_same([variable.numpy() for variable in model.variables], before)
    trained = [variable.name for variable in fixed.trainable_variables]
    assert trained.count("kernel") == 3
    assert "score" not in trained


def test_layers_of_many_kinds():
    model, images = of_many_kinds(), random(4, 6, 6, 3)
    message = "2 masked weights are not trained .lstm/lstm_cell/kernel, "
    with pytest.warns(UserWarning, match=message):
        fixed = fix_masks(model)
    assert len(masked_weights(fixed)) == 15
    assert_fixed(model, fixed, images)
    plain = fixed.get_layer("plain")
    assert type(plain) is kl.Dense
    before = {id(v): v.numpy() for v in fixed.weights}
    fixed.compile(keras.optimizers.SGD(1e-3, 0.9), "mse", jit_compile=False)
    fixed.fit(images, random(4, 2), verbose=0)
    for layer in supermask_layers(fixed):
        for weight in layer.masked_weights:
            assert_removed_are_zero(weight)
            moved = np.any(weight.kernel.numpy() != before[id(weight.kernel)])
            assert moved == (layer.name != "lstm")
    for name in ("norm", "lstm"):
        for variable in fixed.get_layer(name).weights:
            np.testing.assert_array_equal(variable, before[id(variable)])


def assert_removed_are_zero(weight):
    """To the bit, in the kernel and in what the layer computes with."""
    removed = weight.mask.numpy() == 0
    assert removed.any()
    assert np.isfinite(weight.kernel).all()
    for values in (weight.kernel, weight.masked(), weight.effective()):
        assert not np.any(values.numpy()[removed])


@keras.saving.register_keras_serializable("tests")
class Shifted(keras.constraints.Constraint):
    """A constraint that takes every weight away from zero."""

    def __call__(self, kernel):
        return kernel + 0.25


def small(method="edge_popup", **options):
    mask = {"sparsity": 0.6, "method": method}
    kinds = [
        keras.Input((6, 6, 2)),
        SupermaskConv2D(4, 3, **mask, **options),
        kl.BatchNormalization(),
        SupermaskSeparableConv2D(4, 2, **mask),
        kl.Flatten(),
        SupermaskDense(8, **mask, use_bias=True),
        kl.Dense(3),
    ]
    model = randomize(keras.Sequential(kinds))
    for weight in masked_weights(model):
        weight.kernel.assign(0.2 * weight.kernel)
    return model


OPTIMIZERS = {
    "momentum": lambda: keras.optimizers.SGD(
        0.01, 0.9, nesterov=True, weight_decay=0.1
    ),
    "adam": lambda: keras.optimizers.Adam(0.01, amsgrad=True),
    "adamw": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
    "lion": lambda: keras.optimizers.Lion(0.01, weight_decay=0.1),
    "muon": lambda: keras.optimizers.Muon(0.01, weight_decay=0.1),
    "average": lambda: keras.optimizers.Adam(
        0.01, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2
    ),
    "clipped": lambda: keras.optimizers.RMSprop(0.01, global_clipnorm=0.1),
    "accumulated": lambda: keras.optimizers.SGD(0.01, gradient_accumulation_steps=2),
}


def fit(model, optimizer="adam", **options):
    options = {"jit_compile": False, **options}
    model.compile(OPTIMIZERS[optimizer](), "mse", **options)
    model.fit(random(16, 6, 6, 2), random(16, 3), batch_size=4, verbose=0)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_removed_weights_stay_zero_whatever_trains_the_others(optimizer):
    fixed = fix_masks(small())
    before = [weight.kernel.numpy() for weight in masked_weights(fixed)]
    masks = [weight.mask.numpy() for weight in masked_weights(fixed)]
    fit(fixed, optimizer)
    for weight, kernel, mask in zip(masked_weights(fixed), before, masks, strict=True):
        assert_removed_are_zero(weight)
        np.testing.assert_array_equal(weight.mask, mask)
        assert np.mean(weight.kernel.numpy()[mask > 0] != kernel[mask > 0]) > 0.5


def by_file(model, folder):
    model.save(folder / "model.keras")
    return keras.models.load_model(folder / "model.keras")


def by_weights(model, folder):
    other = fix_masks(small())
    model.save_weights(folder / "model.weights.h5")
    other.load_weights(folder / "model.weights.h5")
    return other


def by_ticket(model, folder):
    path = tfsupermask.save_ticket(model, folder / "model.ticket")
    return tfsupermask.load_ticket(path).model


@pytest.fixture(scope="module")
def trained():
    fixed = fix_masks(small())
    fit(fixed, "muon")
    return fixed


@pytest.mark.parametrize("way", [by_file, by_weights, by_ticket])
def test_they_stay_zero_in_copies_that_are_trained_on(way, trained, tmp_path):
    twin, images = way(trained, tmp_path), random(3, 6, 6, 2)
    np.testing.assert_array_equal(twin(images), trained(images))
    before = [weight.kernel.numpy() for weight in masked_weights(twin)]
    fit(twin, "muon")
    pairs = zip(*map(masked_weights, (trained, twin)), strict=True)
    for (one, two), kernel in zip(pairs, before, strict=True):
        np.testing.assert_array_equal(one.kernel, kernel)
        np.testing.assert_array_equal(one.mask, two.mask)
        assert np.any(two.kernel != kernel)
        assert_removed_are_zero(two)


def test_a_constraint_of_ones_own_comes_first(tmp_path):
    """Compiled by XLA too."""
    model = small(kernel_constraint=Shifted())
    fixed = fix_masks(model)
    fit(fixed, "momentum", jit_compile=True)
    weight = masked_weights(fixed)[0]
    assert_removed_are_zero(weight)
    mask = weight.mask.numpy()
    start = masked_weights(model)[0].effective().numpy()
    moved = (weight.kernel.numpy() - start)[mask > 0]
    assert moved.mean() > 0.5  # four times a quarter, and what was learned
    assert type(fixed.layers[0].kernel_constraint) is Shifted
    twin = by_file(fixed, tmp_path)
    fit(twin, "momentum")
    assert_removed_are_zero(masked_weights(twin)[0])


def test_removed_weights_stay_zero_in_replicas(two_replicas):
    """Where no constraint can, by their gradients."""
    with two_replicas.scope():
        fixed = fix_masks(small())
        fit(fixed, "adam")
    for weight in masked_weights(fixed):
        assert_removed_are_zero(weight)


class ByHand(keras.Model):
    """Makes masks itself, some of them in a model inside."""

    def __init__(self, method="signed", **kwargs):
        super().__init__(**kwargs)
        self.first = SupermaskDense(5, sparsity=0.6, method=method)
        layers = [SupermaskDense(5, sparsity=0.4), kl.ReLU(), kl.Dense(4)]
        self.rest = keras.Sequential(layers)

    def call(self, inputs):
        return self.rest(self.first(inputs))


BY_HAND = {
    "wrapper": lambda: kl.TimeDistributed(SupermaskDense(5, method="magnitude")),
    "model_in_wrapper": lambda: kl.TimeDistributed(ByHand().rest),
    "own": ByHand,
    "own_method": lambda: ByHand("biprop"),
    "own_in_wrapper": lambda: kl.TimeDistributed(
        keras.Sequential([keras.Input((8,)), ByHand()])
    ),
}


@pytest.mark.filterwarnings("ignore:.*masked already:UserWarning")
@pytest.mark.parametrize("kind", BY_HAND)
def test_masks_that_were_placed_by_hand_inside_of_others(kind):
    steps = random(3, 5, 8)
    model = keras.Sequential([keras.Input((5, 8)), BY_HAND[kind](), kl.Dense(2)])
    model(steps)
    randomize(model)
    for given in (model, convert(model, verbose=False)):
        fixed = fix_masks(given)
        assert_fixed(given, fixed, steps)
        np.testing.assert_array_equal(fold(fold(given))(steps), fold(given)(steps))
        before = [weight.kernel.numpy() for weight in masked_weights(fixed)]
        fixed.compile(keras.optimizers.SGD(1e-3, 0.9), "mse", run_eagerly=True)
        fixed.fit(steps, random(3, 5, 2), verbose=0)
        for weight, kernel in zip(masked_weights(fixed), before, strict=True):
            assert_removed_are_zero(weight)
            assert np.any(weight.kernel.numpy() != kernel)


def test_a_folded_model_that_makes_masks_can_be_masked_again(tmp_path):
    model = ByHand()
    model(random(3, 8))
    plain = fold(randomize(model))
    masked = convert(plain, 0.0, verbose=False)
    assert len(masked_weights(masked)) == 3
    np.testing.assert_array_equal(masked(random(3, 8)), plain(random(3, 8)))
    with pytest.raises(InputError, match="can only be saved whole if"):
        masked.save(tmp_path / "model.keras")


def test_spectral_normalization_keeps_its_outputs():
    inner = kl.Dense(4, use_bias=False)
    layer = supermask(kl.SpectralNormalization(inner), sparsity=0.5)
    model, inputs = keras.Sequential([keras.Input((6,)), layer]), random(3, 6)
    randomize(model)
    np.testing.assert_allclose(fix_masks(model)(inputs), model(inputs), rtol=1e-4)


def test_fixing_again_changes_nothing():
    fixed = fix_masks(small())
    again = fix_masks(fixed)
    assert_same_weights(fixed, again)
    assert summary(again) == summary(fixed)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (keras.Sequential([kl.Dense(3)], name="new"), r"must be built.*model='new'"),
        (
            keras.Sequential([keras.Input((2,)), kl.Dense(3)], name="plain"),
            r"must have supermask layers\..*model='plain'",
        ),
        (kl.Dense(3, name="layer"), r"must be a Keras model.*model=<Dense"),
        ("conv2", r"must be a Keras model.*model='conv2'"),
    ],
)
def test_refuses(model, message):
    with pytest.raises(InputError, match=message):
        fix_masks(model)


def test_refuses_a_layer_that_cannot_be_made_again():
    class Odd(kl.Layer):
        def call(self, inputs):
            return inputs

        def get_config(self):
            raise NotImplementedError

    layers = [keras.Input((4,)), Odd(name="odd"), SupermaskDense(2)]
    with pytest.raises(InputError, match=r"'odd' must be one that can be made anew"):
        fix_masks(keras.Sequential(layers))
