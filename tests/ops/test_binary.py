import numpy as np
import pytest
import tensorflow as tf

from tests.ops.modes import ALL_MODES, naive_mask, value_and_gradients
from tfsupermask.ops import binarised, binary_kernel

each_mode = pytest.mark.parametrize("mode", ALL_MODES)


@each_mode
@pytest.mark.parametrize(
    ("kernel", "mask", "expected"),
    [
        ([1.0, -2.0, 5.0], [1, 1, 0], [1.5, -1.5, 0]),
        ([1.0, -2.0, 5.0], [0, 0, 1], [0, 0, 5]),
        ([0.0, -2.0, 1.0], [1, 1, 1], [0, -1, 1]),  # zero has no sign but counts
        ([[-0.5, 0.25], [8.0, -0.75]], [[1, 1], [0, 1]], [[-0.5, 0.5], [0, -0.5]]),
        ([0.0, 3.0], [1, 0], [0, 0]),
    ],
)
def test_signs_times_the_mean_magnitude_of_the_kept(kernel, mask, expected, mode):
    found = ALL_MODES[mode](binarised)(tf.constant(kernel), tf.constant(mask, "float"))
    np.testing.assert_array_equal(found, expected)


@each_mode
@pytest.mark.parametrize("k", [1, 200, 600])
def test_kernel_and_gradient_are_the_formulas(mode, k):
    rng = np.random.default_rng(0)
    kernel, score, upstream = rng.normal(size=(3, 30, 20)).astype(np.float32)

    def binarise(kernel, score):
        return binary_kernel(kernel, score, k)

    found, of_kernel, of_score = value_and_gradients(
        mode, binarise, kernel, score, upstream
    )
    mask = naive_mask(score, k)
    gain = np.abs(kernel[mask > 0]).mean(dtype=np.float64)
    np.testing.assert_allclose(found, gain * np.sign(kernel) * mask, rtol=1e-5)
    assert np.unique(np.abs(found)).size == (2 if k < 600 else 1)
    assert of_kernel is None
    expected = upstream * kernel * np.sign(score)
    np.testing.assert_allclose(of_score, expected, rtol=1e-6)


def test_a_signed_constant_is_masked_as_by_edge_popup():
    """Where magnitudes are equal, signs are all there is."""
    rng = np.random.default_rng(1)
    kernel = tf.constant(rng.choice([-0.25, 0.25], (40, 30)), tf.float32)
    score = tf.constant(rng.normal(size=(40, 30)), tf.float32)
    expected = kernel.numpy() * naive_mask(score.numpy(), 500)
    np.testing.assert_array_equal(binary_kernel(kernel, score, 500), expected)


def test_counts_and_sums_may_exceed_the_numbers_of_half_precision():
    kernel = tf.fill((300, 300), tf.constant(2.0, tf.float16))
    found = binary_kernel(kernel, tf.random.uniform((300, 300)), 80_000)
    assert found.dtype == tf.float16
    assert np.unique(found).tolist() == [0, 2]
