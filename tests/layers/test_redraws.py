"""Removed weights that are drawn anew while scores are trained (IteRand)."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.layers.kinds import KINDS, METHODS, assert_same, masked, random
from tfsupermask import models
from tfsupermask._validation import InputError
from tfsupermask.layers import (
    KernelRedraws,
    SupermaskConv2D,
    SupermaskDense,
    draws,
    masked_weights,
    redraw_removed,
    supermask,
)

MASK = {"method": "iterand", "sparsity": 0.6}


def model_of_several(seed=0, method="iterand"):
    normal = keras.initializers.RandomNormal
    scores = {"score_initializer": normal(seed=seed), "method": method}
    rows = keras.layers.TimeDistributed(keras.layers.Dense(8))
    layers = [
        keras.Input((6, 6, 3)),
        SupermaskConv2D(
            8, 3, sparsity=0.6, kernel_initializer=normal(seed=1), **scores
        ),
        keras.layers.Reshape((16, 8)),
        supermask(rows, sparsity=0.8, **scores),
        keras.layers.Flatten(),
        SupermaskDense(4, sparsity=0.5, kernel_initializer=normal(seed=2), **scores),
    ]
    return keras.Sequential(layers)


def kernels(model):
    return [weight.kernel.numpy() for weight in masked_weights(model)]


def masks(model):
    return [weight.mask.numpy() != 0 for weight in masked_weights(model)]


@pytest.mark.parametrize("kind", KINDS)
def test_only_removed_weights_change_and_take_values_of_the_kernel(kind):
    layer = masked(kind, **MASK)
    before, others = kernels(layer), {v.path: v.numpy() for v in layer.variables}
    redraw_removed(layer, 1, 0.5)
    redraw_removed(layer, 2, 0.5)
    for weight, kernel in zip(layer.masked_weights, before, strict=True):
        others.pop(weight.kernel.path)
        keeps, now = weight.mask.numpy() != 0, weight.kernel.numpy()
        np.testing.assert_array_equal(now[keeps], kernel[keeps])
        assert set(now.ravel()) <= set(kernel.ravel())
        changed = (now != kernel)[~keeps]
        assert changed.size < 12 or 0 < changed.mean() < 1
    for variable in layer.variables:
        if variable.path in others:
            np.testing.assert_array_equal(variable, others[variable.path])


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.7])
def test_how_many_change_and_to_what(fraction):
    layer = SupermaskDense(400, **MASK)
    layer.build((None, 300))
    before = np.arange(120_000, dtype=np.float32).reshape(300, 400)
    layer.kernel.assign(before)
    removed = layer.mask.numpy() == 0
    redraw_removed(layer, 3, fraction)
    changed = layer.kernel.numpy() != before
    assert not changed[~removed].any()
    error = np.sqrt(fraction * (1 - fraction) / 72_000)
    assert abs(changed[removed].mean() - fraction) <= 4 * error
    if fraction:
        # Of all places alike, kept ones too.
        drawn = layer.kernel.numpy()[changed]
        tenths, _ = np.histogram(drawn, 10, (0, 120_000))
        assert np.abs(tenths / drawn.size - 0.1).max() < 0.02
        assert not np.isin(np.flatnonzero(changed), drawn).all()


def redrawn(number, seed=0, how=redraw_removed):
    model = model_of_several(seed)
    scores = model_of_several()  # the same masks for every seed
    for weight, other in zip(*map(masked_weights, (model, scores)), strict=True):
        weight.kernel.assign(random(*weight.kernel.shape))
        weight.score.assign(other.score)
    before = kernels(model)
    how(model, number)
    after = kernels(model)
    return [now != then for now, then in zip(after, before, strict=True)], after


def test_a_draw_is_a_function_of_seed_and_number():
    places, values = redrawn(3)
    again = redrawn(3)[1]
    compiled = tf.function(redraw_removed)
    assert_same(values, again)
    assert_same(values, redrawn(3, how=lambda m, n: compiled(m, tf.constant(n)))[1])
    for other in (redrawn(4)[0], redrawn(3, seed=1)[0]):
        for one, two in zip(places, other, strict=True):
            assert np.any(one != two)


def test_layers_and_kernels_have_draws_of_their_own():
    model = models.build("conv4", (8, 8, 3), method="iterand")
    for weight in masked_weights(model):
        weight.score.assign(np.zeros(weight.score.shape))
        size = weight.num_weights
        weight.kernel.assign(np.arange(size).reshape(weight.kernel.shape))
    before = kernels(model)
    redraw_removed(model, 1, 0.5)
    changed = [
        np.ravel(now != then)[-30_000:]  # all removed, as the first of equals are kept
        for now, then in zip(kernels(model), before, strict=True)
        if now.size > 60_000
    ]
    assert len(changed) == 4
    for index, one in enumerate(changed):
        for other in changed[:index]:
            assert 0.48 < np.mean(one == other) < 0.52


@pytest.mark.parametrize("method", sorted({*METHODS} - {"iterand"}))
def test_other_methods_keep_their_weights(method):
    model = model_of_several(method=method)
    before = kernels(model)
    redraw_removed(model, 1, 0.9)
    assert_same(kernels(model), before)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: KernelRedraws(0), "steps=0"),
        (lambda: KernelRedraws(2.5), r"steps=2\.5"),
        (lambda: KernelRedraws(1, 1.0), r"fraction=1\.0"),
        (lambda: redraw_removed(model_of_several(), 1, 1.5), r"fraction=1\.5"),
        (lambda: redraw_removed(model_of_several(), 1, -0.1), r"fraction=-0\.1"),
    ],
)
def test_refuses(make, message):
    with pytest.raises(InputError, match=message):
        make()


def fit(model, callbacks, epochs=1, **options):
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=False, **options)
    return go_on(model, callbacks, epochs)


def go_on(model, callbacks, epochs=1):
    options = {"batch_size": 2, "shuffle": False, "verbose": 0, "epochs": epochs}
    inputs, targets = random(15, 6, 6, 3), random(15, 4)
    return model.fit(inputs, targets, callbacks=callbacks, **options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # Eight steps an epoch, the last one of a single image.
        ({}, [1, 2, 3, 4, 5]),
        ({"steps_per_execution": 4}, [1, 2, 4, 5]),
    ],
)
def test_the_callback_counts_steps_through_epochs_and_trainings(
    options, expected, monkeypatch
):
    calls, model = [], model_of_several()
    monkeypatch.setattr(draws, "redraw_removed", lambda *args: calls.append(args))
    fit(model, [KernelRedraws(3, 0.2)], epochs=2, **options)
    assert calls == [(model, number, 0.2) for number in expected]
    calls.clear()
    go_on(model, [KernelRedraws(3, 0.2)])  # from step 16 to 24
    last = [6, 8] if options else [6, 7, 8]
    assert [number for _, number, _ in calls] == last


def test_a_saved_model_goes_on_with_the_same_draws(tmp_path):
    model = model_of_several()
    start = kernels(model)
    fit(model, [KernelRedraws(3)])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for one in (model, loaded):
        go_on(one, [KernelRedraws(3)])
    assert_same(model.weights, loaded.weights)
    assert all(
        np.any(one != two) for one, two in zip(start, kernels(model), strict=True)
    )


class Stop(keras.callbacks.Callback):
    """Fails in the middle of a training, once."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise RuntimeError


@pytest.mark.parametrize("steps", [3, 8])
@pytest.mark.parametrize("backup_is_first", [False, True])
def test_a_restored_training_goes_on_with_the_same_draws(
    steps, backup_is_first, tmp_path
):
    def callbacks():
        both = [keras.callbacks.BackupAndRestore(tmp_path), KernelRedraws(steps)]
        return both if backup_is_first else both[::-1]

    whole, start, again = (model_of_several() for _ in range(3))
    start.set_weights(whole.get_weights())
    fit(whole, [KernelRedraws(steps)], epochs=3)
    with contextlib.suppress(RuntimeError):
        fit(start, [*callbacks(), Stop()], epochs=3)
    fit(again, callbacks(), epochs=3)
    for one, other in zip(whole.weights, again.weights, strict=True):
        np.testing.assert_array_equal(one, other)
