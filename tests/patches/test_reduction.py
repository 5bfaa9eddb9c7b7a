import numpy as np
import pytest
import scipy.linalg
from sklearn.decomposition import PCA
from threadpoolctl import threadpool_info, threadpool_limits

from tfsupermask._validation import InputError
from tfsupermask.patches import reduction, survey
from tfsupermask.patches.reduction import principal_components, project


def random_patches(count, *shape, seed=0):
    rng = np.random.default_rng(seed)
    scales = rng.uniform(0.1, 3, shape)
    return (rng.normal(size=(count, *shape)) * scales).astype(np.float32)


def reduce_dimensionality(values, block=4096):
    blocks = [values[i : i + block] for i in range(0, len(values), block)]
    summary = survey(blocks)
    return project(blocks, summary.mean, principal_components(summary))


@pytest.mark.parametrize(
    ("count", "shape", "components"),
    [
        (200, (3, 3, 8), 27),
        (500, (2, 2, 2), 8),
        (8, (3, 3, 100), 8),
        (2, (3, 3, 3), 2),
    ],
)
def test_reduces_to_27_components_at_most(count, shape, components):
    patches = random_patches(count, *shape)
    reduced = reduce_dimensionality(patches)
    assert reduced.shape == (count, components)
    assert reduced.dtype == np.float32
    if components < 27:  # all the variance is kept
        total = patches.var(axis=0, dtype=float).sum()
        kept = reduced.var(axis=0, dtype=float).sum()
        np.testing.assert_allclose(kept, total, rtol=1e-5)


def test_runs_in_one_thread(monkeypatch):
    seen = []

    def watched(function):
        def call(*args, **kwargs):
            seen.extend(pool["num_threads"] for pool in threadpool_info())
            return function(*args, **kwargs)

        return call

    for module, name in ((scipy.linalg, "eigh"), (reduction, "_centre")):
        monkeypatch.setattr(module, name, watched(getattr(module, name)))
    with threadpool_limits(2):
        reduce_dimensionality(random_patches(50, 3, 3))
    assert len(seen) >= 2
    assert set(seen) == {1}


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_survey_equals_numpy_on_all_patches_at_once(offset):
    values = random_patches(700, 3, 3, 4) + np.float32(offset)
    summary = survey([values[:300], values[300:301], values[301:]])
    flat = values.reshape(700, -1).astype(np.float64)
    np.testing.assert_allclose(summary.mean, flat.mean(axis=0), rtol=1e-5, atol=1e-5)
    expected = np.cov(flat, rowvar=False, bias=True)
    np.testing.assert_allclose(
        summary.covariance, expected, rtol=1e-3, atol=1e-4 * expected.max()
    )
    np.testing.assert_allclose(summary.deviation, flat.std(axis=1), rtol=1e-3)
    assert summary.peak == np.abs(values).max()


def test_signs_are_those_of_scikit_learn():
    values = random_patches(300, 3, 3, 8)
    expected = PCA(27, svd_solver="full").fit_transform(values.reshape(300, -1))
    np.testing.assert_allclose(reduce_dimensionality(values), expected, atol=1e-3)


def falling(size, power, seed=0):
    """A covariance whose eigenvalues fall off as a power, and its eigenvectors."""
    vectors, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))
    values = np.arange(1, size + 1.0) ** -power
    return (vectors * values) @ vectors.T, vectors


def summary_of(covariance):
    size = len(covariance)
    return reduction.Survey(np.zeros(size), covariance, np.ones(9999, np.float32), 1.0)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_components_of_long_patches_are_exact(monkeypatch, scale):
    covariance, vectors = falling(300, power=1.5)
    monkeypatch.setattr(scipy.linalg, "eigh", None)
    found = principal_components(summary_of(covariance * scale), 3)
    np.testing.assert_allclose(
        np.abs(found @ vectors[:, :3]), np.eye(3), rtol=0, atol=1e-7
    )
    np.testing.assert_allclose(found @ found.T, np.eye(3), rtol=0, atol=1e-12)


