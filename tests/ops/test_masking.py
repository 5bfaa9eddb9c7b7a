import functools

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


@pytest.mark.parametrize(
    ("size", "sparsity", "message"),
    [
        (0, 0.5, "`size` must be an integer of at least 1. Received: size=0"),
        (2.0, 0.5, "`size` must be an integer of at least 1. Received: size=2.0"),
        (5, 1.0, "`sparsity` must be a number in [0, 1). Received: sparsity=1.0"),
        (5, -0.1, "`sparsity` must be a number in [0, 1). Received: sparsity=-0.1"),
        (5, NAN, "`sparsity` must be a number in [0, 1). Received: sparsity=nan"),
    ],
)
def test_num_kept_errors_carry_the_value(size, sparsity, message):
    with pytest.raises(InputError) as error:
        num_kept(size, sparsity)
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


def test_ranks_by_magnitude_unless_told():
    np.testing.assert_array_equal(top_k_mask(tf.constant([1.0, -2.0]), k=1), [0, 1])


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
    score = data.draw(
        hnp.arrays(
            np.float32, st.integers(1, 24), elements=st.one_of(any_float, few_values)
        )
    )
    k = data.draw(st.integers(1, score.size))
    ranking = data.draw(st.sampled_from(RANKINGS))
    np.testing.assert_array_equal(
        top_k_mask(score, k, ranking), naive_mask(score, k, ranking)
    )


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
    with pytest.raises(InputError) as error:
        top_k_mask(score, k=1)
    assert str(error.value) == f"`score` must be float32. Received: dtype='{dtype}'"


@pytest.mark.parametrize(
    ("k", "message"),
    [
        (0, "`k` must be an integer of at least 1. Received: k=0"),
        (-1, "`k` must be an integer of at least 1. Received: k=-1"),
        (1.0, "`k` must be an integer of at least 1. Received: k=1.0"),
        (True, "`k` must be an integer of at least 1. Received: k=True"),
        (4, "`k` must be at most the number of scores. Received: k=4, size=3"),
    ],
)
def test_refuses_a_bad_k(k, message):
    with pytest.raises(InputError) as error:
        top_k_mask(tf.ones(3), k)
    assert str(error.value) == message


# k = 3 keeps all three scores and needs no ranking.
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("ranking", ["absolute", "", None])
def test_refuses_an_unknown_ranking(ranking, k):
    with pytest.raises(InputError, match="`ranking` must be one of 'magnitude', 'sc"):
        top_k_mask(tf.ones(3), k, ranking)


def test_refuses_an_unknown_shape():
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
        ("float32", "eager"),
        ("float32", "graph"),
        ("float32", "xla"),
        ("float64", "eager"),
        ("float16", "eager"),
        ("bfloat16", "eager"),
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
    results = differentiate(
        tf.constant([1, -2, 3, 4], dtype),
        tf.constant([0.3, -0.9, 0.1, -0.2]),
        k,
        ranking,
        [10, 20, 30, 40],
        mode,
    )
    expected = (masked, kernel_gradient, score_gradient)
    dtypes = (dtype, dtype, "float32")
    for result, values, name in zip(results, expected, dtypes, strict=True):
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
    kernel, score = rng.normal(size=(2, 3, 3, 4, 5)).astype(np.float32)
    for ranking in RANKINGS:
        np.testing.assert_array_equal(
            masked_kernel(kernel, score, 77, ranking),
            kernel * naive_mask(score, 77, ranking),
        )


def test_masked_kernel_accepts_variables():
    kernel = tf.Variable([1.0, 2.0, 3.0], trainable=False)
    score = tf.Variable([0.3, -0.9, 0.1])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(masked_kernel(kernel, score, k=1))
    np.testing.assert_array_equal(tape.gradient(loss, score), [1, -2, 3])


@pytest.mark.parametrize("score_shape", [(3,), (3, 2), (2, 3, 1), ()])
def test_masked_kernel_refuses_differing_shapes(score_shape):
    with pytest.raises(InputError) as error:
        masked_kernel(tf.ones((2, 3)), tf.ones(score_shape), k=1)
    assert str(error.value) == (
        "`kernel` and `score` must have the same shape. "
        f"Received: kernel=(2, 3), score={score_shape}"
    )


def test_masked_kernel_refuses_half_precision_scores():
    with pytest.raises(InputError, match="`score` must be float32"):
        masked_kernel(tf.ones(2), tf.ones(2, tf.bfloat16), k=1)


def test_a_saved_function_gives_the_same_mask(tmp_path):
    module = tf.Module()
    module.score = tf.Variable(
        np.random.default_rng(0).normal(size=50), dtype="float32"
    )
    module.mask = tf.function(lambda: top_k_mask(module.score, 20), input_signature=[])
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    np.testing.assert_array_equal(
        loaded.mask(), naive_mask(module.score.numpy(), 20, "magnitude")
    )
