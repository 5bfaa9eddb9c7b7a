"""The ways in which a function on tensors is run, and masks by hand."""

import functools
from unittest import mock

import numpy as np
import tensorflow as tf

from tfsupermask.ops import native


def without_native(function):
    """Compiles a function with TensorFlow's own ops, as they run on other devices."""

    @tf.function
    def run(*arguments):
        with mock.patch.object(native, "usable", return_value=False):
            return function(*arguments)

    return run


MODES = {
    "eager": lambda function: function,
    "graph": tf.function,
    "xla": functools.partial(tf.function, jit_compile=True),
}
ALL_MODES = {**MODES, "tensorflow": without_native}


def naive_mask(score, k, ranking="magnitude"):
    flat = score.ravel()
    key = np.abs(flat) if ranking == "magnitude" else flat
    kept = np.argsort(-key, kind="stable")[:k]  # NaN last
    mask = np.zeros(flat.size, np.float32)
    mask[kept] = 1
    return mask.reshape(score.shape)


def value_and_gradients(mode, function, kernel, score, upstream):
    """Returns a masked kernel and the gradients of its product with `upstream`."""

    @ALL_MODES[mode]
    def run(kernel, score):
        with tf.GradientTape() as tape:
            tape.watch([kernel, score])
            masked = function(kernel, score)
            loss = tf.reduce_sum(masked * tf.cast(upstream, masked.dtype))
        return masked, *tape.gradient(loss, [kernel, score])

    return run(tf.convert_to_tensor(kernel), tf.convert_to_tensor(score))
