"""Layers of every kind, and by hand what their masks are and do."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tfsupermask.layers import supermask


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@keras.saving.register_keras_serializable("tests")
class Composite(keras.layers.Layer):
    """A layer of one's own, with averages, chance, and two losses."""

    def __init__(self, units=4, rate=0.5, **kwargs):
        super().__init__(**kwargs)
        self.units, self.rate = units, rate
        self.dense = keras.layers.Dense(units, activity_regularizer="l2", name="dense")
        self.norm = keras.layers.BatchNormalization(name="norm")
        self.dropout = keras.layers.Dropout(rate, seed=3)
        self.top = keras.layers.Dense(2, name="top")

    def call(self, inputs, training=False):
        x = self.norm(self.dense(inputs), training=training)
        x = self.dropout(x, training=training)
        self.add_loss(tf.reduce_mean(x**2))
        return self.top(x)

    def get_config(self):
        return {**super().get_config(), "units": self.units, "rate": self.rate}


@keras.saving.register_keras_serializable("tests")
class BuiltComposite(Composite):
    """The same with a `build` method."""

    def build(self, input_shape):
        inner = (*input_shape[:-1], self.units)
        for layer in (self.dense, self.norm, self.top):
            layer.build(input_shape if layer is self.dense else inner)


@keras.saving.register_keras_serializable("tests")
class OwnModel(keras.Model):
    """The same as a model."""

    def __init__(self, units=4, rate=0.5, **kwargs):
        super().__init__(**kwargs)
        self.units, self.rate = units, rate
        self.composite = Composite(units, rate, name="composite")
        self.top = keras.layers.Dense(3, name="top")

    def call(self, inputs, training=False):
        return self.top(self.composite(inputs, training=training))

    def get_config(self):
        return {**super().get_config(), "units": self.units, "rate": self.rate}


@keras.saving.register_keras_serializable("tests")
class Bilinear(keras.layers.Layer):
    """A layer that makes its own weights; `w` counts as a kernel, `shift` does not."""

    def build(self, input_shape):
        self.w = self.add_weight((input_shape[-1], 3), name="w")
        self.shift = self.add_weight((1, 3), name="shift")

    def call(self, inputs):
        return tf.matmul(inputs, tf.cast(self.w, inputs.dtype)) + self.shift


@dataclasses.dataclass(frozen=True)
class Kind:
    make: Callable[[], keras.Layer]
    input_shapes: tuple  # without the batch
    kernels: list  # last part of the name, shape, fan_in, fan_out

    def inputs(self, batch=3, seed=0):
        if self.kernels[0][0] == "embeddings":
            shape = (batch, *self.input_shapes[0])
            return [np.random.default_rng(seed).integers(0, 6, shape)]
        return [random(batch, *shape, seed=seed) for shape in self.input_shapes]


def kind(name, arguments, shapes, *kernels):
    make = getattr(keras.layers, name) if isinstance(name, str) else name
    shapes = shapes if isinstance(shapes[0], tuple) else (shapes,)
    return Kind(lambda: make(**arguments), shapes, list(kernels))


def query(head, *, heads, inputs=5):
    return ("kernel", (inputs, heads, head), inputs, heads * head)


F4K3 = {"filters": 4, "kernel_size": 3}
F3K3 = {"filters": 3, "kernel_size": 3}
PAIR = ((4, 5), (6, 5))
OUTPUT = ("kernel", (2, 3, 5), 6, 5)
CONVERTED = [("kernel", (5, 4), 5, 4), ("kernel", (4, 2), 4, 2)]

