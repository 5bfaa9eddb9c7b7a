"""Top-k and signed masks, and the straight-through gradient (thesis §3.2)."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tfsupermask._validation import check_choice, check_fraction, check_integer, fail
from tfsupermask.ops import native

RANKINGS = ("magnitude", "score")

_SIGN_BIT = 0x80000000
_INFINITY_BITS = 0x7F800000
_LARGEST_COUNT_IN_FLOAT32 = 2**24


def num_kept(size: int, sparsity: float) -> int:
    """Returns how many of a layer's weights are kept: `size - round(sparsity * size)`.

    Args:
        size: Number of weights in the layer, at least 1.
        sparsity: Fraction of weights removed, in [0, 1).

    Returns:
        An integer in [1, `size`]. Halves are rounded to even. A sparsity of 0 keeps all
        weights, and at least one weight is always kept.

    Raises:
        InputError: An argument is out of range.

    Example:
        >>> num_kept(1000, 0.7)
        300

    Reference:
        - Thesis §3.2.
    """
    size = check_integer("size", size, minimum=1)
    return max(1, size - round(check_fraction("sparsity", sparsity) * size))


def top_k_mask(
    score: tf.Tensor, k: int | tf.Tensor, ranking: str = "magnitude"
) -> tf.Tensor:
    """Returns a mask that is 1 at the `k` highest ranked scores and 0 elsewhere.

    Exactly `k` entries are 1: among equal scores the lowest flat index wins. NaN ranks
    below every number. The result has the same bits as with a stable descending sort,
    in eager code, in `tf.function` and under XLA.

    Args:
        score: float32 tensor of any static shape, at least one entry.
        k: Number of entries kept, in [1, number of scores]: an integer, or an int32
            tensor without a check.
        ranking: `"magnitude"` (default) ranks by `|score|`, `"score"` by the signed
            value.

    Returns:
        float32 tensor of zeros and ones with the shape of `score`.

    Raises:
        InputError: `k`, `ranking` or the dtype of `score` is not as above.

    Example:
        >>> top_k_mask(tf.constant([0.1, -3.0, 2.0, 0.0]), k=2).numpy()
        array([0., 1., 1., 0.], dtype=float32)

    Reference:
        - Thesis §3.2, h of eq. 3.4; Ramanujan et al., 2020, "What's hidden in a
          randomly weighted neural network?".
    """
    score = tf.convert_to_tensor(score)
    _check(score, k, ranking)
    if not tf.is_tensor(k) and k == score.shape.num_elements():
        return tf.ones_like(score)
    if native.usable():
        return native.mask_all_but_top_k(tf.ones_like(score), score, k, ranking)
    key = tf.reshape(_sortable_key(score, ranking), [-1])
    return tf.reshape(_keep_largest(key, k), score.shape)


def masked_kernel(
    kernel: tf.Tensor, score: tf.Tensor, k: int | tf.Tensor, ranking: str = "magnitude"
) -> tf.Tensor:
    """Returns `kernel · mask`, differentiable in the scores by a straight-through step.

    The forward pass keeps the `k` highest ranked weights. The backward pass treats the
    mask as the identity, so that scores of removed weights are also trained:
    d/dscore = (d/d(kernel · mask)) · kernel, times sign(score) when ranking by
    magnitude.

    Args:
        kernel: Weights, any floating dtype.
        score: float32 scores of the same shape.
        k: Number of weights kept, in [1, number of weights], see `top_k_mask`.
        ranking: `"magnitude"` (default) or `"score"`, see `top_k_mask`.

    Returns:
        Tensor with the shape and dtype of `kernel`.

    Raises:
        InputError: The shapes differ, or `top_k_mask` refuses its arguments.

    Example:
        >>> kernel, score = tf.constant([1.0, 2.0, 3.0]), tf.constant([0.3, -0.9, 0.1])
        >>> masked_kernel(kernel, score, k=1).numpy()
        array([0., 2., 0.], dtype=float32)

    Reference:
        - Thesis §3.2; Bengio, Léonard & Courville, 2013, "Estimating or propagating
          gradients through stochastic neurons for conditional computation".
    """
    kernel, score = tf.convert_to_tensor(kernel), tf.convert_to_tensor(score)
    if kernel.shape != score.shape:
        raise fail(
            "`kernel` and `score` must have the same shape.",
            kernel=tuple(kernel.shape),
            score=tuple(score.shape),
        )
    _check(score, k, ranking)

    @tf.custom_gradient
    def apply_mask(kernel, score):
        if kernel.dtype == tf.float32 and native.usable():
            masked = native.mask_all_but_top_k(kernel, score, k, ranking)
        else:
            masked = kernel * tf.cast(top_k_mask(score, k, ranking), kernel.dtype)

        def straight_through(upstream):
            # A frozen kernel does not use the first gradient; graphs then omit it.
            mask = tf.cast(top_k_mask(score, k, ranking), kernel.dtype)
            return upstream * mask, _score_gradient(upstream, kernel, score, ranking)

        return masked, straight_through

    return apply_mask(kernel, score)


def signed_mask(score: tf.Tensor, k: int | tf.Tensor) -> tf.Tensor:
    """Returns the sign of the `k` scores largest in magnitude, and 0 elsewhere.

    Args:
        score: float32 tensor of any static shape, at least one entry.
        k: Number of weights kept or inverted, see `top_k_mask`.

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
          They use two thresholds on the scores; here the rank decides, which gives a
          fixed sparsity.
    """
    return top_k_mask(score, k) * tf.where(score < 0, -1.0, 1.0)


def straight_through_kernel(
    kernel: tf.Tensor,
    score: tf.Tensor,
    mask: tf.Tensor,
    slope: Callable[[tf.Tensor], tf.Tensor] | None = None,
) -> tf.Tensor:
    """Returns `kernel · mask`, differentiable in the scores as if they were the mask.

    d/dscore = (d/d(kernel · mask)) · kernel, for removed weights too.

    Args:
        kernel: Weights, any floating dtype.
        score: float32 scores of the same shape.
        mask: Any float32 tensor of the same shape, made from the scores.
        slope: Function from the scores to factors of the gradient. Defaults to 1.

    Returns:
        Tensor with the shape and dtype of `kernel`.

    Example:
        >>> kernel, score = tf.constant([1.0, 2.0, 3.0]), tf.constant([0.3, -0.9, 0.1])
        >>> straight_through_kernel(kernel, score, tf.sign(score)).numpy()
        array([ 1., -2.,  3.], dtype=float32)

    Reference:
        - Bengio, Léonard & Courville, 2013.
    """

    @tf.custom_gradient
    def apply_mask(kernel, score):
        factors = tf.cast(mask, kernel.dtype)

        def straight_through(upstream):
            weighted = kernel
            if slope is not None:
                # One product, the same for all ways to split a batch.
                weighted = tf.cast(kernel, score.dtype) * slope(score)
            gradient = _score_gradient(upstream, weighted, score, "score")
            return upstream * factors, gradient

        return kernel * factors, straight_through

    return apply_mask(tf.convert_to_tensor(kernel), tf.convert_to_tensor(score))


def binary_kernel(kernel: tf.Tensor, score: tf.Tensor, k: int | tf.Tensor) -> tf.Tensor:
    """Returns gain · sign(`kernel`) · mask, differentiable in the scores.

    The gain is the mean magnitude of the weights kept. The backward pass is that of
    `masked_kernel`: d/dscore = (d/d(result)) · kernel · sign(score).

    Args:
        kernel: Weights, any floating dtype.
        score: float32 scores of the same shape.
        k: Number of weights kept, see `top_k_mask`.

    Returns:
        Tensor with the shape and dtype of `kernel`.

    Example:
        >>> kernel, score = tf.constant([1.0, -2.0, 5.0]), tf.constant([0.3, 0.9, 0.1])
        >>> binary_kernel(kernel, score, k=2).numpy()
        array([ 1.5, -1.5,  0. ], dtype=float32)

    Reference:
        - Diffenderfer and Kailkhura, 2021, "Multi-prize lottery ticket hypothesis",
          Algorithm 1 (biprop).
    """

    @tf.custom_gradient
    def binarise(kernel, score):
        def straight_through(upstream):
            return None, _score_gradient(upstream, kernel, score, "magnitude")

        return binarised(kernel, top_k_mask(score, k)), straight_through

    return binarise(tf.convert_to_tensor(kernel), tf.convert_to_tensor(score))


def binarised(kernel: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Returns the signs of the kept weights times their mean magnitude.

    Args:
        kernel: Weights, any floating dtype.
        mask: float32 tensor of zeros and ones, of the same shape; at least one 1.

    Returns:
        Tensor with the shape and dtype of `kernel`. A weight of 0 has no sign.

    Example:
        >>> kernel, mask = tf.constant([1.0, -2.0, 5.0]), tf.constant([1.0, 1.0, 0.0])
        >>> binarised(kernel, mask).numpy()
        array([ 1.5, -1.5,  0. ], dtype=float32)

    Reference:
        - Diffenderfer and Kailkhura, 2021.
    """
    # The sums in float32, because float16 ends at 65504.
    kept = tf.cast(kernel, tf.float32) * mask
    gain = tf.reduce_sum(tf.abs(kept)) / tf.reduce_sum(mask)
    return tf.cast(gain * tf.sign(kept), kernel.dtype)


