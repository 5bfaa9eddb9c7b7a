"""Masks that keep, hide or invert each weight."""

from __future__ import annotations

import tensorflow as tf

from tfsupermask.ops.masking import top_k_mask


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
