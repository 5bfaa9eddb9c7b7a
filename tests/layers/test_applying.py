"""Inside the scope of masked kernels all else is as it is outside."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as kl

import tfsupermask
from tfsupermask.layers import masks_applied, masks_found_once, supermask

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
