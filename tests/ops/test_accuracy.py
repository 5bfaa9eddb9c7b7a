import functools

import numpy as np
import pytest
import tensorflow as tf

from tests.ops.modes import MODES
from tfsupermask.ops import in_top_k

NAN, INF = np.nan, np.inf


@functools.cache
def compiled_in_top_k(mode, k):
    return MODES[mode](functools.partial(in_top_k, k=k))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("row", "k", "correct_labels"),
    [
        ([1, 3, 2], 1, {1}),
        ([1, 3, 2], 2, {1, 2}),
        ([1, 3, 2], 3, {0, 1, 2}),
        ([1, 3, 2], 5, {0, 1, 2}),
        ([0, 0, 0], 1, {0}),
        ([0, 0, 0], 2, {0, 1}),
        ([0.0, -0.0, 0.0], 1, {0}),
        ([5, 7, 7], 1, {1}),
        ([5, 7, 7], 2, {1, 2}),
        ([-INF, -INF, 0], 2, {0, 2}),
        ([INF, 0, INF], 1, {0}),
        ([NAN, NAN, NAN], 1, set()),
        ([NAN, 1, 0], 1, set()),
        ([NAN, 1, 0], 2, set()),
        ([0, 1, NAN], 5, set()),
    ],
)
def test_labels_counted_as_correct(row, k, correct_labels, mode):
    logits = tf.constant([row] * 3, tf.float32)
    result = compiled_in_top_k(mode, k)(logits, tf.range(3))
    assert result.dtype == tf.float32
    np.testing.assert_array_equal(
        result, [float(i in correct_labels) for i in range(3)]
    )


@pytest.mark.parametrize(
    ("logits_dtype", "labels_dtype"),
    [("bfloat16", "uint8"), ("float16", "int32"), ("float64", "int64")],
)
def test_accepts_any_floating_logits_and_integer_labels(logits_dtype, labels_dtype):
    logits = tf.constant([[0, 1], [0, 1]], logits_dtype)
    labels = tf.constant([0, 1], labels_dtype)
    np.testing.assert_array_equal(in_top_k(logits, labels, k=1), [0, 1])
    assert in_top_k(logits[:0], labels[:0], k=1).shape == (0,)
