import fractions
import functools
import math

import numpy as np
import pytest

from tfsupermask._validation import (
    InputError,
    check_choice,
    check_fraction,
    check_integer,
    check_number,
    fail,
    listed,
)

above = functools.partial(check_number, above=True)
rank = functools.partial(check_choice, choices=("magnitude", "score"))


def at_least(minimum):
    return functools.partial(check_integer, minimum=minimum)


@pytest.mark.parametrize(
    ("received", "message"),
    [
        ({}, "Expected this."),
        ({"k": 3}, "Expected this. Received: k=3"),
        ({"name": "a"}, "Expected this. Received: name='a'"),
        ({"k": 3, "size": 2}, "Expected this. Received: k=3, size=2"),
        ({"k": "x" * 400}, f"Expected this. Received: k='{'x' * 299}…"),
    ],
)
def test_fail_says_what_was_expected_and_received(received, message):
    error = fail("Expected this.", **received)
    assert isinstance(error, InputError)
    assert isinstance(error, ValueError)
    assert str(error) == message


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ([], ""),
        (["b", "a"], "a, b"),
        ("cab", "a, b, c"),
        ("cabed", "a, b, c and 2 more"),
    ],
)
def test_listed(texts, expected):
    assert listed(texts) == expected


@pytest.mark.parametrize(
    ("check", "value", "kind"),
    [
        (check_integer, 0, int),
        (at_least(1), 1, int),
        (at_least(1), 7, int),
        (at_least(-2), -2, int),
        (check_integer, np.int64(3), int),
        (check_number, 0, float),
        (functools.partial(check_number, minimum=0.5), 0.5, float),
        (check_number, fractions.Fraction(1, 4), float),
        (above, 1e-300, float),
        (above, np.float32(0.25), float),
        (check_fraction, 0, float),
        (check_fraction, 0.0, float),
        (check_fraction, 0.999999, float),
        (check_fraction, np.float32(0.75), float),
        (rank, "score", str),
    ],
)
def test_returns_a_plain_value(check, value, kind):
    checked = check("x", value)
    assert checked == value
    assert type(checked) is kind


@pytest.mark.parametrize(
    ("check", "values", "expected"),
    [
        (
            check_integer,
            [-1, 1.0, True, np.True_, "1", None, np.array([1])],
            "an integer of at least 0",
        ),
        (at_least(1), [0], "an integer of at least 1"),
        (
            check_number,
            [-0.1, math.nan, True, "1", None, 1j],
            "a finite number at least 0.0",
        ),
        (above, [0.0, math.inf], "a finite number greater than 0.0"),
        (
            check_fraction,
            [-0.1, 1, 1.0, 1.5, math.nan, math.inf, False, "0.5", None],
            "a number in [0, 1)",
        ),
        (rank, ["Score", "", None, 3, ["score"]], "one of 'magnitude', 'score'"),
        (functools.partial(check_choice, choices=iter("ab")), ["c"], "one of 'a', 'b'"),
    ],
)
def test_refuses_and_shows_the_value(check, values, expected):
    for value in values:
        with pytest.raises(InputError) as error:
            check("x", value)
        assert str(error.value) == f"`x` must be {expected}. Received: x={value!r}"


@pytest.mark.parametrize("digits", [400, 5000])
def test_refuses_integers_that_no_float_can_hold(digits):
    with pytest.raises(InputError, match=r"`x` must be a finite number.* x=<?[1i]"):
        check_number("x", 10**digits)
