"""Counts correct predictions, without an advantage for a dead network."""

from __future__ import annotations

import tensorflow as tf


def in_top_k(logits: tf.Tensor, labels: tf.Tensor, k: int) -> tf.Tensor:
    """Returns whether each label is among the `k` largest logits of its row.

    Among equal logits the lower class index wins, so that a network with equal logits
    is right for one class only; `tf.math.in_top_k` counts every tie as correct. A row
    with a NaN is wrong for every `k`.

    Args:
        logits: float tensor (batch, classes).
        labels: integer tensor (batch,), in [0, classes).
        k: At least 1; with k ≥ classes every row without a NaN is correct.

    Returns:
        float32 tensor (batch,) of zeros and ones.

    Example:
        >>> in_top_k(tf.zeros((3, 10)), tf.constant([0, 1, 9]), k=1).numpy()
        array([1., 0., 0.], dtype=float32)
    """
    # In int64, because int32 arithmetic of GPUs runs on the host.
    labels = tf.cast(labels, tf.int64)[:, None]
    own = tf.gather(logits, labels, batch_dims=1)
    earlier = tf.range(tf.shape(logits, tf.int64)[1]) < labels
    better = (logits > own) | ((logits == own) & earlier)
    correct = tf.math.count_nonzero(better, axis=1) < k
    valid = ~tf.reduce_any(tf.math.is_nan(logits), axis=1)
    return tf.cast(correct & valid, tf.float32)
