import keras
import numpy as np
import pytest
from keras import layers as kl

from tfsupermask.layers import supermask_layers


@pytest.fixture(autouse=True)
def _seeded():
    keras.utils.set_random_seed(0)


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def randomize(model):
    for index, variable in enumerate(model.weights):
        if variable.name == "num_kept":
            continue
        values = random(*variable.shape, seed=100 + index)
        variable.assign(np.abs(values) + 0.5 if "var" in variable.name else values)
    return model


def assert_same(one, other):
    keras.tree.map_structure(np.testing.assert_array_equal, one, other)


def assert_same_weights(one, other):
    assert_same([w.numpy() for w in one.weights], [w.numpy() for w in other.weights])


def built(cls, inputs):
    """Returns a model of its own class that has its weights."""
    model = cls()
    model(inputs)
    return model


def sparsities(model):
    return {layer.name: layer.sparsity for layer in supermask_layers(model)}


def small():
    layers = [
        keras.Input((6, 6, 2)),
        kl.Conv2D(4, 3, name="conv1", activation="relu"),
        kl.BatchNormalization(name="bn"),
        kl.Conv2D(3, 2, name="conv2", use_bias=False),
        kl.Flatten(name="flatten"),
        kl.Dense(5, name="dense"),
    ]
    return randomize(keras.Sequential(layers, name="small"))


def every_kind():
    image = keras.Input((6, 6, 3))
    x = kl.Conv2D(4, 3, padding="same", strides=2, name="conv2d")(image)
    x = kl.DepthwiseConv2D(2, depth_multiplier=2, name="depthwise")(x)
    x = kl.SeparableConv2D(6, 2, padding="same", name="separable")(x)
    x = kl.Conv2DTranspose(3, 2, strides=2, name="transpose")(x)
    flat = kl.Reshape((16, 3))(x)
    x1 = kl.Conv1D(3, 2, padding="causal", dilation_rate=2, name="conv1d")(flat)
    x3 = kl.Conv3D(2, 2, use_bias=False, name="conv3d")(kl.Reshape((4, 4, 3, 1))(x))
    x = kl.Concatenate()([kl.Flatten()(x1), kl.Flatten()(x3)])
    return randomize(keras.Model(image, kl.Dense(5, activation="tanh", name="fc")(x)))


def nested():
    inner = keras.Sequential(
        [keras.Input((8,)), kl.Dense(6, name="a"), kl.Dense(8, name="b")], name="inner"
    )
    inputs = keras.Input((8,))
    x = inner(kl.Dense(8, name="first")(inputs))
    return randomize(keras.Model(inputs, kl.Dense(2, name="last")(x)))