# The kinds with supermask classes that have names.
NAMED = {
    "dense": kind("Dense", {"units": 5}, (7,), ("kernel", (7, 5), 7, 5)),
    "conv1d": kind("Conv1D", F4K3, (9, 3), ("kernel", (3, 3, 4), 9, 12)),
    "conv": kind("Conv2D", F4K3, (6, 6, 2), ("kernel", (3, 3, 2, 4), 18, 36)),
    "conv3d": kind(
        "Conv3D", {"filters": 3, "kernel_size": 2}, (4, 5, 4, 2),
        ("kernel", (2, 2, 2, 2, 3), 16, 24),
    ),
    "transpose": kind(
        "Conv2DTranspose", {**F3K3, "strides": 2}, (4, 4, 2),
        ("kernel", (3, 3, 3, 2), 18, 27),
    ),
    "depthwise": kind(
        "DepthwiseConv2D", {"kernel_size": 3, "depth_multiplier": 2}, (6, 6, 3),
        ("kernel", (3, 3, 3, 2), 9, 54),
    ),
    "separable": kind(
        "SeparableConv2D", F4K3, (6, 6, 3),
        ("depthwise_kernel", (3, 3, 3, 1), 9, 27),
        ("pointwise_kernel", (1, 1, 3, 4), 3, 4),
    ),
}  # fmt: skip
OTHERS = {
    "einsum": kind(
        "EinsumDense",
        {"equation": "abc,cde->abde", "output_shape": (None, 2, 4), "bias_axes": "de"},
        (3, 5), ("kernel", (5, 2, 4), 5, 8),
    ),
    "grouped": kind(
        "Conv2D", {**F4K3, "groups": 2}, (6, 6, 4), ("kernel", (3, 3, 2, 4), 18, 36)
    ),
    "transpose1d": kind("Conv1DTranspose", F3K3, (5, 2), ("kernel", (3, 3, 2), 6, 9)),
    "transpose3d": kind(
        "Conv3DTranspose", {"filters": 3, "kernel_size": 2}, (3, 3, 3, 2),
        ("kernel", (2, 2, 2, 3, 2), 16, 24),
    ),
    "depthwise1d": kind(
        "DepthwiseConv1D", {"kernel_size": 3, "depth_multiplier": 2}, (6, 3),
        ("kernel", (3, 3, 2), 3, 18),
    ),
    "separable1d": kind(
        "SeparableConv1D", F4K3, (6, 3),
        ("depthwise_kernel", (3, 3, 1), 3, 9), ("pointwise_kernel", (1, 3, 4), 3, 4),
    ),
    "embedding": kind(
        "Embedding", {"input_dim": 6, "output_dim": 4}, (5,),
        ("embeddings", (6, 4), 1, 4),
    ),
    "attention": kind(
        "MultiHeadAttention", {"num_heads": 2, "key_dim": 3}, PAIR,
        *[query(3, heads=2)] * 3, OUTPUT,
    ),
    "grouped_query": kind(
        "GroupQueryAttention",
        {"head_dim": 3, "num_query_heads": 2, "num_key_value_heads": 1}, PAIR,
        query(3, heads=2), *[query(3, heads=1)] * 2, OUTPUT,
    ),
    "lstm": kind(
        "LSTM", {"units": 3}, (4, 5),
        ("kernel", (5, 12), 5, 12), ("recurrent_kernel", (3, 12), 3, 12),
    ),
    "gru": kind(
        "GRU", {"units": 3}, (4, 5),
        ("kernel", (5, 9), 5, 9), ("recurrent_kernel", (3, 9), 3, 9),
    ),
    "rnn": kind(
        "SimpleRNN", {"units": 3}, (4, 5),
        ("kernel", (5, 3), 5, 3), ("recurrent_kernel", (3, 3), 3, 3),
    ),
    "convlstm": kind(
        "ConvLSTM2D", {"filters": 2, "kernel_size": 2}, (3, 4, 4, 1),
        ("kernel", (2, 2, 1, 8), 4, 32), ("recurrent_kernel", (2, 2, 2, 8), 8, 32),
    ),
    "bidirectional": kind(
        lambda: keras.layers.Bidirectional(keras.layers.LSTM(2)), {}, (4, 5),
        *[("kernel", (5, 8), 5, 8), ("recurrent_kernel", (2, 8), 2, 8)] * 2,
    ),
    "distributed": kind(
        lambda: keras.layers.TimeDistributed(keras.layers.Dense(4)), {}, (3, 5),
        ("kernel", (5, 4), 5, 4),
    ),
    "composite": kind(Composite, {}, (5,), *CONVERTED),
    "built": kind(BuiltComposite, {}, (5,), *CONVERTED),
    "model": kind(OwnModel, {}, (5,), *CONVERTED, ("kernel", (2, 3), 2, 3)),
    "w": kind(Bilinear, {}, (5,), ("w", (5, 3), 5, 3)),
}  # fmt: skip
KINDS = {**NAMED, **OTHERS}


