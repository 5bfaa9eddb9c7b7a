import csv
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfsupermask._validation import InputError
from tfsupermask.layers import SupermaskDense, masked_weights
from tfsupermask.ops import num_kept
from tfsupermask.sparsity import (
    SparsityRamp,
    SparsitySchedule,
    SupermaskMetrics,
    allocate,
    realised_sparsity,
)

from .conftest import LOSS

RAMP = SparsityRamp(final=0.9, end_epoch=2)


class Recorder(keras.callbacks.Callback):
    """Notes masks and counts at moments of training."""

    def __init__(self):
        super().__init__()
        self.begins, self.after_batches, self.ends, self.logs = [], [], [], []

    def on_epoch_begin(self, epoch, logs=None):
        self.begins.append(_counts(self.model))

    def on_train_batch_end(self, batch, logs=None):
        self.after_batches.append((_counts(self.model), _scores(self.model)))

    def on_epoch_end(self, epoch, logs=None):
        self.ends.append([w.mask.numpy() for w in masked_weights(self.model)])
        self.logs.append(dict(logs))


class Traced(keras.layers.Layer):
    """Counts how often Python runs it."""

    runs = 0

    def call(self, inputs):
        self.runs += 1
        return inputs


def _counts(model):
    return [weight.num_kept for weight in masked_weights(model)]


def _scores(model):
    return [weight.score.numpy() for weight in masked_weights(model)]


def fit(model, images_and_labels, callbacks, epochs=3, **options):
    options |= {"batch_size": 8, "verbose": 0, "shuffle": False}
    return model.fit(*images_and_labels, epochs=epochs, callbacks=callbacks, **options)


@pytest.mark.parametrize("allocation", ["uniform", "global"])
def test_counts_follow_the_schedule_from_the_epochs_first_step(
    compiled, images_and_labels, allocation
):
    recorder = Recorder()
    fit(compiled, images_and_labels, [SparsitySchedule(RAMP, allocation), recorder])
    total = sum(weight.num_weights for weight in masked_weights(compiled))
    margin = 3 if allocation == "uniform" else 0
    rows = zip(recorder.begins, recorder.ends, strict=True)
    for epoch, (counts, masks) in enumerate(rows):
        expected = num_kept(total, RAMP(epoch))
        assert sum(counts) == pytest.approx(expected, abs=margin)
        assert [int(mask.sum()) for mask in masks] == counts
    assert realised_sparsity(compiled) == pytest.approx(0.9, abs=1e-3)


@pytest.mark.parametrize("allocation", ["uniform", "erdos_renyi", "global"])
def test_layers_stay_whole_along_a_ramp(compiled, images_and_labels, allocation):
    recorder = Recorder()
    ramp = SparsitySchedule(lambda epoch: {"conv": 0, "*": RAMP(epoch)}, allocation)
    fit(compiled, images_and_labels, [ramp, recorder])
    weights = masked_weights(compiled)
    assert [counts[0] for counts in recorder.begins] == 3 * [weights[0].num_weights]
    shared = sum(weight.num_weights for weight in weights[1:])
    margin = 3 if allocation == "uniform" else 0
    for epoch, counts in enumerate(recorder.begins):
        expected = num_kept(shared, RAMP(epoch))
        assert sum(counts[1:]) == pytest.approx(expected, abs=margin)


def test_every_batch_ranks_by_the_scores_of_that_step(compiled, images_and_labels):
    recorder = Recorder()
    schedule = SparsitySchedule(0.4, "global", every="batch")
    fit(compiled, images_and_labels, [schedule, recorder], epochs=2)
    assert len(recorder.after_batches) == 6
    for counts, scores in recorder.after_batches:
        for weight, score in zip(masked_weights(compiled), scores, strict=True):
            weight.score.assign(score)
        allocate(compiled, 0.4, "global")
        assert _counts(compiled) == counts
    assert len({tuple(counts) for counts, _ in recorder.after_batches}) > 3


def test_every_batch_moves_along_the_ramp(compiled, images_and_labels):
    recorder = Recorder()
    schedule = SparsitySchedule(RAMP, "erdos_renyi", every="batch")
    fit(compiled, images_and_labels, [schedule, recorder], epochs=2)
    total = sum(weight.num_weights for weight in masked_weights(compiled))
    assert [sum(counts) for counts, _ in recorder.after_batches] == [
        num_kept(total, RAMP(step / 3)) for step in range(1, 7)
    ]


