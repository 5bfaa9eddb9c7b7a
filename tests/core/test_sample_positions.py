import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tfsupermask._core import sample_positions


def offsets_of(counts):
    return np.cumsum([0, *counts]).astype(np.int64)


@settings(max_examples=200, deadline=None)
@given(
    counts=st.lists(st.integers(0, 30), max_size=20),
    samples=st.integers(1, 40),
    seed=st.integers(0, 2**64 - 1),
)
def test_draws_the_number_asked_without_replacement(counts, samples, seed):
    offsets = offsets_of(counts)
    indices, image_index = sample_positions(offsets, samples, seed)
    assert (indices.dtype, image_index.dtype) == (np.int64, np.int64)
    assert len(np.unique(indices)) == len(indices)
    drawn = np.minimum(counts, samples).astype(int)
    np.testing.assert_array_equal(image_index, np.repeat(np.arange(len(counts)), drawn))
    assert (indices >= offsets[image_index]).all()
    assert (indices < offsets[image_index + 1]).all()


COUNTS = np.random.default_rng(0).integers(0, 200, 3000)


@pytest.mark.parametrize("num_threads", [0, 2, 3, 8])
def test_threads_do_not_change_the_draw(num_threads):
    offsets = offsets_of(COUNTS)
    single = sample_positions(offsets, 50, 7, num_threads=1)
    several = sample_positions(offsets, 50, 7, num_threads=num_threads)
    for expected, result in zip(single, several, strict=True):
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("chunk", [1, 7, 256, 1000])
def test_parts_draw_what_the_whole_draws(chunk):
    counts = COUNTS[:1000]
    whole = offsets_of(counts)
    indices, image_index = sample_positions(whole, 50, 7, first_image=11)
    parts = []
    for first in range(0, len(counts), chunk):
        part = offsets_of(counts[first : first + chunk])
        part_indices, part_images = sample_positions(
            part, 50, 7, first_image=11 + first
        )
        parts.append((part_indices + whole[first], part_images + first))
    part_indices, part_images = map(np.concatenate, zip(*parts, strict=True))
    np.testing.assert_array_equal(part_indices, indices)
    np.testing.assert_array_equal(part_images, image_index)


def test_seeds_and_images_draw_differently():
    offsets = offsets_of([1000])
    draws = {
        tuple(sample_positions(offsets, 10, seed, first_image=image)[0])
        for seed in (0, 1, 2, 2**63, 2**64 - 1)
        for image in (0, 1, 2, 2**63 - 1)
    }
    assert len(draws) == 20


def test_a_seed_draws_the_same_on_every_platform():
    indices, _ = sample_positions(offsets_of([100, 100]), 5, seed=20)
    expected = [68, 2, 55, 27, 94, 186, 136, 108, 156, 176]
    assert indices.tolist() == expected


@pytest.mark.parametrize("samples", [1, 2, 3])
def test_every_ordered_draw_is_as_likely(samples):
    num_images = 60_000
    indices, _ = sample_positions(offsets_of([5] * num_images), samples, seed=1)
    draws = indices.reshape(num_images, samples) % 5
    codes = draws @ 5 ** np.arange(samples)
    possible = [
        sum(value * 5**place for place, value in enumerate(draw))
        for draw in itertools.permutations(range(5), samples)
    ]
    observed = [np.count_nonzero(codes == code) for code in possible]
    assert sum(observed) == num_images
    assert stats.chisquare(observed).pvalue > 0.001


def test_each_of_many_positions_is_as_likely():
    indices, _ = sample_positions(offsets_of([900] * 4000), 50, seed=2)
    observed = np.bincount(indices % 900, minlength=900)
    # Without replacement the counts vary less than independent ones would.
    statistic = ((observed - observed.mean()) ** 2 / observed.mean()).sum()
    statistic /= 1 - 50 / 900
    assert 0.001 < stats.chi2.sf(statistic, 899) < 0.999


def test_seeds_give_independent_draws():
    table = np.zeros((6, 6), int)
    for seed in range(6000):
        first = sample_positions(offsets_of([6]), 1, seed)[0][0]
        second = sample_positions(offsets_of([6]), 1, seed + 1)[0][0]
        table[first, second] += 1
    assert stats.chi2_contingency(table).pvalue > 0.001
