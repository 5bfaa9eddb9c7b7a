import fractions
import math

import numpy as np
import pytest

from tfsupermask import _validation
from tfsupermask._validation import InputError


def test_input_error_is_a_value_error():
    assert issubclass(InputError, ValueError)


@pytest.mark.parametrize(
    ("received", "message"),
    [
        ({}, "Expected this."),
        ({"k": 3}, "Expected this. Received: k=3"),
        ({"name": "a"}, "Expected this. Received: name='a'"),
        ({"k": 3, "size": 2}, "Expected this. Received: k=3, size=2"),
    ],
)
def test_fail_says_what_was_expected_and_received(received, message):
    error = _validation.fail("Expected this.", **received)
    assert isinstance(error, InputError)
    assert str(error) == message


@pytest.mark.parametrize(
    ("value", "minimum"), [(0, 0), (1, 1), (7, 1), (-2, -2), (np.int64(3), 0)]
)
def test_check_integer_returns_a_plain_int(value, minimum):
    checked = _validation.check_integer("n", value, minimum)
    assert checked == value
    assert type(checked) is int


@pytest.mark.parametrize(
    ("value", "minimum"),
    [
        (-1, 0),
        (0, 1),
        (1.0, 0),
        (True, 0),
        (np.True_, 0),
        ("1", 0),
        (None, 0),
        (np.array([1]), 0),
    ],
)
def test_check_integer_refuses_and_shows_the_value(value, minimum):
    with pytest.raises(InputError) as error:
        _validation.check_integer("n", value, minimum)
    assert str(error.value) == (
        f"`n` must be an integer of at least {minimum}. Received: n={value!r}"
    )


@pytest.mark.parametrize(
    ("value", "minimum", "above"),
    [
        (0, 0.0, False),
        (0.5, 0.5, False),
        (1e-300, 0.0, True),
        (np.float32(0.25), 0.0, True),
        (fractions.Fraction(1, 4), 0.0, False),
    ],
)
def test_check_number_returns_a_plain_float(value, minimum, above):
    checked = _validation.check_number("x", value, minimum, above=above)
    assert checked == value
    assert type(checked) is float


@pytest.mark.parametrize(
    ("value", "above", "bound"),
    [
        (-0.1, False, "at least 0.0"),
        (0.0, True, "greater than 0.0"),
        (math.nan, False, "at least 0.0"),
        (math.inf, True, "greater than 0.0"),
        (True, False, "at least 0.0"),
        ("1", False, "at least 0.0"),
        (None, False, "at least 0.0"),
        (1j, False, "at least 0.0"),
    ],
)
def test_check_number_refuses_and_shows_the_value(value, above, bound):
    with pytest.raises(InputError) as error:
        _validation.check_number("x", value, above=above)
    assert str(error.value) == (
        f"`x` must be a finite number {bound}. Received: x={value!r}"
    )


@pytest.mark.parametrize("value", [0, 0.0, 0.5, 0.999999, np.float32(0.75)])
def test_check_fraction_returns_a_plain_float(value):
    checked = _validation.check_fraction("sparsity", value)
    assert checked == value
    assert type(checked) is float


@pytest.mark.parametrize(
    "value", [-0.1, 1, 1.0, 1.5, math.nan, math.inf, False, "0.5", None]
)
def test_check_fraction_refuses_and_shows_the_value(value):
    with pytest.raises(InputError) as error:
        _validation.check_fraction("sparsity", value)
    assert str(error.value) == (
        f"`sparsity` must be a number in [0, 1). Received: sparsity={value!r}"
    )


def test_check_choice_returns_the_choice():
    assert _validation.check_choice("ranking", "score", ("magnitude", "score")) == (
        "score"
    )


def test_check_choice_accepts_an_iterator():
    with pytest.raises(InputError, match="one of 'a', 'b'"):
        _validation.check_choice("letter", "c", iter("ab"))


@pytest.mark.parametrize("value", ["Score", "", None, 3, ["score"]])
def test_check_choice_lists_the_choices(value):
    with pytest.raises(InputError) as error:
        _validation.check_choice("ranking", value, ("magnitude", "score"))
    assert str(error.value) == (
        f"`ranking` must be one of 'magnitude', 'score'. Received: ranking={value!r}"
    )