@pytest.mark.parametrize("power", [0, 0.01, 0.3])
def test_slow_spectra_are_solved_in_full(power):
    covariance, _ = falling(300, power)
    explained = np.sort(np.arange(1, 301.0) ** -power)[::-1][:3]
    found = principal_components(summary_of(covariance), 3)
    np.testing.assert_allclose(
        found @ covariance, explained[:, None] * found, rtol=0, atol=1e-8
    )


def test_refuses_a_covariance_that_is_not_finite():
    covariance = np.full((30, 30), np.nan)
    with pytest.raises(InputError, match=r"must be finite.*trace=nan"):
        principal_components(summary_of(covariance))


def test_parts_of_a_block_do_not_change_its_survey(monkeypatch):
    values = random_patches(500, 3, 3, 8)
    expected = survey([values])
    monkeypatch.setattr(reduction, "_BYTES_IN_CACHE", 700)
    found = survey([values])
    for name in ("mean", "covariance", "deviation", "peak"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_patches_that_are_not_finite_are_left_out(value):
    values = random_patches(500, 3, 3, 8)
    values[[3, 120], 0, 0, 0] = value
    found = survey([values[:100], values[100:]])
    assert np.flatnonzero(~np.isfinite(found.deviation)).tolist() == [3, 120]
    rest = np.delete(values, [3, 120], axis=0)
    expected = survey([rest[:99], rest[99:]])
    left = found.only(np.isfinite(found.deviation))
    for name in ("mean", "covariance", "deviation", "peak"):
        np.testing.assert_allclose(getattr(left, name), getattr(expected, name))
    nothing = survey([np.full((5, 3, 3, 2), value, np.float32)])
    assert not nothing.mean.any()
    assert not nothing.covariance.any()
    assert not np.isfinite(nothing.deviation).any()


def test_the_covariance_of_short_patches_is_exact():
    values = random_patches(4000, 3, 3, 3) * np.float32(1e-3)
    values += np.random.default_rng(1).normal(size=(4000, 1, 1, 1)).astype(np.float32)
    flat = values.reshape(4000, -1).astype(np.float64)
    expected = np.cov(flat, rowvar=False, bias=True)
    found = survey([values[:1500], values[1500:]]).covariance
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-8)


SCALES = (1e-30, 1e-12, 1e19, 1e30)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("channels", [3, 20])  # with products in double and single
def test_the_scale_changes_nothing_but_the_scale(scale, channels):
    values, scale = random_patches(500, 3, 3, channels), np.float32(scale)
    expected, found = survey([values[:300], values[300:]]), survey([values * scale])
    for name, power in (("mean", 1), ("deviation", 1), ("peak", 1), ("covariance", 2)):
        scaled = np.float64(getattr(expected, name)) * float(scale) ** power
        size = np.abs(scaled).max()
        np.testing.assert_allclose(getattr(found, name), scaled, atol=1e-6 * size)
    np.testing.assert_array_equal(found.not_flat, expected.not_flat)


@pytest.mark.parametrize("scale", [1.0, *SCALES])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, -3e38])
@pytest.mark.parametrize("where", [slice(0, 1), slice(None)])
def test_patches_with_huge_values_are_left_out(value, where, scale):
    values = random_patches(500, 3, 3, 20) * np.float32(scale)
    if scale == 1e30 and np.isfinite(value):
        pytest.skip("3e38 is not huge beside 1e30")
    values[[3, 120], where] = value
    found, rest = survey([values]), survey([np.delete(values, [3, 120], axis=0)])
    assert np.flatnonzero(~found.counted).tolist() == [3, 120]
    assert not found.not_flat[[3, 120]].any()
    assert found.peak == rest.peak
    size = np.abs(rest.covariance).max()
    np.testing.assert_allclose(found.covariance, rest.covariance, atol=1e-5 * size)


@pytest.mark.parametrize("value", [1e3, 1e5, 1e6, -1e7, 1e9, 1e12, -1e16])
def test_one_large_value_makes_no_other_patch_flat(value):
    values = random_patches(500, 3, 3, 20)
    values[3, 0, 0, 0] = value
    found = survey([values[:64], values[64:]])
    assert np.delete(found.not_flat, 3).all()
    assert found.counted[3] == found.not_flat[3] == (abs(value) < 1e8)