def masked(name, **mask):
    """Returns a supermask layer of a kind, built, with values of no initializer."""
    layer = supermask(KINDS[name].make(), **mask)
    layer(*KINDS[name].inputs())
    scramble(layer)
    return layer


def assert_same(ones, others):
    for one, other in zip(ones, others, strict=True):
        np.testing.assert_array_equal(one, other)


def scramble(layer):
    for seed, variable in enumerate(layer.weights):
        if variable.name != "num_kept":
            value = random(*variable.shape, seed=seed)
            variable.assign(abs(value) if "variance" in variable.name else value)


def plain_twin(name, layer, factors_of):
    """Returns the plain layer with the kernels times factors, and those kernels."""
    plain = KINDS[name].make()
    plain(*KINDS[name].inputs())
    weights = {id(weight.kernel): weight for weight in layer.masked_weights}
    own = [each for each in layer.weights if each.name not in ("score", "num_kept")]
    kernels = []
    for theirs, ours in zip(plain.weights, own, strict=True):
        weight = weights.get(id(ours))
        theirs.assign(ours * factors_of(weight) if weight else ours)
        kernels += [theirs] if weight else []
    return plain, kernels


def kept_by_hand(weight, rank=np.abs):
    """Keeps the `num_kept` best ranked of a masked weight's scores."""
    scores = rank(weight.score.numpy().ravel())
    kept = np.argsort(-scores, kind="stable")[: weight.num_kept]
    return np.isin(np.arange(scores.size), kept).reshape(weight.score.shape) * 1.0


def kept_by_score(weight):
    return kept_by_hand(weight, np.positive)


def kept_by_magnitude(weight):
    magnitude = np.abs(weight.kernel.numpy().astype(np.float32))
    threshold = np.sort(magnitude, axis=None)[-weight.num_kept]
    return (magnitude >= threshold) * 1.0


def kept_above_zero(weight):
    return (weight.score.numpy() > 0) * 1.0


def all_kept(weight):
    return np.ones(weight.kernel.shape)


def signed_by_hand(weight):
    return kept_by_hand(weight) * np.sign(weight.score)


def thresholded_by_hand(weight):
    mask = weight.score.numpy() > 0
    return mask * (mask.size / mask.sum())


def slope_by_hand(weight):
    probability = 1 / (1 + np.exp(-weight.score.numpy()))
    return thresholded_by_hand(weight).max() * probability * (1 - probability)


def signs_by_hand(weight):
    mask, magnitude = kept_by_hand(weight), np.abs(weight.kernel.numpy())
    return mask * magnitude[mask > 0].mean() / magnitude


def kernel_by_hand(weight):
    return weight.kernel.numpy()


def kernel_and_sign_by_hand(weight):
    return weight.kernel.numpy() * np.sign(weight.score)


class ByHand(NamedTuple):
    """A method: what is trained, the mask, and the gradient of what is trained.

    The gradient is a multiple of that of the masked kernel. Where this kernel is not
    kernel · mask, `factors` are those of the kernel.
    """

    trained: str
    mask: Callable
    gradient: Callable
    factors: Callable | None = None


METHODS = {
    "edge_popup": ByHand("score", kept_by_hand, kernel_and_sign_by_hand),
    "edge_popup_by_score": ByHand("score", kept_by_score, kernel_by_hand),
    "signed": ByHand("score", signed_by_hand, kernel_by_hand),
    "stochastic": ByHand(
        "score",
        thresholded_by_hand,
        lambda weight: weight.kernel.numpy() * slope_by_hand(weight),
    ),
    "biprop": ByHand("score", kept_by_hand, kernel_and_sign_by_hand, signs_by_hand),
    "iterand": ByHand("score", kept_by_score, kernel_by_hand),
    "magnitude": ByHand("kernel", kept_by_magnitude, kept_by_magnitude),
    "magnitude_straight_through": ByHand("kernel", kept_by_magnitude, all_kept),
    "dense": ByHand("kernel", all_kept, all_kept),
    "fixed": ByHand("kernel", kept_above_zero, kept_above_zero),
}


def outputs_and_gradients(layer, inputs, variables):
    """Returns a layer's outputs, and of a loss the gradients of variables."""
    with tf.GradientTape() as tape:
        outputs = layer(*inputs)
        loss = tf.reduce_sum((tf.cast(outputs, tf.float32) - 1) ** 2)
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    return outputs, *map(tf.convert_to_tensor, gradients)
