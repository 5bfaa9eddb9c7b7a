import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tfsupermask._validation import InputError
from tfsupermask.tickets.file import compress, decompress
from tfsupermask.tickets.weights import from_bytes, pack_mask, to_bytes, unpack_mask

SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=9)


@settings(deadline=None, max_examples=150, database=None)
@given(hnp.arrays(bool, SHAPES), st.floats(0, 1))
def test_any_mask_comes_back(mask, density):
    rng = np.random.default_rng(mask.size)
    mask = mask | (rng.random(mask.shape) < density)
    codec, stored = compress(pack_mask(mask))
    packed = math.ceil(mask.size / 8)
    assert len(stored) <= packed
    found = unpack_mask(decompress(stored, codec, packed), mask.size)
    np.testing.assert_array_equal(found.reshape(mask.shape), mask)


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        ([1], "80"),
        ([0, 0, 0, 0, 0, 0, 0, 1], "01"),
        ([1, 0, 0, 0, 0, 0, 0, 0, 1], "8080"),
        ([[1, 1], [0, 1]], "d0"),
    ],
)
def test_first_bit_is_the_highest(bits, expected):
    assert pack_mask(np.array(bits, np.float32)).hex() == expected


@pytest.mark.parametrize(
    ("kept", "most"), [(0.7, 1.012), (0.5, 1.001), (0.3, 1.012), (0.1, 1.025)]
)
def test_masks_come_near_to_their_information(kept, most):
    mask = np.zeros(400_000, bool)
    mask[random.Random(0).sample(range(mask.size), int(kept * mask.size))] = True
    entropy = -kept * math.log2(kept) - (1 - kept) * math.log2(1 - kept)
    _, stored = compress(pack_mask(mask))
    assert len(stored) <= most * entropy * mask.size / 8


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([1.0, -2.0], "<f4"), "0000803f000000c0"),
        (np.arange(6, dtype="u1").reshape(2, 3).T, "000301040205"),  # in flat order
        (np.array([[1], [256]], "int16"), "01000001"),
        (np.array([True, False]), "0100"),
        (np.array(3, "int64"), "0300000000000000"),
        (np.zeros((0, 4), "float32"), ""),
    ],
)
def test_numbers_are_little_endian(values, expected):
    data = to_bytes(values)
    assert data.hex() == expected
    found = from_bytes(data, values.dtype, values.shape)
    assert found.dtype == values.dtype
    np.testing.assert_array_equal(found, values)


def test_not_even_a_nan_changes():
    bits = np.array([0x7FC00001, 0xFF800000, 0x80000000, 1], np.uint32)
    values = bits.view(np.float32)
    found = from_bytes(to_bytes(values), values.dtype, (4,))
    np.testing.assert_array_equal(found.view(np.uint32), bits)


def test_a_bomb_makes_no_more_than_announced():
    codec, stored = compress(bytes(50_000_000))
    assert codec == "deflate"
    assert len(stored) < 100_000
    with pytest.raises(InputError, match=r"decode to 1000 bytes.*decoded=1001"):
        decompress(stored, codec, 1000)


def test_a_part_must_be_whole_and_as_long_as_announced():
    _, stored = compress(bytes(1000))
    for data, length in (
        (stored, 999),
        (stored, 1001),
        (stored[:-1], 1000),
        (stored + b"x", 1000),
        (b"\xff" * len(stored), 1000),
        (b"", 1000),
        (b"", 0),
    ):
        with pytest.raises(InputError, match="part must"):
            decompress(data, "deflate", length)
    assert decompress(b"abc", "raw", 3) == b"abc"
    with pytest.raises(InputError, match="decode to 4 bytes"):
        decompress(b"abc", "raw", 4)
