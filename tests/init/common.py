"""Images, networks and comparisons that tests of initialisations share."""

import contextlib

import keras
import numpy as np
import tensorflow as tf

from tfsupermask import data
from tfsupermask.layers import SupermaskConv2D, SupermaskDense, supermask_layers


def tinted_digits(count, step=1):
    """Returns that many digits in colours, of every `step`-th pixel, and labels."""
    split = data.load("digits").train
    tints = np.random.default_rng(0).uniform(0.1, 1, (count, 1, 1, 3))
    images = np.rint(split.images[:count, ::step, ::step] * tints).astype(np.uint8)
    return images, split.labels[:count]


def preprocess(images):
    return ((images / 255 - 0.4) / 0.25).astype(np.float32)


def build(*layers, shape=(32, 32, 3)):
    return keras.Sequential([keras.Input(shape), *layers])


def masked_net(name=None):
    """Three convolutions, the second of which has the name, and a dense layer."""
    keras.utils.set_random_seed(0)  # before layers choose their seeds
    return build(
        SupermaskConv2D(6, 3, padding="same", activation="relu", sparsity=0.6),
        keras.layers.MaxPooling2D(),
        SupermaskConv2D(8, 3, strides=2, activation="relu", sparsity=0.6, name=name),
        SupermaskConv2D(10, 3, padding="same", dilation_rate=2, sparsity=0.6),
        keras.layers.Flatten(),
        SupermaskDense(10),
    )


def plain_net():
    keras.utils.set_random_seed(0)  # before layers choose their seeds
    return build(
        keras.layers.Conv2D(5, (5, 3), bias_initializer="random_normal"),
        keras.layers.LeakyReLU(),
        keras.layers.Conv2D(7, (2, 4), strides=2, padding="same", activation="relu"),
        keras.layers.AveragePooling2D(2),
        keras.layers.Conv2D(9, 3, dilation_rate=(2, 1)),
        keras.layers.GlobalAveragePooling2D(),
    )


SPARSITY = 0.6


def two_masked_layers():
    keras.utils.set_random_seed(0)
    options = {"padding": "same", "activation": "relu", "sparsity": SPARSITY}
    return build(
        SupermaskConv2D(6, 3, **options, name="first"),
        SupermaskConv2D(9, 3, **options, name="second"),
        keras.layers.Flatten(),
        SupermaskDense(10),
        shape=(16, 16, 3),
    )


def residual_net():
    """Stem, a unit with a 1×1 shortcut, a unit with an identity, a dense layer."""
    keras.utils.set_random_seed(0)

    def convolution(x, filters, size, name, strides=1):
        x = SupermaskConv2D(
            filters, size, strides=strides, padding="same", name=name, sparsity=0.5
        )(x)
        return keras.layers.BatchNormalization(
            center=False, scale=False, epsilon=1e-5, name=f"{name}_bn"
        )(x)

    inputs = keras.Input((16, 16, 3))
    stem = keras.layers.ReLU()(convolution(inputs, 6, 3, "stem"))
    x = keras.layers.ReLU()(convolution(stem, 8, 3, "a1", strides=2))
    x = convolution(x, 8, 3, "a2")
    shortcut = convolution(stem, 8, 1, "shortcut", strides=2)
    first = keras.layers.ReLU()(keras.layers.Add()([x, shortcut]))
    x = keras.layers.ReLU()(convolution(first, 8, 3, "b1"))
    x = convolution(x, 8, 3, "b2")
    x = keras.layers.ReLU()(keras.layers.Add()([x, first]))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(10, name="dense")(x))


def convolutions(model):
    return [x for x in model.layers if isinstance(x, keras.layers.Conv2D)]


def kernels(model):
    return [layer.kernel.numpy() for layer in convolutions(model)]


def assert_same_kernels(first, second):
    for a, b in zip(kernels(first), kernels(second), strict=True):
        np.testing.assert_array_equal(a, b)


def products_of_conv2(model, x, factor=lambda product: 1.0):
    """Yields Conv2's masked layers with their outputs before activation.

    What goes on to the next layer is multiplied with `factor(product)`.
    """
    for layer in supermask_layers(model):
        kernel = layer.kernel.numpy() * layer.mask.numpy()
        if kernel.ndim == 4:
            product = tf.nn.conv2d(x, kernel, 1, "SAME").numpy()
        else:
            product = x.reshape(len(x), -1) @ kernel
        yield layer, product
        x = np.maximum(product * factor(product), 0)
        if layer.name == "conv2":
            x = tf.nn.max_pool2d(x, 2, 2, "VALID").numpy()


def values_of(model):
    return {variable.path: variable.numpy() for variable in model.variables}


def changed_in(model, before):
    """Returns the paths of the variables that are not what `values_of` returned."""
    after = values_of(model)
    assert after.keys() == before.keys()
    return {path for path in after if not np.array_equal(after[path], before[path])}


@contextlib.contextmanager
def unchanged(model):
    """Asserts that the body leaves all variables of a model as they are."""
    before = values_of(model)
    yield
    assert not changed_in(model, before)


def patch_of(images, done, number, size=3):
    """Returns the place in preprocessed images that a pattern comes from, float64."""
    row, column = done.row[number], done.column[number]
    image = preprocess(images[done.image[number]])
    return image[row : row + size, column : column + size].astype(np.float64)


def normalised(pattern, axis=None):
    """Returns a pattern minus its mean, divided by its deviation."""
    centred = pattern - pattern.mean(axis=axis, keepdims=True)
    return centred / pattern.std(axis=axis, keepdims=True)
