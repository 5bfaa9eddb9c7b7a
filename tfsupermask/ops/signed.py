"""Masks that keep, hide or invert each weight."""

from __future__ import annotations

import tensorflow as tf

from tfsupermask.ops.masking import score_gradient, top_k_mask


def signed_mask(score: tf.Tensor, k: int | tf.Tensor) -> tf.Tensor:
    """Returns the sign of the `k` scores largest in magnitude, and 0 elsewhere.

    Args:
        score: float32 tensor of any static shape, at least one entry.
        k: Number of weights that are not hidden, as in `top_k_mask`.

    Returns:
        float32 tensor of 1 (keep), -1 (invert) and 0 (hide), shaped like `score`. A
        score of 0 counts as positive.

    Raises:
        InputError: `top_k_mask` refuses the arguments.

    Example:
        >>> signed_mask(tf.constant([0.1, -3.0, 2.0, 0.0]), k=2).numpy()
        array([ 0., -1.,  1.,  0.], dtype=float32)

    Reference:
        - Koster, Grothe & Rettinger, 2022, "Signing the supermask: keep, hide, invert".
          There two thresholds on the scores decide; here their rank does, so that the
          sparsity is given.
    """
    return top_k_mask(score, k) * tf.where(score < 0, -1.0, 1.0)


def signed_kernel(kernel: tf.Tensor, score: tf.Tensor, k: int | tf.Tensor) -> tf.Tensor:
    """Returns `kernel · signed_mask`, differentiable in the scores straight through.

    The backward pass takes the mask for the score: d/dscore =
    (d/d(kernel · mask)) · kernel, for hidden weights too.

    Args:
        kernel: Weights, any floating dtype.
        score: float32 scores of the same shape.
        k: Number of weights that are not hidden, as in `top_k_mask`.

    Returns:
        Tensor with the shape and dtype of `kernel`.

    Raises:
        InputError: `top_k_mask` refuses the arguments.

    Example:
        >>> kernel, score = tf.constant([1.0, 2.0, 3.0]), tf.constant([0.3, -0.9, 0.1])
        >>> signed_kernel(kernel, score, k=2).numpy()
        array([ 1., -2.,  0.], dtype=float32)

    Reference:
        - Koster, Grothe & Rettinger, 2022; Bengio, Léonard & Courville, 2013.
    """
    kernel, score = tf.convert_to_tensor(kernel), tf.convert_to_tensor(score)

    @tf.custom_gradient
    def apply_mask(kernel, score):
        mask = tf.cast(signed_mask(score, k), kernel.dtype)

        def straight_through(upstream):
            return upstream * mask, score_gradient(upstream, kernel, score, "score")

        return kernel * mask, straight_through

    return apply_mask(kernel, score)
