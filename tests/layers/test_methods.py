"""Methods: what scores say about weights, and masks that are drawn by chance."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfsupermask
from tests.layers.kinds import KINDS, METHODS, assert_same, masked, random
from tfsupermask import models
from tfsupermask._validation import InputError
from tfsupermask.layers import (
    EdgePopup,
    MaskDraws,
    Method,
    SupermaskConv2D,
    SupermaskDense,
    SupermaskSeparableConv2D,
    dense_forward,
    drawn,
    get_method,
    masked_weights,
    masks_found_once,
    method_names,
    methods,
    register,
    stochastic_weights,
    supermask,
)

STOCHASTIC = {
    "method": "stochastic",
    "score_initializer": keras.initializers.RandomNormal(stddev=1.0),
}
FEW = ["dense", "separable", "lstm", "model"]
each_kind = pytest.mark.parametrize("kind", FEW)


@pytest.fixture(autouse=True)
def _own_methods_are_forgotten(monkeypatch):
    monkeypatch.setattr(methods, "_METHODS", dict(methods._METHODS))


@pytest.mark.parametrize("method", METHODS)
def test_variables_and_config(method):
    layer = masked("separable", method=method)
    expected = ["depthwise_kernel", "pointwise_kernel", "bias"]
    mask = ["score", "num_kept"] if get_method(method).has_scores else ["num_kept"]
    for each in (layer.weights, layer.variables):
        assert sorted(v.name for v in each) == sorted([*expected, *mask, *mask])
    again = type(layer).from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert again.method is get_method(method)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", FEW)
@pytest.mark.parametrize("trainable", [True, False])
def test_what_is_trained(method, kind, trainable):
    layer = supermask(KINDS[kind].make(), method=method)
    layer.trainable = trainable  # when it is built
    layer(*KINDS[kind].inputs())
    trained = {
        id(getattr(weight, METHODS[method].trained)) for weight in layer.masked_weights
    }
    variables = {id(v) for w in layer.masked_weights for v in (w.kernel, w.score)}
    assert bool(trained & {id(v) for v in layer.trainable_weights}) is trainable
    for owner in (layer, keras.Sequential([layer])):
        owner.trainable = False
        assert layer.trainable_weights == []
        owner.trainable = True
        assert variables & {id(v) for v in layer.trainable_weights} == trained
        layer(*KINDS[kind].inputs())
        assert variables & {id(v) for v in layer.trainable_weights} == trained


@pytest.mark.parametrize("method", sorted({*METHODS} - {"dense"}))
@pytest.mark.parametrize("sparsity", [0.0, 0.6])
def test_scores_from_magnitudes_and_for_a_mask_give_them(method, sparsity):
    chosen = get_method(method)
    magnitude = np.abs(random(6, 5))
    kept = round(30 * (1 - sparsity))
    largest = magnitude >= np.sort(magnitude.ravel())[-kept]
    score = tf.constant(chosen.score_from(magnitude, sparsity), tf.float32)
    np.testing.assert_array_equal(chosen.mask(score, kept).numpy() != 0, largest)
    mask = chosen.mask(tf.constant(random(6, 5, seed=1)), kept).numpy()
    again = tf.constant(chosen.score_for(mask), tf.float32)
    np.testing.assert_allclose(chosen.mask(again, kept), mask)


def test_names_and_what_is_refused():
    assert method_names() == tuple(METHODS)
    for ranking, name in [
        ("magnitude", "edge_popup"),
        ("score", "edge_popup_by_score"),
    ]:
        old = {**SupermaskDense(3).get_config(), "ranking": ranking}
        del old["method"]
        assert SupermaskDense.from_config(old).method is get_method(name)
    with pytest.raises(InputError, match=r"must be registered.*method='edge_popup'"):
        SupermaskDense(3, method=EdgePopup())
    with pytest.raises(NotImplementedError):
        Method().mask(tf.ones(3), 1)


class EvenRows(Method):
    """Keeps the largest scores, but those of odd rows only when all others are."""

    name = "even_rows"

    def mask(self, score, k, draw=None):
        odd = tf.reshape(tf.range(tf.size(score)) // score.shape[-1] % 2, score.shape)
        return get_method("edge_popup_by_score").mask(
            score - 1e3 * tf.cast(odd, tf.float32), k
        )

    def rank(self, score):
        odd = np.arange(score.size) // score.shape[-1] % 2
        return score - 1e3 * odd.reshape(score.shape)


def test_a_method_of_ones_own_works_everywhere(tmp_path):
    register(EvenRows())
    layer = SupermaskDense(4, sparsity=0.5, method="even_rows")
    layer.build((None, 6))
    np.testing.assert_array_equal(np.any(layer.mask, axis=1), [1, 0, 1, 0, 1, 0])
    built = models.build("conv2", (8, 8, 3), method="even_rows")
    assert {weight.method.name for weight in masked_weights(built)} == {"even_rows"}

    plain = [keras.Input((6,)), keras.layers.Dense(8), keras.layers.Dense(4)]
    options = {"method": "even_rows", "allocation": "global", "verbose": False}
    model = tfsupermask.convert(keras.Sequential(plain), 0.75, seed=1, **options)
    weights = masked_weights(model)
    before = [weight.score.numpy() for weight in weights]
    model.compile(keras.optimizers.SGD(0.1), "mse")
    schedule = tfsupermask.SparsitySchedule(0.75, "global", every="batch")
    for epochs in (0, 3):
        model.fit(random(8, 6), random(8, 4), 8, epochs, 0, callbacks=[schedule])
        assert sum(weight.num_kept for weight in weights) == 20
        for weight, score in zip(weights, before, strict=True):
            assert np.any(weight.score.numpy() != score) == (epochs > 0)
            assert not np.any(weight.mask[1::2])

    inputs, path = random(3, 6), tmp_path / "model.ticket"
    model.save(tmp_path / "model.keras")
    for loaded in (
        tfsupermask.load_ticket(tfsupermask.save_ticket(model, path)).model,
        keras.models.load_model(tmp_path / "model.keras"),
    ):
        assert masked_weights(loaded)[0].method is get_method("even_rows")
        np.testing.assert_array_equal(loaded(inputs), model(inputs))
        masks = [[each.mask for each in masked_weights(m)] for m in (model, loaded)]
        assert_same(*masks)
    np.testing.assert_allclose(
        tfsupermask.fold(model)(inputs), model(inputs), rtol=1e-5, atol=1e-6
    )


@each_kind
def test_gradient_goes_through_the_draw(kind):
    layer = masked(kind, **STOCHASTIC)
    for weight in layer.masked_weights:
        weight.draw.assign(4)
        with tf.GradientTape() as tape:
            found = weight.masked()
            loss = tf.reduce_sum(found * 3)
        kept = np.count_nonzero(found) / weight.num_weights
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
    ones = SupermaskDense(
        3, method="stochastic", sparsity=sparsity, score_initializer="ones"
    )
    ones.build((None, 4))
    np.testing.assert_allclose(ones.score, 1 + start, rtol=1e-6)


@each_kind
def test_sparsity_zero_keeps_all_in_draws_too(kind):
    layer = masked(kind, **STOCHASTIC)
    before = layer.num_kept
    with drawn(layer, 1), dense_forward(layer):
        assert layer.num_kept == layer.num_weights
        for weight in layer.masked_weights:
            np.testing.assert_array_equal(weight.mask, 1)
            np.testing.assert_array_equal(weight.masked(), weight.kernel)
    assert layer.num_kept == before < layer.num_weights


def test_the_number_kept_follows_the_scores_and_cannot_be_set():
    layer = masked("dense", method="stochastic")
    layer.score.assign(np.where(np.arange(35).reshape(7, 5) < 10, 1.0, -1.0))
    assert (layer.num_kept, layer.realised_sparsity) == (10, 1 - 10 / 35)
    layer.score.assign(-np.ones((7, 5)))
    assert layer.num_kept == 1
    assert float(layer.mask[0, 0]) == 35


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", FEW)
def test_what_a_method_decides_cannot_be_set(method, kind):
    layer, chosen = masked(kind, sparsity=0.6, method=method), get_method(method)
    weight, message = layer.masked_weights[0], f"is up to the method '{method}' and"
    counts = [each.num_kept for each in layer.masked_weights]
    sparsity = layer.sparsity

    def refused(methods, received):
        if method not in methods:
            return contextlib.nullcontext()
        return pytest.raises(InputError, match=f"{message}.*{received}")

    with refused(("stochastic", "dense", "fixed"), "num_kept=3"):
        weight.num_kept = 3
    assert weight.num_kept == (counts[0] if chosen.decides_num_kept else 3)
    with refused(("stochastic", "dense", "fixed"), r"sparsity=0\.2"):
        layer.sparsity = 0.2
    if method in ("stochastic", "dense", "fixed"):
        assert layer.sparsity == sparsity
        assert [each.num_kept for each in layer.masked_weights] == counts
    if method in ("dense", "fixed"):
        realised = 1 - counts[0] / weight.num_weights
        assert weight.sparsity == pytest.approx(realised, abs=0.5 / weight.num_weights)
    elif method != "stochastic":
        assert layer.sparsity == layer.get_config()["sparsity"] == 0.2


def test_a_refused_sparsity_leaves_every_kernel_as_it_was():
    layer = masked("separable", sparsity=0.6, method="stochastic")
    before = layer.sparsity, layer.num_kept
    with pytest.raises(InputError, match=r"up to the method 'stochastic'.*=0\.9"):
        layer.sparsity = [0, 0.9]
    assert (layer.sparsity, layer.num_kept) == before


@pytest.mark.parametrize("method", METHODS)
def test_dense_forward_keeps_all_and_gives_back(method):
    layer = masked("dense", sparsity=0.6, method=method)
    before, mask = (layer.sparsity, layer.num_kept), layer.mask.numpy()
    with dense_forward(layer):
        np.testing.assert_array_equal(np.abs(layer.mask), 1)
        if method not in ("biprop", "signed"):
            np.testing.assert_array_equal(layer.masked_kernel(), layer.kernel)
    assert (layer.sparsity, layer.num_kept) == before
    np.testing.assert_array_equal(layer.mask, mask)


def test_a_fixed_mask_starts_by_chance_with_the_sparsity_and_stays():
    layer = SupermaskDense(50, sparsity=0.7, method="fixed")
    layer.build((None, 40))
    assert (layer.num_kept, layer.sparsity) == (600, 0.7)
    assert np.unique(layer.score).tolist() == [0, 1]
    assert np.ptp(layer.mask.numpy().mean(axis=1)) > 0.1
    mask = layer.mask.numpy()
    layer.kernel.assign(-layer.kernel)
    np.testing.assert_array_equal(layer.mask, mask)


def test_magnitude_follows_the_weights_in_every_step():
    layer = SupermaskDense(2, sparsity=0.5, method="magnitude")
    layer.build((None, 3))
    layer.kernel.assign([[6.0, -5.0], [4.0, 3.0], [-2.0, 1.0]])
    np.testing.assert_array_equal(layer.mask, [[1, 1], [1, 0], [0, 0]])
    layer.kernel.assign([[0.0, -5.0], [4.0, 3.0], [-7.0, 3.0]])
    np.testing.assert_array_equal(layer.mask, [[0, 1], [1, 0], [1, 0]])
    assert layer.score is layer.kernel


def test_removed_weights_come_back_straight_through_only():
    """They are pulled by a gradient that asks for them."""
    for method, back in [("magnitude", False), ("magnitude_straight_through", True)]:
        layer = SupermaskDense(1, sparsity=0.5, method=method)
        model = keras.Sequential([keras.Input((2,)), layer])
        layer.kernel.assign([[1.0], [0.5]])
        model.compile(keras.optimizers.SGD(0.1), "mse")
        inputs = np.float32([[0, 1]] * 4)
        model.fit(inputs, 3 * np.ones((4, 1)), batch_size=4, epochs=20, verbose=0)
        assert bool(layer.mask[1, 0]) is back
        assert (float(layer.kernel[1, 0]) > 1) is back
        assert abs(float(model(inputs)[0, 0]) - (3 if back else 0)) < 0.5


@each_kind
def test_draws_differ_and_leave_the_mask_alone(kind):
    layer, inputs = masked(kind, **STOCHASTIC), KINDS[kind].inputs()
    compiled = tf.function(layer)
    masks = [weight.mask.numpy() for weight in layer.masked_weights]
    outputs = {0: layer(*inputs).numpy()}
    for number in (1, 2, -1):
        with drawn(layer, number):
            outputs[number] = layer(*inputs).numpy()
            np.testing.assert_allclose(
                compiled(*inputs), outputs[number], rtol=1e-3, atol=1e-4
            )
            for weight, mask in zip(layer.masked_weights, masks, strict=True):
                np.testing.assert_array_equal(weight.mask, mask)
    np.testing.assert_array_equal(layer(*inputs), outputs[0])
    np.testing.assert_allclose(compiled(*inputs), outputs[0], rtol=1e-3, atol=1e-4)
    assert compiled.experimental_get_tracing_count() == 1
    assert len({value.tobytes() for value in outputs.values()}) == 4


def test_masks_found_once_are_one_draw():
    layer = masked("dense", **STOCHASTIC)
    weight, inputs = layer.masked_weights[0], KINDS["dense"].inputs()
    weight.draw.assign(1)
    with masks_found_once(layer):
        first = layer(*inputs).numpy()
        weight.draw.assign(2)
        np.testing.assert_array_equal(layer(*inputs), first)
    assert np.any(layer(*inputs) != first)


def test_kernels_and_layers_have_draws_of_their_own():
    """Though their scores be equal, and their shapes."""
    model = models.build("conv4", (8, 8, 3), method="stochastic")
    layer = SupermaskSeparableConv2D(64, 1, depth_multiplier=64, method="stochastic")
    layer.build((None, 8, 8, 1))
    for one, other in [masked_weights(model)[2:4], layer.masked_weights]:
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


def test_drawn_ends_when_its_body_fails_and_needs_nothing_to_draw():
    model = models.build("conv2", (8, 8, 3), method="stochastic")
    with contextlib.suppress(RuntimeError), drawn(model, 5):
        assert [int(weight.draw) for weight in masked_weights(model)] == [5] * 5
        raise RuntimeError
    assert [int(weight.draw) for weight in masked_weights(model)] == [0] * 5
    other = models.build("conv2", (8, 8, 3), method="signed")
    assert stochastic_weights(other) == []
    with drawn(other, 5):
        pass


class Recorder(keras.callbacks.Callback):
    """Notes the draws at moments of training."""

    def __init__(self):
        super().__init__()
        self.during, self.after, self.testing, self.ends = [], [], [], []

    def _draws(self):
        return {int(weight.draw) for weight in stochastic_weights(self.model)}

    def on_train_batch_begin(self, batch, logs=None):
        self.during.append(self._draws())

    def on_train_batch_end(self, batch, logs=None):
        self.after.append(self._draws())

    def on_test_batch_begin(self, batch, logs=None):
        self.testing.append(self._draws())

    def on_epoch_end(self, epoch, logs=None):
        self.ends.append(self._draws())


def compiled_model(seed=0):
    normal = keras.initializers.RandomNormal
    he = keras.initializers.HeNormal
    rows = keras.layers.Dense(3, kernel_initializer=he(seed=3))

    def stochastic(number):
        scores = normal(seed=seed + number)
        return {"method": "stochastic", "score_initializer": scores}

    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            SupermaskConv2D(8, 3, kernel_initializer=he(seed=1), **stochastic(0)),
            keras.layers.ReLU(),
            supermask(keras.layers.TimeDistributed(rows), **stochastic(2)),
            keras.layers.Flatten(),
            SupermaskDense(
                2, use_bias=True, kernel_initializer=he(seed=2), **stochastic(1)
            ),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(5.0), loss, metrics=["accuracy"])
    return model


@pytest.fixture
def images_and_labels():
    rng = np.random.default_rng(0)
    labels = np.arange(64) % 2
    images = rng.normal(size=(64, 6, 6, 2)) + 0.5 * labels[:, None, None, None]
    return images.astype(np.float32), labels


def test_fit_learns_from_a_draw_a_step_and_evaluates_without_chance(images_and_labels):
    model, record = compiled_model(), Recorder()
    options = {"validation_data": images_and_labels, "callbacks": [MaskDraws(), record]}
    model.fit(*images_and_labels, batch_size=16, epochs=20, verbose=0, **options)
    assert record.during == [{step} for step in range(1, 81)]
    assert record.after == [{0}] * 80
    assert set().union(*record.testing) == {0}
    fresh = masked_weights(compiled_model())
    for one, other in zip(fresh, masked_weights(model), strict=True):
        np.testing.assert_array_equal(one.kernel, other.kernel)
        assert (one.score.numpy() != other.score.numpy()).mean() > 0.9
    assert model.evaluate(*images_and_labels, verbose=0)[1] > 0.9


def unknown(images_and_labels):
    """Batches of a number that Keras does not know."""
    batches = tf.data.Dataset.from_tensor_slices(images_and_labels).batch(16)
    return batches.filter(lambda images, labels: True)


@pytest.mark.parametrize("validated", [False, True])
@pytest.mark.parametrize("steps_per_execution", [1, 3])
@pytest.mark.filterwarnings("ignore:.*(shuffle|ran out of data)")
def test_data_of_unknown_length_leave_no_mask_drawn(
    images_and_labels, validated, steps_per_execution
):
    model, record = compiled_model(), Recorder()
    model.steps_per_execution = steps_per_execution
    options = {"epochs": 2, "verbose": 0, "callbacks": [MaskDraws(), record]}
    if validated:
        options["validation_data"] = images_and_labels
    model.fit(unknown(images_and_labels), **options)
    assert record.ends == [{0}] * 2
    assert bool(record.testing) == validated
    assert set().union({0}, *record.testing) == {0}
    assert record._draws() == {0}


def test_a_saved_model_goes_on_with_the_same_draws(images_and_labels, tmp_path):
    model, weights = compiled_model(), tmp_path / "model.weights.h5"
    options = {"batch_size": 16, "verbose": 0, "shuffle": False}
    model.fit(*images_and_labels, **options, callbacks=[MaskDraws()])
    model.save(tmp_path / "model.keras")
    model.save_weights(weights)
    loaded = [keras.models.load_model(tmp_path / "model.keras"), compiled_model()]
    loaded[1].load_weights(weights)
    outputs = model(images_and_labels[0])
    model.fit(*images_and_labels, **options, callbacks=[MaskDraws()])
    for each in loaded:
        np.testing.assert_array_equal(each(images_and_labels[0]), outputs)
        each.fit(*images_and_labels, **options, callbacks=[MaskDraws()])
        assert_same(model.weights, each.weights)


def test_mixed_precision_computes_in_half():
    layer = SupermaskDense(50, method="stochastic", dtype="mixed_bfloat16")
    outputs = layer(np.ones((2, 40), np.float32))
    assert outputs.dtype == tf.bfloat16
    assert (layer.score.dtype, layer.mask.dtype) == ("float32", tf.float32)
    expected = layer.kernel.numpy() * layer.mask.numpy()
    np.testing.assert_allclose(outputs[0], expected.sum(axis=0), atol=0.1)
