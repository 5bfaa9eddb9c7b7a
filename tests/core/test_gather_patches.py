import re
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsupermask._core import gather_patches


def make_maps(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    if dtype == np.uint8:
        return rng.integers(1, 256, shape, dtype)
    return rng.standard_normal(shape).astype(dtype)


def oracle(maps, image_index, rows, columns, size, dilation=(1, 1)):
    extent = [(n - 1) * d + 1 for n, d in zip(size, dilation, strict=True)]
    margins = [(0, 0), (extent[0],) * 2, (extent[1],) * 2, (0, 0)]
    padded = np.pad(maps, margins)
    patches = np.zeros((len(rows), *size, maps.shape[3]), maps.dtype)
    for p, (image, row, column) in enumerate(
        zip(image_index, rows, columns, strict=True)
    ):
        top, left = row + extent[0], column + extent[1]
        patches[p] = padded[
            image,
            top : top + extent[0] : dilation[0],
            left : left + extent[1] : dilation[1],
        ]
    return patches


def random_places(maps, num_patches, size, dilation=(1, 1), seed=0):
    rng = np.random.default_rng(seed)
    image_index = rng.integers(0, len(maps), num_patches)
    rows, columns = (
        rng.integers(-(n - 1) * d, limit, num_patches).astype(np.int32)
        for n, d, limit in zip(size, dilation, maps.shape[1:3], strict=True)
    )
    return image_index, rows, columns


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("channels", [1, 3, 7])
@pytest.mark.parametrize("dilation", [(1, 1), (2, 1), (1, 3), (2, 4)])
@pytest.mark.parametrize("size", [(1, 1), (3, 3), (2, 5), (9, 12)])
def test_agrees_with_padding_and_slicing(dtype, channels, dilation, size):
    maps = make_maps((4, 8, 9, channels), dtype)
    places = random_places(maps, 200, size, dilation)
    patches = gather_patches(
        maps, *places, *size, row_dilation=dilation[0], column_dilation=dilation[1]
    )
    assert patches.dtype == dtype
    np.testing.assert_array_equal(patches, oracle(maps, *places, size, dilation))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_agrees_with_the_oracle_at_any_size(data):
    pair = st.tuples(st.integers(1, 6), st.integers(1, 6))
    shape, size, dilation = data.draw(pair), data.draw(pair), data.draw(pair)
    maps = make_maps((2, *shape, data.draw(st.integers(1, 3))), np.float32)
    places = random_places(
        maps, data.draw(st.integers(0, 8)), size, dilation, data.draw(st.integers(0, 9))
    )
    # A column of an array of positions is not contiguous.
    image_index, *positions = places
    rows, columns = np.array(positions).T.copy().T
    patches = gather_patches(
        maps, image_index, rows, columns, *size,
        row_dilation=dilation[0], column_dilation=dilation[1],
    )  # fmt: skip
    np.testing.assert_array_equal(patches, oracle(maps, *places, size, dilation))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("dilation", [1, 2])
def test_rows_of_three_colour_pixels_inside_and_outside_the_map(dtype, dilation):
    """The sizes that have code of their own, at every position there is."""
    maps = make_maps((2, 6, 7, 3), dtype)
    reach = 2 * dilation
    rows, columns = np.mgrid[-reach:6, -reach:7].reshape(2, -1).astype(np.int32)
    places = np.arange(len(rows)) % 2, rows, columns
    patches = gather_patches(
        maps, *places, 3, 3, row_dilation=dilation, column_dilation=dilation
    )
    expected = oracle(maps, *places, (3, 3), (dilation, dilation))
    np.testing.assert_array_equal(patches, expected)


@pytest.mark.parametrize("channels", [3, 64])
def test_allocates_its_result_and_nothing_else(channels):
    maps = make_maps((10, 16, 16, channels), np.float32)
    places = random_places(maps, 3000, (3, 3))
    gather_patches(maps, *places, 3, 3)
    tracemalloc.start()
    try:
        patches = gather_patches(maps, *places, 3, 3)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert patches.nbytes == 3000 * 9 * channels * 4
    assert patches.nbytes <= held <= peak < patches.nbytes + 4096


def test_names_the_first_patch_out_of_range_whatever_the_threads():
    maps = np.zeros((2, 5, 5, 3), np.float32)
    rows = np.zeros(50_000, np.int32)
    rows[[20_001, 20_002, 49_999]] = 9
    nought = np.zeros(50_000, np.int64), np.zeros(50_000, np.int32)
    for num_threads in (1, 4):
        with pytest.raises(ValueError, match=re.escape("rows[20001]=9")):
            gather_patches(
                maps, nought[0], rows, nought[1], 3, 3, num_threads=num_threads
            )


@pytest.mark.parametrize("num_threads", [1, 2, 3, 8])
def test_threads_do_not_change_the_patches(num_threads):
    maps = make_maps((20, 16, 16, 3), np.float32)
    places = random_places(maps, 20_000, (5, 5))
    patches = gather_patches(maps, *places, 5, 5, num_threads=num_threads)
    np.testing.assert_array_equal(patches, oracle(maps, *places, (5, 5)))


@pytest.mark.parametrize("num_maps", [0, 2])
def test_no_patches_are_an_empty_array(num_maps):
    none = np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int32)
    patches = gather_patches(np.zeros((num_maps, 5, 5, 2), np.uint8), *none, 3, 4)
    assert patches.shape == (0, 3, 4, 2)
    assert patches.dtype == np.uint8


NOUGHT = np.zeros(2, np.int64), np.zeros(2, np.int32), np.zeros(2, np.int32)


def test_more_patches_than_memory_is_a_memory_error():
    with pytest.raises(MemoryError):
        gather_patches(np.zeros((2, 5, 6, 3), np.float32), *NOUGHT, 2**30, 2**25)


def test_coordinates_beyond_32_bits_do_not_wrap():
    huge = 2**31 - 1
    patches = gather_patches(
        np.ones((1, 1, 1, 1), np.uint8),
        NOUGHT[0],
        np.array([0, -huge], np.int32),
        NOUGHT[2],
        3,
        3,
        row_dilation=huge,
        column_dilation=huge,
    )
    assert patches.sum(axis=(1, 2, 3)).tolist() == [1, 1]
    assert patches[0, 0, 0, 0] == patches[1, 1, 0, 0] == 1
