"""Argument checks.

Every message is a sentence that says what was expected, then `Received: name=value`.
They raise `InputError`, which programs print as one line; it is a `ValueError`.
"""

from __future__ import annotations

import contextlib
import math
import numbers
import operator
from collections.abc import Collection, Iterable

_MAX_SHOWN = 300
_MAX_LISTED = 3


class InputError(ValueError):
    """What the caller gave cannot be used; the message says why and with what value."""


def fail(expected: str, **received: object) -> InputError:
    """Returns an `InputError`: the sentence `expected`, then the values received.

    Arguments have backticks in the sentence, and are given in the order to show.

    Example:
        >>> raise fail("`sparsity` must be a number in [0, 1).", sparsity=1.5)
        Traceback (most recent call last):
            ...
        tfsupermask._validation.InputError: `sparsity` must be a number in [0, 1).
        Received: sparsity=1.5
    """
    values = ", ".join(f"{name}={_shown(value)}" for name, value in received.items())
    return InputError(f"{expected} Received: {values}" if values else expected)


def _shown(value):
    try:
        text = repr(value)
    except ValueError as error:  # of an integer with thousands of digits
        text = f"<{type(value).__name__}: {error}>"
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"


def listed(texts: Collection[str]) -> str:
    """Returns the first three of some texts, and how many more there are."""
    more = len(texts) - _MAX_LISTED
    first = ", ".join(sorted(texts)[:_MAX_LISTED])
    return f"{first} and {more} more" if more > 0 else first


def check_integer(name: str, value: object, minimum: int = 0) -> int:
    """Returns an integer as an int: NumPy's count, `bool` does not."""
    integral = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not integral or value < minimum:
        raise fail(
            f"`{name}` must be an integer of at least {minimum}.", **{name: value}
        )
    return int(value)


def check_number(
    name: str, value: object, minimum: float = 0.0, *, above: bool = False
) -> float:
    """Returns a finite number ≥ `minimum` (> it if `above`) as a float."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    reaches = operator.gt if above else operator.ge
    with contextlib.suppress(OverflowError):  # of an integer beyond all floats
        if real and math.isfinite(value) and reaches(value, minimum):
            return float(value)
    bound = f"greater than {minimum}" if above else f"at least {minimum}"
    raise fail(f"`{name}` must be a finite number {bound}.", **{name: value})


def check_fraction(name: str, value: object) -> float:
    """Returns a number in [0, 1) as a float, the range of every sparsity."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not real or not 0 <= value < 1:
        raise fail(f"`{name}` must be a number in [0, 1).", **{name: value})
    return float(value)


def check_choice(name: str, value: object, choices: Iterable[str]) -> str:
    """Returns `value`, which must be one of `choices`."""
    choices = list(choices)
    if value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise fail(f"`{name}` must be one of {listed}.", **{name: value})
    return value