@pytest.mark.parametrize("kind", ["filtered", "generator"])
@pytest.mark.filterwarnings("ignore:.*(shuffle|ran out of data)")
def test_an_unknown_number_of_batches_is_that_of_the_epoch_before(
    compiled, images_and_labels, kind
):
    batches = tf.data.Dataset.from_tensor_slices(images_and_labels).batch(8)
    if kind == "filtered":
        unknown = batches.filter(lambda images, labels: True)
    else:
        signature = batches.element_spec
        unknown = tf.data.Dataset.from_generator(
            lambda: iter(batches), output_signature=signature
        )
    total = sum(weight.num_weights for weight in masked_weights(compiled))
    steps = [0, 0, 0, 4, 5, 6, 7, 8, 9]
    ramp = SparsityRamp(final=0.9, end_epoch=3)
    expected = [num_kept(total, ramp(step / 3)) for step in steps]
    schedule = SparsitySchedule(ramp, "erdos_renyi", every="batch")
    for _ in range(2):  # another training begins with unknown batches again
        recorder = Recorder()
        callbacks = [schedule, recorder]
        compiled.fit(unknown, epochs=3, callbacks=callbacks, verbose=0)
        found = [sum(counts) for counts, _ in recorder.after_batches]
        assert found == expected


def test_a_longer_epoch_does_not_go_beyond_the_next(compiled):
    asked = []
    schedule = SparsitySchedule(lambda epoch: asked.append(epoch) or 0.5, every="batch")
    schedule.set_model(compiled)
    schedule.set_params({"steps": None})
    schedule.on_train_begin()
    for epoch, length in enumerate([2, 3, 1]):
        schedule.on_epoch_begin(epoch)
        for batch in range(length):
            schedule.on_train_batch_end(batch)
        schedule.on_epoch_end(epoch)
    assert asked == pytest.approx([0, 0, 0, 1, 1.5, 2, 2, 2, 2 + 1 / 3])


@pytest.mark.parametrize("begun", [True, False])
def test_a_loop_of_ones_own_calls_them(model, begun):
    """Epochs count whole until one has ended, whose number of batches is then known."""
    schedule, metrics = SparsitySchedule(RAMP, every="batch"), SupermaskMetrics()
    callbacks = keras.callbacks.CallbackList([schedule, metrics], model=model)
    if begun:
        callbacks.on_train_begin()
    seen = []
    for epoch in range(2):
        callbacks.on_epoch_begin(epoch)
        for batch in range(2):
            callbacks.on_train_batch_end(batch)
            seen.append(masked_weights(model)[0].sparsity)
        callbacks.on_epoch_end(epoch)
    assert seen == [RAMP(0), RAMP(0), RAMP(1.5), RAMP(2)]


