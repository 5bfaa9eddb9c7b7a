import itertools

import numpy as np
import pytest

from tfsupermask.ops import derive_seed


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((0,), 1200591173),
        ((0, "kernel", 0), 1598553713),
        ((0, "kernel", 1), 966248577),
        ((0, "score", 0), 1129965613),
        ((1, "kernel", 0), 1266677296),
        ((2**40, "x"), 527086823),
    ],
)
def test_value_never_changes(arguments, expected):
    assert derive_seed(*arguments) == expected


def test_seeds_and_purposes_give_distinct_seeds():
    purposes = [(), *itertools.product(["kernel", "score", "pca", "1"], range(20))]
    purposes += [(1,), ("1",), ("a", "b"), ("ab",), ("a, 'b'",), (1, 2), (12,)]
    derived = [derive_seed(s, *purpose) for s in range(20) for purpose in purposes]
    assert len(set(derived)) == len(derived)


def test_numpy_integers_and_strings_count_as_plain_ones():
    expected = derive_seed(3, "kernel", 5)
    assert derive_seed(np.int64(3), np.str_("kernel"), np.uint8(5)) == expected


@pytest.mark.parametrize("arguments", [(0.5,), (0, 1.0), (0, None), ("0",)])
def test_refuses_what_is_neither_string_nor_integer(arguments):
    with pytest.raises(TypeError):
        derive_seed(*arguments)
