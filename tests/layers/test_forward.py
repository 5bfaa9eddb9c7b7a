"""What supermask layers compute: what plain ones do whose kernels are masked."""

import dataclasses
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.layers.kinds import (
    KINDS,
    METHODS,
    Composite,
    kept_by_hand,
    masked,
    outputs_and_gradients,
    plain_twin,
    random,
)
from tfsupermask.layers import supermask

XLA = functools.partial(tf.function, jit_compile=True)


def eager(function):
    return function


FEW = ["dense", "conv", "separable", "attention", "lstm", "built"]


@pytest.fixture
def half(request):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    yield request.param.removeprefix("mixed_")
    keras.config.set_dtype_policy(before)


def check(kind, method, transform, rtol):
    """Compares a layer with the plain one whose kernels are masked by hand."""
    by_hand = METHODS[method]
    layer = masked(kind, sparsity=0.7, method=method)
    plain, kernels = plain_twin(kind, layer, by_hand.factors or by_hand.mask)
    inputs, weights = KINDS[kind].inputs(), layer.masked_weights
    for weight, kernel in zip(weights, kernels, strict=True):
        mask = by_hand.mask(weight)
        np.testing.assert_allclose(weight.mask, mask, rtol=1e-6)
        for found in (weight.masked(), weight.effective()):
            np.testing.assert_allclose(found, kernel, rtol=1e-6)
        assert weight.num_kept == np.count_nonzero(mask)
        assert weight.trained is getattr(weight, by_hand.trained)
    trained = [weight.trained for weight in weights]
    expected, *upstream = outputs_and_gradients(plain, inputs, kernels)
    outputs, *gradients = transform(
        lambda: outputs_and_gradients(layer, inputs, trained)
    )()
    atol = rtol * float(tf.reduce_max(tf.abs(expected)))
    np.testing.assert_allclose(outputs, expected, rtol=rtol, atol=atol)
    for weight, found, kernel in zip(weights, gradients, upstream, strict=True):
        factors = by_hand.gradient(weight)
        expected = kernel * factors
        atol = rtol * float(tf.reduce_max(tf.abs(expected)))
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)
        # So that the comparison means something for removed weights too.
        removed = weight.mask.numpy() == 0
        assert np.any(found.numpy()[removed] != 0) == np.any(factors[removed] != 0)


@pytest.mark.parametrize(
    ("kind", "method", "transform"),
    [
        *[(kind, "edge_popup", how) for kind in KINDS for how in (eager, tf.function)],
        *[(kind, method, eager) for kind in FEW for method in [*METHODS][1:]],
        *[("embedding", method, eager) for method in ("dense", "magnitude", "fixed")],
        *[("separable", method, tf.function) for method in [*METHODS][1:]],
    ],
)
def test_outputs_and_gradients_by_hand(kind, method, transform):
    check(kind, method, transform, 1e-4 if method == "edge_popup" else 1e-3)


@pytest.mark.parametrize(
    ("kind", "method"),
    [(kind, "edge_popup") for kind in FEW] + [("conv1d", each) for each in METHODS],
)
def test_compiled_by_xla(kind, method):
    check(kind, method, XLA, rtol=1e-3)


@pytest.mark.parametrize("kind", FEW)
@pytest.mark.parametrize(
    "half", ["mixed_bfloat16", "mixed_float16", "bfloat16"], indirect=True
)
def test_half_precision_ranks_float32_scores(kind, half):
    policy = keras.config.dtype_policy()
    if (kind, policy.name) == ("lstm", "bfloat16"):
        pytest.skip("Keras cannot draw the kernels.")
    layer = masked(kind, sparsity=0.7)
    for weight in layer.masked_weights:
        # All alike in bfloat16 and float16.
        order = np.random.default_rng(0).permutation(weight.num_weights)
        weight.score.assign((1 + order * 2.0**-22).reshape(weight.kernel.shape))
        weight.kernel.assign(0.1 * weight.kernel)
        assert weight.score.dtype == "float32"
        assert weight.kernel.dtype == policy.variable_dtype
        np.testing.assert_array_equal(weight.mask, kept_by_hand(weight))
    plain, _ = plain_twin(kind, layer, kept_by_hand)
    inputs = KINDS[kind].inputs()
    scores = [weight.score for weight in layer.masked_weights]
    outputs, *gradients = outputs_and_gradients(layer, inputs, scores)
    assert outputs.dtype == half
    np.testing.assert_array_equal(outputs, plain(*inputs))
    for gradient in gradients:
        assert gradient.dtype == tf.float32
        assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("half", ["mixed_bfloat16", "float16"], indirect=True)
def test_every_method_computes_in_half_precision(method, half):
    by_hand, layer = METHODS[method], masked("conv", sparsity=0.7, method=method)
    (weight,) = layer.masked_weights
    weight.kernel.assign(0.1 * weight.kernel)
    assert weight.mask.dtype == tf.float32
    np.testing.assert_array_equal(weight.mask != 0, by_hand.mask(weight) != 0)
    factors = (by_hand.factors or by_hand.mask)(weight)
    np.testing.assert_allclose(weight.masked(), weight.kernel * factors, rtol=2e-3)
    plain, _ = plain_twin("conv", layer, lambda weight: factors)
    inputs = KINDS["conv"].inputs()
    outputs, gradient = outputs_and_gradients(layer, inputs, [weight.trained])
    assert outputs.dtype == half
    np.testing.assert_allclose(outputs, plain(*inputs), rtol=0.02, atol=0.02)
    assert gradient.dtype == weight.trained.dtype
    policy = keras.config.dtype_policy()
    expected = "float32" if by_hand.trained == "score" else policy.variable_dtype
    assert weight.trained.dtype == expected
    assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize("kind", ["composite", "built", "model"])