def _check(score, k, ranking):
    if score.dtype != tf.float32:
        raise fail("`score` must be float32.", dtype=score.dtype.name)
    size = score.shape.num_elements()
    if size is None:
        raise fail("`score` must have a static shape.", shape=score.shape)
    check_choice("ranking", ranking, RANKINGS)
    if not tf.is_tensor(k) and check_integer("k", k, minimum=1) > size:
        raise fail("`k` must be at most the number of scores.", k=k, size=size)


def _score_gradient(upstream, kernel, score, ranking):
    """Returns `upstream · kernel`, times sign(score) when ranking by magnitude."""
    # In the scores' precision, because a product in half precision may underflow.
    upstream, kernel = tf.cast(upstream, score.dtype), tf.cast(kernel, score.dtype)
    if native.usable():
        return native.straight_through(upstream, kernel, score, ranking)
    gradient = upstream * kernel
    return gradient * tf.sign(score) if ranking == "magnitude" else gradient


def _sortable_key(score: tf.Tensor, ranking: str) -> tf.Tensor:
    """Maps scores to uint32 keys with the same order; NaN gets the smallest key."""
    # Not in floats, where TensorFlow treats denormals as 0; and not in int32, because
    # int32 arithmetic of GPUs runs on the host.
    bits = tf.bitcast(score, tf.uint32)
    magnitude = tf.bitwise.bitwise_and(bits, _SIGN_BIT - 1)
    key = _SIGN_BIT + magnitude
    if ranking == "score":
        key = tf.where(bits < _SIGN_BIT, key, _SIGN_BIT - magnitude)
    return tf.where(magnitude > _INFINITY_BITS, tf.constant(0, tf.uint32), key)


