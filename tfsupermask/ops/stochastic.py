"""Masks that are drawn for every step, with a probability for each weight.

A score s stands for the probability sigmoid(s) that its weight is kept. The factors of
weights that are kept grow, so that the layer's outputs stay as large as a dense one's.
"""

from __future__ import annotations

import tensorflow as tf

from tfsupermask.ops.masking import straight_through_kernel

THRESHOLDED = 0


def stochastic_factors(
    score: tf.Tensor, seed: int, draw: int | tf.Tensor = THRESHOLDED
) -> tf.Tensor:
    """Returns the factors of one drawn mask, or of the mask without chance.

    If the draw keeps no weight, the one with the highest score is kept, the first of
    equals. The same seed and number always give the same draw, but a different one
    under XLA.

    Args:
        score: float32 tensor of any static shape, at least one entry.
        seed: Integer in [0, 2³¹), a different one for each kernel.
        draw: Number of the draw, an int32 integer or tensor. 0 (default) keeps the
            weights with a probability above a half, that is a score above 0.

    Returns:
        float32 tensor of zeros and of n / (number kept), shaped like `score`.

    Example:
        >>> score = tf.constant([-9.0, 9.0, 9.0, -9.0])
        >>> stochastic_factors(score, seed=0).numpy()
        array([0., 2., 2., 0.], dtype=float32)
        >>> stochastic_factors(score, seed=0, draw=1).numpy()
        array([0., 2., 2., 0.], dtype=float32)

    Reference:
        - Zhou et al., 2019, "Deconstructing lottery tickets: zeros, signs, and the
          supermask", §5: Bernoulli masks and dynamic weight rescaling.
    """
    draw = tf.convert_to_tensor(draw, tf.int32)

    def by_chance():
        # A fixed algorithm, because "auto" depends on the device.
        uniform = tf.random.stateless_uniform(
            score.shape, tf.stack([seed, draw]), alg="philox"
        )
        return uniform < tf.sigmoid(score)

    keeps = tf.cond(draw == THRESHOLDED, lambda: score > 0, by_chance)
    mask = tf.cast(_at_least_one(keeps, score), tf.float32)
    return mask * (mask.shape.num_elements() / tf.reduce_sum(mask))


def stochastic_kernel(
    kernel: tf.Tensor, score: tf.Tensor, factors: tf.Tensor
) -> tf.Tensor:
    """Returns `kernel · factors`, differentiable in the scores straight through.

    The backward pass uses the probability in place of the draw, and takes the rescaling
    r as constant: d/dscore = (d/d(kernel · factors)) · kernel · r · sigmoid'(score),
    also for removed weights.

    Args:
        kernel: Weights, any floating dtype.
        score: float32 scores of the same shape.
        factors: float32, from `stochastic_factors`.

    Returns:
        Tensor with the shape and dtype of `kernel`.

    Example:
        >>> kernel, score = tf.constant([1.0, 2.0]), tf.constant([-1.0, 1.0])
        >>> stochastic_kernel(kernel, score, stochastic_factors(score, 0)).numpy()
        array([0., 4.], dtype=float32)

    Reference:
        - Zhou et al., 2019, §5; Bengio, Léonard & Courville, 2013.
    """

    def slope(score):
        probability = tf.sigmoid(score)
        return tf.reduce_max(factors) * probability * (1 - probability)

    return straight_through_kernel(kernel, score, factors, slope)


def _at_least_one(keeps, score):
    def best():
        place = tf.argmax(tf.reshape(score, [-1]), output_type=tf.int32)
        return tf.reshape(tf.range(score.shape.num_elements()) == place, score.shape)

    return tf.cond(tf.reduce_any(keeps), lambda: keeps, best)
