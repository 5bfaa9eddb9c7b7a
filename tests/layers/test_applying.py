"""Inside the scope of masked kernels all else is as it is outside."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as kl

import tfsupermask
from tfsupermask.layers import (
    MaskDraws,
    masked_weights,
    masks_applied,
    masks_found_once,
    supermask,
)

STEPS = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")


def masked(model, sparsity=0.5):
    return tfsupermask.convert(model, sparsity, verbose=False)


def test_stateless_calls_are_masked():
    model = masked(keras.Sequential([keras.Input((3, 4)), kl.Dense(5), kl.GRU(2)]))
    trained, others = (
        [variable.value for variable in variables]
        for variables in (model.trainable_variables, model.non_trainable_variables)
    )
    outputs, _ = model.stateless_call(trained, others, STEPS)
    np.testing.assert_array_equal(outputs, model(STEPS))
    np.testing.assert_array_equal(outputs, tfsupermask.fold(model)(STEPS))


def test_states_of_recurrent_layers_go_on():
    inputs = keras.Input(batch_shape=(2, 3, 4))
    plain = keras.Model(inputs, kl.LSTM(2, stateful=True)(inputs))
    model = masked(plain, 0.0)
    for _ in range(3):
        np.testing.assert_array_equal(model(STEPS), plain(STEPS))


class Cell(kl.Layer):
    """A cell that draws in every step."""

    state_size = output_size = 3

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense, self.dropout = kl.Dense(3), kl.Dropout(0.5, seed=1)

    def build(self, shape):
        self.dense.build((shape[0], shape[-1] + 3))

    def call(self, inputs, states, training=None):
        x = keras.ops.concatenate([inputs, states[0]], axis=-1)
        outputs = self.dropout(self.dense(x), training=training)
        return outputs, [outputs]


def test_seeds_may_be_drawn_in_loops():
    inputs = keras.Input((3, 4))
    with keras.saving.custom_object_scope({"Cell": Cell}):
        model = masked(keras.Model(inputs, kl.RNN(Cell())(inputs)))
    model.compile("sgd", "mse")
    before = model.layers[1].masked_weights[0].kernel.numpy()
    model.fit(STEPS, np.zeros((2, 3)), epochs=2, verbose=0)
    np.testing.assert_array_equal(model.layers[1].masked_weights[0].kernel, before)


def test_losses_of_weights_can_be_read_inside():
    model = keras.Sequential([keras.Input((4,)), kl.Dense(3, bias_regularizer="l2")])
    model = masked(model)
    model.layers[0].bias.assign([1.0, 2.0, 3.0])
    with masks_found_once(model):
        model(STEPS[0])
        inside = float(sum(model.losses))
    assert inside == pytest.approx(0.01 * 14)


class WithLoss(kl.Layer):
    def call(self, inputs):
        self.add_loss(keras.ops.sum(inputs**2))
        return inputs


def sequential():
    inside = [kl.Dense(3, activity_regularizer="l1"), WithLoss(), kl.Dense(2)]
    return keras.Sequential([keras.Input((4,)), *inside])


def functional():
    model = sequential()
    return keras.Model(model.inputs[0], model.outputs[0])


class OfSequential(keras.Model):
    make = staticmethod(sequential)

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner, self.head = self.make(), kl.Dense(2)

    def call(self, inputs):
        return self.head(self.inner(inputs))


class OfFunctional(OfSequential):
    make = staticmethod(functional)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("once", [False, True])
@pytest.mark.parametrize(
    ("make", "part"),
    [
        (sequential, False),
        (functional, False),
        (OfSequential, False),
        (OfFunctional, False),
        (OfSequential, True),
        (OfFunctional, True),
    ],
)
def test_losses_of_calls_are_those_of_a_plain_model(make, part, once, compiled):
    def losses(model):
        called = model.inner if part else model

        def call():
            with masks_found_once(called) if once else contextlib.nullcontext():
                called(STEPS[0])
            return [tf.identity(loss) for loss in called.losses]

        run = tf.function(call) if compiled else call
        run()
        return np.sort(run())  # of the last call alone

    plain = make()
    plain(STEPS[0])
    expected = losses(plain)
    assert expected.shape == (2,)
    assert np.all(expected > 0)
    np.testing.assert_allclose(losses(masked(plain, 0.0)), expected, rtol=1e-5)


def test_a_rematerialised_layer_has_the_gradient_of_another():
    gradients = []
    for mode in (None, "full"):
        with keras.RematScope(mode=mode):
            layer = supermask(kl.Dense(3, kernel_initializer="ones"), sparsity=0.5)
            model = keras.Sequential([keras.Input((4,)), layer])
        layer.score.assign(np.arange(12.0).reshape(4, 3))
        with tf.GradientTape() as tape, masks_found_once(model):
            loss = tf.reduce_sum(model(STEPS[0]))
        gradients.append(tape.gradient(loss, layer.score.value))
    np.testing.assert_allclose(*gradients, rtol=1e-6)
    assert np.any(gradients[0] != 0)


def test_masks_are_found_once_and_end_with_their_body():
    layer = supermask(kl.Dense(3), sparsity=0.5)
    layer.build((None, 4))
    kernel = layer.kernel.numpy()
    with contextlib.suppress(RuntimeError), masks_applied(layer.masked_weights):
        once = tf.convert_to_tensor(layer.kernel.value)
        np.testing.assert_array_equal(once, kernel * layer.mask)
        with masks_applied(layer.masked_weights):
            np.testing.assert_array_equal(layer.kernel.value, once)
        raise RuntimeError
    assert np.count_nonzero(once) == 6
    np.testing.assert_array_equal(layer.kernel, kernel)


def net(wrap):
    """A model with a layer, a layer inside and a method of its own that are wrapped."""

    class Own(kl.Layer):
        def build(self, shape):
            self.kernel = self.add_weight(shape=(shape[-1], 6), name="kernel")

        @wrap
        def call(self, inputs):
            return tf.matmul(inputs, self.kernel)

    class Loop(kl.Layer):
        def build(self, shape):
            self.kernel = self.add_weight(shape=(shape[-1], shape[-1]), name="kernel")

        @wrap
        def call(self, inputs):
            def again(x):
                return [tf.tanh(tf.matmul(x, self.kernel))]

            (x,) = tf.while_loop(lambda x: True, again, [inputs], maximum_iterations=3)
            return tf.cond(
                tf.reduce_sum(x) < 1e9,
                lambda: inputs + tf.matmul(x, self.kernel),
                lambda: inputs,
            )

    class Net(keras.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.steps, self.own, self.loop = kl.GRU(5), Own(), Loop()
            self.head = kl.Dense(2)

        def build(self, shape):
            # Keras itself would keep a trace from before there are weights.
            self.steps.build(shape)
            self.own.build((None, 5))
            self.loop.build((None, 6))
            self.head.build((None, 6))

        def call(self, inputs):
            return self.head(self.encode(inputs))

        @wrap
        def encode(self, inputs):
            return self.loop(self.own(self.steps(inputs)))

    keras.utils.set_random_seed(0)
    model = Net()
    model(STEPS)
    graph = keras.Sequential([keras.Input((3, 4)), kl.Flatten(), Own(), Loop()])
    return model, graph


def pair(which, **options):
    """The same masked model with and without functions inside."""
    plain, ours = (
        tfsupermask.convert(net(wrap)[which], verbose=False, **options)
        for wrap in (lambda call: call, tf.function)
    )
    ours.set_weights(plain.get_weights())
    return plain, ours


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("how", ["eager", "once", "compiled"])
def test_functions_inside_follow_sparsities_scores_and_gradients(which, how):
    plain, ours = pair(which)
    kept = ours if how != "compiled" else tf.function(ours)

    def run(model):
        scores = [weight.score.value for weight in masked_weights(model)]
        called = kept if model is ours else model
        once = masks_found_once(model) if how == "once" else contextlib.nullcontext()
        with tf.GradientTape() as tape, once:
            outputs = called(STEPS)
        return [outputs, *tape.gradient(outputs, scores)]

    seen = []
    for sparsity in (0.5, 0.9, 0.2):
        for model in (plain, ours):
            for number, weight in enumerate(masked_weights(model)):
                weight.sparsity = sparsity
                values = np.random.default_rng(number).normal(size=weight.score.shape)
                weight.score.assign(values + sparsity)
        for one, other in zip(run(plain), run(ours), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
            assert sparsity == 0.9 or np.any(one != 0)
        np.testing.assert_allclose(
            tfsupermask.fold(ours)(STEPS), ours(STEPS), rtol=1e-4, atol=1e-6
        )
        seen.append(ours(STEPS).numpy().tobytes())
    assert len(set(seen)) == 3


@pytest.mark.parametrize("method", ["edge_popup", "stochastic"])
@pytest.mark.parametrize(("which", "jit_compile"), [(0, False), (1, False), (1, True)])
def test_functions_inside_are_trained(which, method, jit_compile):
    models = pair(which, method=method)
    start = [weight.score.numpy() for weight in masked_weights(models[0])]
    for model in models:
        # What was traced before is still right afterwards.
        before = model(STEPS).numpy()
        model.compile(keras.optimizers.SGD(5.0), "mse", jit_compile=jit_compile)
        inputs = np.repeat(STEPS, 2, axis=0)
        targets = np.ones((4, *before.shape[1:]))
        options = {"batch_size": 2, "epochs": 3, "shuffle": False, "verbose": 0}
        model.fit(inputs, targets, callbacks=[MaskDraws()], **options)
        assert np.any(model(STEPS) != before)
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)
    trained = masked_weights(models[1])
    for weight, score in zip(trained, start, strict=True):
        assert np.any(weight.score.numpy() != score)


def test_spectral_normalization_of_a_function_is_refused():
    own = type(net(tf.function)[1].layers[1])
    with keras.saving.custom_object_scope({"Own": own}):
        layer = supermask(kl.SpectralNormalization(own()))
    with pytest.raises(Exception, match=r"InputError.*assigns its kernel.*kernel='"):
        layer(STEPS[0])