@pytest.mark.parametrize("transform", [eager, tf.function])
def test_side_effects_are_those_of_the_plain_layer(kind, transform):
    """Averages, seeds and losses, in training and in evaluation."""
    layer = masked(kind, sparsity=0.7)
    plain, _ = plain_twin(kind, layer, kept_by_hand)
    masks, outputs = {"kernel", "score", "num_kept"}, []

    def run(one, training):
        @transform
        def call(inputs):
            result = one(inputs, training=training)
            return result, tf.sort(tf.stack(one.losses))

        result, losses = call(*KINDS[kind].inputs(batch=8))
        assert losses.shape == (2,)
        states = [each.numpy() for each in one.variables if each.name not in masks]
        return [result, losses, *states]

    for training in (True, True, False, True):
        found = run(layer, training)
        for ours, theirs in zip(found, run(plain, training), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
        outputs.append(found[0].numpy().tobytes())
    assert len(set(outputs)) == 4


ARGUMENTS = [
    ("conv", {"kernel_size": (2, 3), "padding": "same"}),
    ("conv", {"groups": 2}),
    ("conv", {"strides": 2, "padding": "same", "activation": "tanh"}),
    ("conv1d", {"padding": "causal", "dilation_rate": 2}),
    ("conv1d", {"padding": "causal", "strides": 2, "use_bias": False}),
    ("conv3d", {"kernel_size": (1, 2, 3)}),
    ("conv3d", {"dilation_rate": 2, "padding": "same"}),
    ("transpose", {"strides": 3, "output_padding": (2, 1)}),
    ("transpose", {"padding": "same", "kernel_size": 1, "use_bias": False}),
    ("depthwise", {"depth_multiplier": 3, "padding": "same"}),
    ("depthwise", {"strides": 2, "activation": "tanh"}),
    ("depthwise", {"dilation_rate": 2, "use_bias": False}),
    ("separable", {"depth_multiplier": 2}),
    ("dense", {"activation": "softmax"}),
]


@pytest.mark.parametrize(("kind", "arguments"), ARGUMENTS)
def test_all_arguments_of_keras(kind, arguments, monkeypatch):
    make = KINDS[kind].make
    changed = {**make().get_config(), **arguments, "name": kind}
    new = dataclasses.replace(
        KINDS[kind], make=lambda: type(make()).from_config(changed)
    )
    monkeypatch.setitem(KINDS, kind, new)
    layer = masked(kind, sparsity=0.7)
    plain, _ = plain_twin(kind, layer, kept_by_hand)
    inputs = KINDS[kind].inputs()
    np.testing.assert_array_equal(layer(*inputs), plain(*inputs))
    assert layer(*inputs).shape == plain.compute_output_shape(inputs[0].shape)


def normalized_by_hand(kernel, u):
    v = kernel @ u / np.linalg.norm(kernel @ u)
    new = v @ kernel / np.linalg.norm(v @ kernel)
    return kernel / (v @ kernel @ new), new, v


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("mode", ["eager", "graph"])
def test_spectral_normalization_by_hand(training, mode):
    """The mask comes first; the frozen kernel stays as it is."""
    inner = keras.layers.Dense(4, use_bias=False)
    layer = supermask(keras.layers.SpectralNormalization(inner), sparsity=0.5)
    layer.build((None, 6))
    weight, inputs = layer.masked_weights[0], random(3, 6)
    before = weight.kernel.numpy()
    u = layer.vector_u.numpy()[0]
    kernel, new, v = normalized_by_hand(before * kept_by_hand(weight), u)

    def run():
        with tf.GradientTape() as tape:
            outputs = layer(inputs, training=training)
            loss = tf.reduce_sum(outputs)
        return outputs, tape.gradient(loss, weight.score.value)

    outputs, gradient = (tf.function(run) if mode == "graph" else run)()
    np.testing.assert_allclose(outputs, inputs @ kernel, rtol=1e-4)
    np.testing.assert_array_equal(weight.kernel, before)
    np.testing.assert_allclose(layer.vector_u[0], new if training else u, rtol=1e-5)
    np.testing.assert_allclose(
        layer.effective_kernels()[0],
        normalized_by_hand(before * kept_by_hand(weight), layer.vector_u.numpy()[0])[0],
        rtol=1e-4,
    )
    # d(inputs · K / sigma) with sigma = v K u', u' and v held fast.
    sigma = 1 / (kernel.max() / (before * kept_by_hand(weight)).max())
    upstream = np.repeat(inputs.sum(0)[:, None], 4, 1)
    upstream = upstream / sigma - (upstream * kernel).sum() / sigma * np.outer(v, new)
    np.testing.assert_allclose(
        gradient, upstream * before * np.sign(weight.score), rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize("kind", FEW)
@pytest.mark.parametrize("mode", ["eager", "symbolic", "build"])
def test_a_layer_is_built_however_it_is_used_first(kind, mode):
    layer, inputs = supermask(KINDS[kind].make(), sparsity=0.7), KINDS[kind].inputs()
    if mode == "build":
        layer.build(*[each.shape for each in inputs])
    elif mode == "symbolic":
        layer(*[keras.Input(each.shape[1:]) for each in inputs])
    outputs = layer(*inputs)
    plain, _ = plain_twin(kind, layer, kept_by_hand)
    np.testing.assert_array_equal(outputs, plain(*inputs))


def test_a_layer_inside_may_stay_unused():
    calls = []

    class Half(Composite):
        def call(self, inputs):
            calls.append(1)
            return self.dense(inputs)

    layer = supermask(Half())
    layer(random(3, 5))
    (weight,) = layer.masked_weights
    assert weight.name == f"{layer.name}/dense/kernel"
    calls.clear()
    layer(random(3, 5))
    assert len(calls) == 1