def test_a_ramp_needs_no_retracing(model, images_and_labels):
    traced = Traced()
    model = keras.Sequential([keras.Input((6, 6, 2)), traced, *model.layers])
    model.compile("sgd", LOSS)
    schedule = SparsitySchedule(RAMP, "global", every="batch")
    fit(model, images_and_labels, [schedule], epochs=1)
    after_one_epoch = traced.runs
    function = model.train_function
    fit(model, images_and_labels, [schedule], epochs=4)
    assert model.train_function is function
    assert traced.runs == after_one_epoch
    assert realised_sparsity(model) == pytest.approx(0.9, abs=1e-3)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_logs_have_sparsity_and_churn(model, images_and_labels, jit_compile, tmp_path):
    model.compile(keras.optimizers.SGD(0.5), LOSS, jit_compile=jit_compile)
    recorder = Recorder()
    before = [weight.mask.numpy() for weight in masked_weights(model)]
    csv_file = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    schedule = SparsitySchedule(RAMP, "global")
    callbacks = [SupermaskMetrics(), schedule, csv_file, recorder]
    run = fit(model, images_and_labels, callbacks, validation_data=images_and_labels)
    looks = [before, *recorder.ends]
    size = sum(mask.size for mask in before)
    churn = [
        sum((new != old).sum() for new, old in zip(now, then, strict=True)) / size
        for then, now in itertools.pairwise(looks)
    ]
    sparsity = [1 - sum(mask.sum() for mask in masks) / size for masks in recorder.ends]
    assert {"loss", "val_loss", "sparsity", "mask_churn"} == set(run.history)
    np.testing.assert_allclose(run.history["mask_churn"], churn, rtol=1e-12)
    np.testing.assert_allclose(run.history["sparsity"], sparsity, atol=1e-7)
    assert run.history["sparsity"][0] == 0
    assert min(churn) > 0
    with open(tmp_path / "log.csv") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["mask_churn"]) for row in rows] == run.history["mask_churn"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1,), "sparsity=1"),
        (("0.5",), r"sparsity='0\.5'"),
        (({"conv": 1.5},), r"sparsity=1\.5"),
        ((0.5, "best"), "allocation='best'"),
        ((0.5, "uniform", "step"), "every='step'"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(InputError, match=message):
        SparsitySchedule(*arguments)


def with_method(method):
    """A model of two layers, compiled."""
    mask = {"sparsity": 0.0, "method": method}
    layers = [SupermaskDense(30, activation="relu", **mask), SupermaskDense(3, **mask)]
    flat = keras.layers.Flatten()
    model = keras.Sequential([keras.Input((6, 6, 2)), flat, *layers])
    model.compile(keras.optimizers.SGD(0.05, 0.9), LOSS, jit_compile=False)
    return model


@pytest.mark.parametrize("method", ["magnitude", "magnitude_straight_through"])
@pytest.mark.parametrize("allocation", ["uniform", "global"])
def test_trained_weights_are_removed_more_and_more(
    images_and_labels, method, allocation
):
    keras.utils.set_random_seed(0)
    model, recorder = with_method(method), Recorder()
    ramp = SparsityRamp(final=0.9, end_epoch=3)
    fit(model, images_and_labels, [SparsitySchedule(ramp, allocation), recorder], 4)
    counts = [sum(each) for each in recorder.begins]
    total = counts[0]
    assert counts == sorted(counts, reverse=True)
    for epoch, count in enumerate(counts):
        assert abs(count - num_kept(total, ramp(epoch))) <= 1
    magnitudes = []
    for weight, mask in zip(masked_weights(model), recorder.ends[-1], strict=True):
        kernel = np.abs(weight.kernel.numpy())
        assert kernel[mask == 1].min() >= kernel[mask == 0].max()
        magnitudes.append(kernel[mask == 1].min())
    removed = [
        np.all(now[then == 0] == 0)
        for epochs in itertools.pairwise(recorder.ends)
        for then, now in zip(*epochs, strict=True)
    ]
    # Without a gradient nothing comes back that was far from the threshold.
    assert method != "magnitude" or np.mean(removed) > 0.5
    if allocation == "global":
        threshold = max(magnitudes)
        for weight, mask in zip(masked_weights(model), recorder.ends[-1], strict=True):
            assert np.all(np.abs(weight.kernel.numpy())[mask == 0] <= threshold)


@pytest.mark.parametrize("sparsity", [0.0, SparsityRamp(final=0.5, end_epoch=2)])
@pytest.mark.parametrize("method", ["dense", "fixed", "stochastic"])
def test_refuses_a_method_that_decides_how_many_are_kept(
    images_and_labels, method, sparsity
):
    model = with_method(method)
    before = model.get_weights()
    message = rf"that decides it.*layer='supermask_dense.*method='{method}'"
    with pytest.raises(InputError, match=message):
        fit(model, images_and_labels, [SparsitySchedule(sparsity)])
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_layers_that_a_schedule_leaves_alone_may_have_any_method(images_and_labels):
    layers = [
        SupermaskDense(4, name="scheduled"),
        SupermaskDense(3, name="trained", method="dense"),
    ]
    model = keras.Sequential([keras.Input(images_and_labels[0].shape[1:])])
    model.add(keras.layers.Flatten())
    for layer in layers:
        model.add(layer)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(True))
    fit(model, images_and_labels, [SparsitySchedule({"scheduled": 0.75})])
    assert [layer.sparsity for layer in layers] == [0.75, 0.0]


def test_refuses_what_a_function_returns(compiled, images_and_labels):
    with pytest.raises(InputError, match=r"sparsity=1\.5"):
        fit(compiled, images_and_labels, [SparsitySchedule(lambda epoch: 1.5)])


@pytest.mark.parametrize("callback", [SparsitySchedule(0.5), SupermaskMetrics()])
def test_a_model_without_masks_is_refused(callback):
    plain = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)], name="plain")
    plain.compile("sgd", "mse")
    with pytest.raises(InputError, match="model='plain'"):
        plain.fit(np.ones((2, 3)), np.ones((2, 2)), callbacks=[callback], verbose=0)
