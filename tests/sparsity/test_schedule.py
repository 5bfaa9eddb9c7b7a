import pytest

from tfsupermask._validation import InputError
from tfsupermask.sparsity import SparsityRamp


@pytest.mark.parametrize(
    ("epoch", "expected"),
    [(0, 0.1), (2, 0.1), (3, 0.8), (3.5, 0.8875), (4, 0.9), (9, 0.9)],
)
def test_cubic_between_both_ends(epoch, expected):
    ramp = SparsityRamp(final=0.9, initial=0.1, begin_epoch=2, end_epoch=4)
    assert ramp(epoch) == pytest.approx(expected, abs=1e-12)


def test_ends_are_exact():
    for final in (0.1, 0.3, 0.7, 0.95, 1 / 3):
        ramp = SparsityRamp(final=final, end_epoch=7)
        assert (ramp(0), ramp(7), ramp(100)) == (0.0, final, final)


def test_rises_and_flattens():
    ramp = SparsityRamp(final=0.9, end_epoch=10)
    steps = [ramp(e + 1) - ramp(e) for e in range(10)]
    assert min(steps) > 0
    assert steps == sorted(steps, reverse=True)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"final": 1.0, "end_epoch": 3}, r"final=1\.0"),
        ({"final": 0.9, "initial": -0.1, "end_epoch": 3}, r"initial=-0\.1"),
        ({"final": 0.9, "end_epoch": 0}, "begin_epoch=0, end_epoch=0"),
        ({"final": 0.9, "begin_epoch": 5, "end_epoch": 4}, "begin_epoch=5"),
        ({"final": 0.9, "begin_epoch": -1, "end_epoch": 4}, "begin_epoch=-1"),
        ({"final": 0.9, "end_epoch": float("inf")}, "end_epoch=inf"),
    ],
)
def test_refuses_wrong_values(fields, message):
    with pytest.raises(InputError, match=message):
        SparsityRamp(**fields)
