import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from tfsupermask._validation import InputError
from tfsupermask.patches import coordinates, reduction, spaces, survey, to_space


def random_patches(count, *shape, offset=0.0, seed=0):
    """Patches whose values are correlated, of very different variance, far from 0."""
    rng = np.random.default_rng(seed)
    size = int(np.prod(shape))
    mixing = rng.normal(size=(size, size)) * rng.uniform(0.05, 2, size)
    values = rng.normal(size=(count, size)) @ mixing + offset
    return values.reshape(count, *shape).astype(np.float32)


def zca(flat):
    """The whitening matrix by its definition, regulariser 0.1 of the mean variance."""
    covariance = np.cov(flat, rowvar=False, bias=True)
    values, vectors = np.linalg.eigh(covariance)
    regulariser = 0.1 * np.trace(covariance) / len(covariance)
    return vectors @ np.diag((values + regulariser) ** -0.5) @ vectors.T


def in_full_space(flat, space):
    """What k-means should group where all components are kept, up to a rotation."""
    centred = flat - flat.mean(axis=0)
    if space == "whitened":
        centred = centred @ zca(flat)
    if space == "raw":
        return centred
    return centred / np.linalg.norm(centred, axis=1, keepdims=True)


@pytest.mark.parametrize("space", spaces.SPACES)
@pytest.mark.parametrize("offset", [0, 20])
def test_coordinates_are_those_of_the_full_space_but_for_a_rotation(space, offset):
    values = random_patches(80, 3, 3, 2, offset=offset)
    points = coordinates([values[:30], values[30:]], survey([values]), 18, space)
    flat = values.reshape(80, -1).astype(np.float64)
    expected = in_full_space(flat, space)
    # A rotation leaves all inner products as they are.
    largest = np.abs(expected @ expected.T).max()
    np.testing.assert_allclose(
        points @ points.T, expected @ expected.T, atol=1e-3 * largest
    )
    assert points.dtype == np.float32


@pytest.mark.parametrize("space", ["centred", "whitened"])
def test_fewer_components_are_the_leading_ones_whitened_by_their_own_variance(space):
    values = random_patches(400, 3, 3, 4)
    flat = values.reshape(400, -1).astype(np.float64)
    centred = flat - flat.mean(axis=0)
    variances, directions = np.linalg.eigh(centred.T @ centred / 400)
    leading, along = directions[:, ::-1][:, :5], variances[::-1][:5]
    expected = centred @ leading
    if space == "whitened":
        expected /= np.sqrt(along + 0.1 * variances.mean())
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    points = coordinates([values], survey([values]), 5, space)
    np.testing.assert_allclose(np.abs(points), np.abs(expected), atol=2e-3)


def test_a_patch_equal_to_the_mean_stays_zero():
    values = random_patches(40, 2, 2, 2)
    values = np.concatenate([values, -values, np.zeros((1, 2, 2, 2), np.float32)])
    about = survey([values.astype(np.float32)])
    exact = reduction.Survey(np.zeros(8), about.covariance, about.deviation, about.peak)
    for space in ("centred", "whitened"):
        points = coordinates([values], exact, 8, space)
        assert not points[-1].any()
        np.testing.assert_allclose(np.linalg.norm(points[:-1], axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("shape", [(3, 3, 3), (3, 3, 20)])
@pytest.mark.parametrize("offset", [0, 20])
def test_patterns_are_whitened_by_zca(shape, offset):
    values = random_patches(300, *shape, offset=offset)
    flat = values.reshape(300, -1).astype(np.float64)
    expected = (flat - flat.mean(axis=0)) @ zca(flat)
    found = to_space(values[:50], survey([values]), "whitened").reshape(50, -1)
    ratio = found / expected[:50]
    # The same but for one factor, and about of the size of the patches.
    assert np.median(ratio) > 0
    assert 0.5 < found.std() / (values - values.mean(axis=0)).std() < 1.5
    np.testing.assert_allclose(
        found, expected[:50] * np.median(ratio), atol=1e-2 * np.abs(found).max()
    )


def test_centred_patterns_lack_the_mean_patch_and_raw_ones_are_as_they_are():
    values = random_patches(60, 3, 3, 2, offset=5)
    about = survey([values])
    np.testing.assert_array_equal(to_space(values[:7], about, "raw"), values[:7])
    expected = values[:7] - values.astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(
        to_space(values[:7], about, "centred"), expected, atol=1e-4
    )


def test_refuses_other_spaces():
    values = random_patches(60, 3, 3, 2)
    about = survey([values])
    with pytest.raises(InputError, match=r"`space` must be one of.*'whiten'"):
        coordinates([values], about, 27, "whiten")
    with pytest.raises(InputError, match=r"`space` must be one of.*'whiten'"):
        to_space(values, about, "whiten")


@pytest.mark.parametrize("space", spaces.SPACES)
@pytest.mark.parametrize("brightness", [0, 1])
def test_patterns_that_are_flat_without_the_mean_patch_are_refused(space, brightness):
    added = np.linspace(-brightness, brightness, 50, dtype=np.float32)
    values = random_patches(1, 3, 3, 3) + added[:, None, None, None]
    about = survey([values])
    assert np.isfinite(coordinates([values], about, 27, space)).all()
    if space == "raw":
        return
    with pytest.raises(InputError, match=f"{space} space.*patterns=4, flat=4"):
        to_space(values[:4], about, space)


@pytest.mark.parametrize("space", spaces.SPACES)
def test_spaces_do_not_depend_on_the_number_of_threads(monkeypatch, space):
    values = random_patches(600, 3, 3, 20)
    blocks = [values[:250], values[250:]]

    def everything():
        about = survey(blocks)
        points = coordinates(blocks, about, 40, space)
        return points, to_space(values[:70], about, space)

    results = []
    for threads in (1, 3, 8):
        monkeypatch.setattr(reduction._core, "hardware_threads", lambda n=threads: n)
        with threadpool_limits(threads):
            results.append(everything())
    for single, *several in zip(*results, strict=True):
        for each in several:
            np.testing.assert_array_equal(each, single)


@pytest.mark.parametrize("space", spaces.SPACES)
@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e19, 1e30])
def test_the_scale_changes_nothing_but_the_scale(space, scale):
    values = random_patches(300, 3, 3, 3, offset=5)

    def both(values):
        about = survey([values])
        filters = to_space(values[:7], about, space)
        return coordinates([values], about, 8, space), filters / np.abs(filters).max()

    expected, found = both(values), both(values * np.float32(scale))
    if space == "raw":
        expected = expected[0] * np.float32(scale), expected[1]
    for ours, theirs in zip(found, expected, strict=True):
        size = np.abs(theirs).max()
        np.testing.assert_allclose(ours, theirs, atol=2e-4 * size)
