import numpy as np
import pytest
import tensorflow as tf

from tests.ops.modes import MODES, naive_mask, value_and_gradients
from tfsupermask.ops import signed_mask, straight_through_kernel


def signed_kernel(kernel, score, k):
    return straight_through_kernel(kernel, score, signed_mask(score, k))


each_mode = pytest.mark.parametrize("mode", MODES)


@each_mode
@pytest.mark.parametrize(
    ("score", "k", "expected"),
    [
        ([0.1, -3.0, 2.0, 0.0], 2, [0, -1, 1, 0]),
        ([0.1, -3.0, 2.0, 0.0], 3, [1, -1, 1, 0]),
        ([0.1, -3.0, 2.0, 0.0], 4, [1, -1, 1, 1]),  # zero counts as positive
        ([-1.0, 1.0, -1.0], 2, [-1, 1, 0]),  # the first of equals
        ([[-0.5, 0.4], [0.3, -0.6]], 1, [[0, 0], [0, -1]]),
        ([-2.0], 1, [-1]),
    ],
)
def test_keeps_hides_and_inverts(score, k, expected, mode):
    mask = MODES[mode](lambda score: signed_mask(score, k))(tf.constant(score))
    assert mask.dtype == tf.float32
    np.testing.assert_array_equal(mask, expected)


@each_mode
def test_kernel_and_gradient_are_the_formulas(mode):
    rng = np.random.default_rng(0)
    kernel, score, upstream = rng.normal(size=(3, 30, 20)).astype(np.float32)

    def masked(kernel, score):
        return signed_kernel(kernel, score, tf.constant(200))

    found = value_and_gradients(mode, masked, kernel, score, upstream)
    mask = naive_mask(score, 200) * np.sign(score)
    np.testing.assert_array_equal(found[0], kernel * mask)
    np.testing.assert_array_equal(found[1], upstream * mask)
    np.testing.assert_allclose(found[2], upstream * kernel, rtol=1e-6)


def test_scores_learn_in_full_precision():
    """The product of these halves would be zero in float16."""
    kernel = tf.fill((4,), tf.constant(1e-5, tf.float16))
    masked, _, gradient = value_and_gradients(
        "eager", lambda *pair: signed_kernel(*pair, 2), kernel, tf.ones(4), 1e-4
    )
    assert masked.dtype == tf.float16
    np.testing.assert_allclose(gradient, 1e-9, rtol=0.1)
