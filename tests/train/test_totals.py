import numpy as np
import pytest
import tensorflow as tf

from tfsupermask.train.totals import loss_and_hits


def test_logits_of_half_precision_are_taken_as_float32():
    logits = np.random.default_rng(0).normal(size=(6, 7)).astype(np.float32)
    logits = tf.cast(logits, tf.bfloat16)
    found = loss_and_hits(logits, np.arange(6), 0.1)
    expected = loss_and_hits(tf.cast(logits, tf.float32), np.arange(6), 0.1)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == tf.float32
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_loss_is_the_cross_entropy_with_the_smoothed_labels(smoothing):
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(6, 7)).astype(np.float32), np.arange(6)
    losses, top1, top5 = loss_and_hits(logits, labels, smoothing)
    log_probabilities = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    targets = (1 - smoothing) * np.eye(7)[labels] + smoothing / 7
    np.testing.assert_allclose(losses, -(targets * log_probabilities).sum(1), rtol=1e-5)
    np.testing.assert_array_equal(top1, logits.argmax(1) == labels)
    ranks = (-logits).argsort(1).argsort(1)[np.arange(6), labels]
    np.testing.assert_array_equal(top5, ranks < 5)
