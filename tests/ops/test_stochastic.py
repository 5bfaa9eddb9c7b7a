import functools

import numpy as np
import pytest
import tensorflow as tf

from tests.ops.modes import MODES, value_and_gradients
from tfsupermask.ops import stochastic_factors, stochastic_kernel

each_mode = pytest.mark.parametrize("mode", MODES)


def random(*shape, scale=1.0, seed=0):
    values = np.random.default_rng(seed).normal(0, scale, shape)
    return values.astype(np.float32)


def sigmoid(score):
    return 1 / (1 + np.exp(-score.astype(np.float64)))


@each_mode
@pytest.mark.parametrize(
    ("score", "expected"),
    [
        ([-1.0, 1.0, 2.0, -3.0], [0, 2, 2, 0]),
        ([[1.0, 0.5], [0.1, -0.1]], [[4 / 3, 4 / 3], [4 / 3, 0]]),
        ([0.1, 0.2], [1, 1]),
        ([0.0, 1e-9], [0, 2]),  # exactly a half is not above it
        ([-3.0, -1.0, -2.0], [0, 3, 0]),  # the best one stays
        ([-1.0, -1.0, -5.0], [3, 0, 0]),  # the first of equals
        ([np.inf, np.inf, -np.inf], [1.5, 1.5, 0]),
        ([-7.0], [1]),
    ],
)
def test_without_chance_by_hand(score, expected, mode):
    function = MODES[mode](functools.partial(stochastic_factors, seed=0))
    factors = function(tf.constant(score, tf.float32))
    assert factors.dtype == tf.float32
    np.testing.assert_allclose(factors, expected, rtol=1e-6)


@each_mode
def test_weights_are_kept_as_often_as_their_scores_say(mode):
    score = np.repeat(np.float32([-4, -1, 0, 0.5, 3]), 40_000)
    draw = MODES[mode](functools.partial(stochastic_factors, seed=7))
    kept = draw(tf.constant(score), draw=3).numpy().reshape(5, -1) > 0
    expected = sigmoid(np.float32([-4, -1, 0, 0.5, 3]))
    error = np.sqrt(expected * (1 - expected) / 40_000)
    assert (np.abs(kept.mean(axis=1) - expected) < 4 * error).all()


def test_certain_weights_are_certain_and_the_best_always_stays():
    certain = tf.constant(np.repeat(np.float32([-200, np.inf]), 5000))
    unlikely = tf.constant([-90.0, -80.0, -85.0])
    for draw in range(1, 6):
        factors = stochastic_factors(certain, 0, draw)
        np.testing.assert_array_equal(factors, np.repeat([0, 2], 5000))
        np.testing.assert_array_equal(stochastic_factors(unlikely, 0, draw), [0, 3, 0])


def test_the_rest_makes_up_for_what_is_removed_in_eager_code_and_in_graphs():
    score, graph = tf.constant(random(50, 40)), tf.function(stochastic_factors)
    for draw in range(6):
        factors = stochastic_factors(score, 5, draw).numpy()
        kept = np.count_nonzero(factors)
        assert 0 < kept < 2000
        np.testing.assert_allclose(np.unique(factors), [0, 2000 / kept], rtol=1e-6)
        np.testing.assert_array_equal(graph(score, 5, tf.constant(draw)), factors)


@each_mode
def test_a_draw_is_a_function_of_seed_and_number(mode):
    function = MODES[mode](stochastic_factors)
    score = tf.zeros((100, 100))

    def kept(seed, draw):
        # A tensor, so that one function is traced for all draws.
        return function(score, seed, tf.constant(draw)).numpy() > 0

    draws = [kept(*at) for at in [(0, 1), (0, 2), (1, 1), (0, -1), (2, 1)]]
    np.testing.assert_array_equal(draws[0], kept(0, 1))
    for index, one in enumerate(draws):
        for other in draws[:index]:
            # Independent ones differ in a half of the places, ± 0.005.
            assert 0.47 < (one != other).mean() < 0.53


def test_draws_stay_the_same_from_version_to_version():
    """A run goes on with the draws that it began with."""
    factors = stochastic_factors(tf.zeros(24), seed=123, draw=45).numpy()
    bits = "".join(str(int(factor > 0)) for factor in factors)
    assert bits == "101111110100100111101110"


@each_mode
@pytest.mark.parametrize("draw", [0, 1])
def test_kernel_and_gradient_are_the_formulas(mode, draw):
    kernel, score = random(30, 20), random(30, 20, seed=1, scale=2)
    upstream = random(30, 20, seed=2)
    factors = stochastic_factors(tf.constant(score), 0, draw)

    def masked(kernel, score):
        return stochastic_kernel(kernel, score, factors)

    found = value_and_gradients(mode, masked, kernel, score, upstream)
    masked, kernel_gradient, score_gradient = found
    mask = factors.numpy() > 0
    rescaling = mask.size / mask.sum()
    np.testing.assert_allclose(masked, kernel * mask * rescaling, rtol=1e-5)
    np.testing.assert_allclose(kernel_gradient, upstream * mask * rescaling, rtol=1e-5)
    slope = sigmoid(score) * (1 - sigmoid(score))
    expected = upstream * kernel * rescaling * slope
    np.testing.assert_allclose(score_gradient, expected, rtol=1e-4, atol=1e-6)


def test_scores_learn_in_full_precision():
    """The product of these halves would be zero in float16."""
    kernel = tf.fill((4,), tf.constant(1e-7, tf.float16))

    def masked(kernel, score):
        return stochastic_kernel(kernel, score, tf.ones(4))

    masked, _, gradient = value_and_gradients(
        "eager", masked, kernel, tf.zeros(4), 1e-4
    )
    assert masked.dtype == tf.float16
    assert gradient.dtype == tf.float32
    expected = float(kernel[0]) * 0.25 * float(np.float16(1e-4))
    np.testing.assert_allclose(gradient, expected, rtol=1e-3)
