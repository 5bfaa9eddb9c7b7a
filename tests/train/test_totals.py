import numpy as np
import pytest

from tfsupermask.train.totals import loss_and_hits


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
