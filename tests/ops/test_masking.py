import functools
import re

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.ops.modes import ALL_MODES, naive_mask, value_and_gradients
from tfsupermask._validation import InputError
from tfsupermask.ops import RANKINGS, masked_kernel, masking, num_kept, top_k_mask

NAN, INF = np.nan, np.inf
TINY = np.float32(1e-45)  # the smallest denormal
ONES = np.ones(3, np.float32)


@functools.cache
def compiled_top_k_mask(mode, k, ranking):
    return ALL_MODES[mode](functools.partial(top_k_mask, k=k, ranking=ranking))


@pytest.mark.parametrize(
    ("size", "sparsity", "expected"),
    [
        (1000, 0, 1000),
        (1000, 0.0, 1000),
        (1000, 0.7, 300),
        (1000, 0.9, 100),
        (1000, 0.0004, 1000),
        (1000, 0.0006, 999),
        (1000, 0.999999, 1),
        (10, 0.999999, 1),
        (1, 0.0, 1),
        (1, 0.5, 1),
        (1, 0.999999, 1),
        (2, 0.25, 2),  # removes 0.5, rounded to 0
        (3, 0.5, 1),  # removes 1.5, rounded to 2
        (5, 0.5, 3),  # removes 2.5, rounded to 2
        (7, 0.5, 3),  # removes 3.5, rounded to 4
        (4_194_304, 0.9, 419_430),
    ],
)
def test_num_kept(size, sparsity, expected):
    assert num_kept(size, sparsity) == expected
    assert type(num_kept(size, sparsity)) is int


SIZE = "`size` must be an integer of at least 1. Received: size="
SPARSITY = "`sparsity` must be a number in [0, 1). Received: sparsity="
K = "`k` must be an integer of at least 1. Received: k="


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (num_kept, (0, 0.5), f"{SIZE}0"),
        (num_kept, (2.0, 0.5), f"{SIZE}2.0"),
        (num_kept, (5, 1.0), f"{SPARSITY}1.0"),
        (num_kept, (5, -0.1), f"{SPARSITY}-0.1"),
        (num_kept, (5, NAN), f"{SPARSITY}nan"),
        (top_k_mask, (ONES, 0), f"{K}0"),
        (top_k_mask, (ONES, -1), f"{K}-1"),
        (top_k_mask, (ONES, 1.0), f"{K}1.0"),
        (top_k_mask, (ONES, True), f"{K}True"),
        (
            top_k_mask,
            (ONES, 4),
            "`k` must be at most the number of scores. Received: k=4, size=3",
        ),
    ],
)
def test_errors_carry_the_value(function, arguments, message):
    with pytest.raises(InputError) as error:
        function(*arguments)
    assert str(error.value) == message


@pytest.mark.parametrize("mode", ALL_MODES)
@pytest.mark.parametrize(
    ("score", "k", "by_magnitude", "by_score"),
    [
        ([0.1, -3.0, 2.0, 0.0], 1, [0, 1, 0, 0], [0, 0, 1, 0]),
        ([0.1, -3.0, 2.0, 0.0], 2, [0, 1, 1, 0], [1, 0, 1, 0]),
        ([0.1, -3.0, 2.0, 0.0], 3, [1, 1, 1, 0], [1, 0, 1, 1]),
        ([0.1, -3.0, 2.0, 0.0], 4, [1, 1, 1, 1], [1, 1, 1, 1]),
        # Ties: the lowest flat index wins.
        ([2, 2, 2, 2], 1, [1, 0, 0, 0], [1, 0, 0, 0]),
        ([2, 2, 2, 2], 3, [1, 1, 1, 0], [1, 1, 1, 0]),
        ([0, 0, 0, 0], 2, [1, 1, 0, 0], [1, 1, 0, 0]),
        ([-1, 1, -1, 1], 2, [1, 1, 0, 0], [0, 1, 0, 1]),
        ([-1, 1, -1, 1], 3, [1, 1, 1, 0], [1, 1, 0, 1]),
        ([5, 1, 9, 1], 3, [1, 1, 1, 0], [1, 1, 1, 0]),
        ([[1, 3], [3, 3]], 2, [[0, 1], [1, 0]], [[0, 1], [1, 0]]),
        # Both zeros are equal.
        ([-0.0, 0.0, -0.0, 0.0], 2, [1, 1, 0, 0], [1, 1, 0, 0]),
        # Denormals are not zero.
        ([0.0, TINY, -TINY, 0.0], 1, [0, 1, 0, 0], [0, 1, 0, 0]),
        ([-0.0, -TINY, 2 * TINY, 0.0], 3, [1, 1, 1, 0], [1, 0, 1, 1]),
        # Infinities are numbers like any other.
        ([1e38, INF, -INF, 0.0], 1, [0, 1, 0, 0], [0, 1, 0, 0]),
        ([1e38, -INF, INF, 0.0], 2, [0, 1, 1, 0], [1, 0, 1, 0]),
        ([1e38, -INF, -3e38, 0.0], 3, [1, 1, 1, 0], [1, 0, 1, 1]),
        # NaN ranks below all, whatever its sign bit.
        ([NAN, -NAN, -INF, 0.0], 2, [0, 0, 1, 1], [0, 0, 1, 1]),
        ([NAN, 0.0, -NAN, -1.0], 3, [1, 1, 0, 1], [1, 1, 0, 1]),
        ([NAN, -NAN, NAN, NAN], 2, [1, 1, 0, 0], [1, 1, 0, 0]),
    ],
)
def test_masks(score, k, by_magnitude, by_score, mode):
    score = tf.constant(score, tf.float32)
    for ranking, expected in zip(RANKINGS, (by_magnitude, by_score), strict=True):
        mask = compiled_top_k_mask(mode, k, ranking)(score)
        assert mask.dtype == tf.float32
        np.testing.assert_array_equal(mask, np.array(expected, np.float32))


