import numpy as np
import pytest
import tensorflow as tf

from tests.ops.modes import naive_mask
from tfsupermask.ops import RANKINGS, native, top_k_mask


def scores(size, seed=0):
    return np.random.default_rng(seed).normal(size=size).astype(np.float32)


def test_is_used_on_this_machine_but_not_under_xla():
    seen = {}

    def note(name):
        seen[name] = native.usable()
        return tf.constant(0)

    note("eager")
    tf.function(lambda: note("graph"))()
    tf.function(lambda: note("xla"), jit_compile=True)()
    inner = tf.function(lambda: note("graph within xla"))
    tf.function(lambda: inner(), jit_compile=True)()
    expected = {"eager": True, "graph": True, "xla": False, "graph within xla": False}
    assert seen == expected


@pytest.mark.parametrize("missing", ["gpu", "library"])
def test_is_not_used_beside_a_gpu_or_without_its_library(monkeypatch, missing):
    if missing == "gpu":
        monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [kind])
    else:
        monkeypatch.setattr(native, "_library", lambda: None)
    assert not native.usable()
    mask = top_k_mask(tf.constant([0.1, -3.0, 2.0]), 2)
    np.testing.assert_array_equal(mask, [0, 1, 1])


def test_a_library_that_does_not_load_is_said_once_and_done_without(monkeypatch):
    class Found:
        origin = __file__

    native._library.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr("importlib.util.find_spec", lambda name: Found)
        with pytest.warns(UserWarning, match="TensorFlow's own ops, which is slower"):
            assert not native.usable()
    native._library.cache_clear()
    assert native.usable()


@pytest.mark.parametrize("ranking", RANKINGS)
# Bins are narrower from 32,768 scores on. Blocks are of 131,072 scores and more: less
# than one, one, many and a rest.
@pytest.mark.parametrize("size", [1, 1000, 32_767, 32_768, 131_072, 131_073, 300_007])
def test_blocks_make_one_mask(size, ranking):
    score, values = scores(size), scores(size, seed=1)
    for k in {1, size // 3 + 1, size}:
        expected = values * naive_mask(score, k, ranking)
        masked = native.mask_all_but_top_k(values, score, k, ranking)
        np.testing.assert_array_equal(masked, expected)


@pytest.mark.parametrize("ranking", RANKINGS)
def test_ties_across_blocks_keep_the_first(ranking):
    score = np.tile(np.float32([0.5, 0.25, 0.5, 0.125]), 40_000)
    for k in (1, 39_999, 80_000, 80_001, 120_000):
        masked = native.mask_all_but_top_k(np.ones_like(score), score, k, ranking)
        np.testing.assert_array_equal(masked, naive_mask(score, k, ranking))


@pytest.mark.parametrize("ranking", RANKINGS)
@pytest.mark.parametrize("size", [5_000, 50_000])
def test_neighbouring_floats_are_told_apart(size, ranking):
    # In one bin of the counting pass or two, in random order.
    steps = np.random.default_rng(0).permutation(size).astype(np.int32)
    score = (steps + np.float32(1).view(np.int32)).view(np.float32)
    k = 2 * size // 5 + 1
    masked = native.mask_all_but_top_k(np.ones_like(score), score, k, ranking)
    np.testing.assert_array_equal(masked, naive_mask(score, k, ranking))


def test_a_computed_k_out_of_range_and_differing_sizes_are_refused():
    three, four, refused = tf.ones(3), tf.ones(4), tf.errors.InvalidArgumentError
    for k in (0, -1, 4):
        with pytest.raises(refused, match=r"`k` must be in \[1"):
            native.mask_all_but_top_k(three, three, k, "magnitude")
    with pytest.raises(refused, match="Shapes must be equal"):
        native.mask_all_but_top_k(four, three, 1, "magnitude")
    with pytest.raises(refused, match="Shapes must be equal"):
        native.straight_through(three, four, three, "magnitude")


@pytest.mark.parametrize("size", [5, 100_003])
def test_gradient_is_the_product(size):
    upstream, kernel, score = (scores(size, seed) for seed in range(3))
    score[:2] = 0.0, np.nan  # whose sign is NaN
    np.testing.assert_array_equal(
        native.straight_through(upstream, kernel, score, "magnitude"),
        upstream * kernel * np.sign(score),
    )
    np.testing.assert_array_equal(
        native.straight_through(upstream, kernel, score, "score"), upstream * kernel
    )


@pytest.mark.parametrize("ranking", ["magnitude", "score"])
def test_its_gradient_has_a_gradient(ranking):
    upstream, kernel, score = (tf.constant(scores(9, seed)) for seed in range(3))
    with tf.GradientTape() as tape:
        tape.watch((upstream, kernel, score))
        loss = tf.reduce_sum(
            native.straight_through(upstream, kernel, score, ranking) ** 2
        )
    of_upstream, of_kernel, of_score = tape.gradient(loss, (upstream, kernel, score))
    np.testing.assert_allclose(of_upstream, 2 * upstream * kernel**2, rtol=1e-6)
    np.testing.assert_allclose(of_kernel, 2 * upstream**2 * kernel, rtol=1e-6)
    assert of_score is None


def test_shape_is_known_when_traced():
    @tf.function
    def masked(values, score):
        found = native.mask_all_but_top_k(values, score, 2, "score")
        assert found.shape == (2, 3)
        return found

    masked(tf.ones((2, 3)), tf.ones((2, 3)))