def _keep_largest(key: tf.Tensor, k: int | tf.Tensor) -> tf.Tensor:
    """Returns 1.0 at the `k` largest keys of a vector, the first ones among equals."""
    k = tf.cast(k, tf.int64)
    threshold, num_reaching = _kth_largest(key, k)

    def without_ties():
        return tf.cast(key >= threshold, tf.float32)

    def with_ties():
        above = key > threshold
        tied = key == threshold
        places_left = k - _count(above)
        first_tied = tied & (tf.cumsum(tf.cast(tied, tf.int64)) <= places_left)
        return tf.cast(above | first_tied, tf.float32)

    return tf.cond(num_reaching == k, without_ties, with_ties)


def _kth_largest(key: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Bisects for a threshold that at least `k` keys reach; returns it, and how many.

    It ends when exactly `k` keys reach it, else at the k-th largest key. At most 32
    counting passes are several times faster than a sort or `tf.math.top_k`.
    """

    def unfinished(low, high, count):
        return (low < high) & (count != k)

    def halve(low, high, count):
        # The mean of both rounded up, without overflow.
        middle = high - tf.bitwise.right_shift(high - low, 1)
        middle_count = _count(key >= middle)
        enough = middle_count >= k
        return (
            tf.where(enough, middle, low),
            tf.where(enough, high, middle - 1),
            tf.where(enough, middle_count, count),
        )

    low, high = tf.constant(0, tf.uint32), tf.constant(2**32 - 1, tf.uint32)
    low, _, count = tf.while_loop(
        unfinished, halve, (low, high, tf.size(key, tf.int64)), parallel_iterations=1
    )
    return low, count


def _count(condition: tf.Tensor) -> tf.Tensor:
    exact = condition.shape.num_elements() <= _LARGEST_COUNT_IN_FLOAT32
    dtype = tf.float32 if exact else tf.int64  # the former is faster
    return tf.cast(tf.reduce_sum(tf.cast(condition, dtype)), tf.int64)