@pytest.mark.parametrize("ranking", RANKINGS)
@pytest.mark.parametrize("num_values", [1, 2, 1000])
@pytest.mark.parametrize("shape", [(1,), (7,), (2, 3, 2)])
def test_keeps_exactly_k_for_every_k(shape, num_values, ranking):
    rng = np.random.default_rng(0)
    score = (rng.integers(0, num_values, shape) - num_values / 2).astype(np.float32)
    for k in range(1, score.size + 1):
        mask = top_k_mask(score, k, ranking).numpy()
        assert mask.sum() == k
        np.testing.assert_array_equal(mask, naive_mask(score, k, ranking))


@hypothesis.settings(deadline=None, max_examples=100)
@hypothesis.given(data=st.data())
def test_equals_a_stable_sort_on_any_float(data):
    any_float = st.floats(width=32, allow_nan=True, allow_subnormal=True)
    few_values = st.sampled_from([0.0, -0.0, 1.0, -1.0, float(TINY), NAN, INF, -INF])
    elements = st.one_of(any_float, few_values)
    score = data.draw(hnp.arrays(np.float32, st.integers(1, 24), elements=elements))
    k = data.draw(st.integers(1, score.size))
    for ranking in RANKINGS:
        found = top_k_mask(score, k, ranking)
        np.testing.assert_array_equal(found, naive_mask(score, k, ranking))


@pytest.mark.parametrize(("k", "ranking"), [(1, "score"), (49_999, "magnitude")])
def test_large_arrays_are_alike_in_every_mode(k, ranking):
    rng = np.random.default_rng(k)
    score = rng.normal(size=100_000).astype(np.float32)
    score[::3] = np.round(score[::3], 1)  # thousands of duplicates
    score[::1000] = NAN
    expected = naive_mask(score, k, ranking)
    for mode in ALL_MODES:
        mask = compiled_top_k_mask(mode, k, ranking)(tf.constant(score))
        np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("ranking", RANKINGS)
@pytest.mark.parametrize("mode", ["tensorflow", "xla"])
def test_more_scores_than_float32_counts_are_counted_exactly(
    monkeypatch, mode, ranking
):
    largest = np.float32(masking._LARGEST_COUNT_IN_FLOAT32)
    assert largest - 1 < largest == largest + np.float32(1)
    monkeypatch.setattr(masking, "_LARGEST_COUNT_IN_FLOAT32", 2999)
    score = np.random.default_rng(0).normal(size=3000).astype(np.float32)
    masks = ALL_MODES[mode](functools.partial(top_k_mask, k=2500, ranking=ranking))
    np.testing.assert_array_equal(masks(score), naive_mask(score, 2500, ranking))


@pytest.mark.parametrize(
    "dtype", ["float16", "bfloat16", "float64", "int32", "bool", "string"]
)
def test_refuses_other_dtypes(dtype):
    score = tf.constant(["a", "b"]) if dtype == "string" else tf.ones(2, dtype)
    message = f"`score` must be float32. Received: dtype='{dtype}'"
    for call in (
        lambda: top_k_mask(score, k=1),
        lambda: masked_kernel(ONES[:2], score, 1),
    ):
        with pytest.raises(InputError, match=re.escape(message)):
            call()


def test_refuses_an_unknown_ranking_and_an_unknown_shape():
    for k in (1, 3):  # which keeps all three scores and needs no ranking
        for ranking in ("absolute", "", None):
            with pytest.raises(
                InputError, match="`ranking` must be one of 'magnitude'"
            ):
                top_k_mask(ONES, k, ranking)
    mask = tf.function(lambda score: top_k_mask(score, 1), autograph=False)
    with pytest.raises(InputError, match="`score` must have a static shape"):
        mask.get_concrete_function(tf.TensorSpec([None], tf.float32))


def differentiate(kernel, score, k, ranking, upstream, mode="eager"):
    def mask(kernel, score):
        return masked_kernel(kernel, score, k, ranking)

    return value_and_gradients(mode, mask, kernel, score, upstream)


@pytest.mark.parametrize(
    ("dtype", "mode"),
    [
        *[("float32", mode) for mode in ("eager", "graph", "xla")],
        *[(dtype, "eager") for dtype in ("float64", "float16", "bfloat16")],
        ("bfloat16", "xla"),
    ],
)
@pytest.mark.parametrize(
    ("ranking", "k", "masked", "kernel_gradient", "score_gradient"),
    [
        ("magnitude", 2, [1, -2, 0, 0], [10, 20, 0, 0], [10, 40, 90, -160]),
        ("magnitude", 4, [1, -2, 3, 4], [10, 20, 30, 40], [10, 40, 90, -160]),
        ("score", 2, [1, 0, 3, 0], [10, 0, 30, 0], [10, -40, 90, 160]),
        ("score", 4, [1, -2, 3, 4], [10, 20, 30, 40], [10, -40, 90, 160]),
    ],
)
def test_masked_kernel_and_its_straight_through_gradient(
    ranking, k, masked, kernel_gradient, score_gradient, dtype, mode
):
    kernel, score = tf.constant([1, -2, 3, 4], dtype), [0.3, -0.9, 0.1, -0.2]
    results = differentiate(kernel, score, k, ranking, [10, 20, 30, 40], mode)
    expected = (masked, kernel_gradient, score_gradient)
    for result, values, name in zip(
        results, expected, (dtype, dtype, "float32"), strict=True
    ):
        assert result.dtype == name
        np.testing.assert_array_equal(tf.cast(result, tf.float32), values)


def test_a_zero_score_ranked_by_magnitude_has_no_gradient():
    kernel, score = tf.constant([2.0, 2.0]), tf.constant([0.0, 1.0])
    *_, gradient = differentiate(kernel, score, 1, "magnitude", [1, 1])
    np.testing.assert_array_equal(gradient, [0, 2])


def test_score_gradient_does_not_underflow_in_half_precision():
    kernel = tf.constant([2.0**-14, 1.0], tf.float16)
    upstream = [2.0**-14, 1.0]
    *_, gradient = differentiate(kernel, tf.ones(2), 1, "magnitude", upstream)
    np.testing.assert_array_equal(gradient, np.float32([2.0**-28, 1]))


def test_masked_kernel_of_any_shape_equals_kernel_times_mask():
    rng = np.random.default_rng(0)
    kernel, score = map(tf.Variable, rng.normal(size=(2, 3, 3, 4, 5)).astype("float32"))
    for ranking in ({}, *({"ranking": ranking} for ranking in RANKINGS)):
        with tf.GradientTape() as tape:
            found = masked_kernel(kernel, score, 77, **ranking)
        expected = kernel * naive_mask(score.numpy(), 77, **ranking)
        np.testing.assert_array_equal(found, expected)
        assert tape.gradient(found, score) is not None


@pytest.mark.parametrize("score_shape", [(3,), (3, 2), (2, 3, 1), ()])
def test_masked_kernel_refuses_differing_shapes(score_shape):
    received = f"kernel=(2, 3), score={score_shape}"
    message = f"`kernel` and `score` must have the same shape. Received: {received}"
    with pytest.raises(InputError, match=re.escape(message)):
        masked_kernel(tf.ones((2, 3)), tf.ones(score_shape), k=1)
