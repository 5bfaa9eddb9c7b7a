"""Argument checks: the one voice in which the package's errors speak.

Every message is a sentence that says what was expected, followed by
``Received: name=value``. They raise `InputError`, which programs print as one line
and which is an ordinary `ValueError` to everyone else.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable

_MAX_SHOWN = 300


class InputError(ValueError):
    """What the caller gave cannot be used; the message says why and with what value.

    Example:
        >>> issubclass(InputError, ValueError)
        True
    """


def fail(expected: str, **received: object) -> InputError:
    """Returns an `InputError`: the sentence `expected`, then the values received.

    Args:
        expected: A whole sentence, with the names of arguments in backticks.
        **received: The values by name, in the order in which to tell them.

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
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"


def check_integer(name: str, value: object, minimum: int = 0) -> int:
    """Returns `value` as an int, which must be at least `minimum`.

    Args:
        name: What the argument is called, for the message.
        value: What was given; NumPy's integers count, `bool` does not.
        minimum: The smallest that is allowed. Defaults to 0.

    Raises:
        InputError: It is no such integer.

    Example:
        >>> check_integer("num_patches", np.int64(500), minimum=1)
        500
    """
    integral = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not integral or value < minimum:
        raise fail(
            f"`{name}` must be an integer of at least {minimum}.", **{name: value}
        )
    return int(value)


def check_number(
    name: str, value: object, minimum: float = 0.0, *, above: bool = False
) -> float:
    """Returns `value` as a finite float ≥ `minimum` (> `minimum` when `above`).

    Args:
        name: What the argument is called, for the message.
        value: What was given; NumPy's numbers count, `bool` does not.
        minimum: The bound. Defaults to 0.
        above: Whether the bound itself is refused. Defaults to `False`.

    Raises:
        InputError: It is no such number.

    Example:
        >>> check_number("scale", 2, above=True)
        2.0
    """
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if (
        not real
        or not math.isfinite(value)
        or value < minimum
        or (above and value == minimum)
    ):
        bound = f"greater than {minimum}" if above else f"at least {minimum}"
        raise fail(f"`{name}` must be a finite number {bound}.", **{name: value})
    return float(value)


def check_fraction(name: str, value: object) -> float:
    """Returns `value` as a float in [0, 1), the range of every sparsity.

    Args:
        name: What the argument is called, for the message.
        value: What was given; NumPy's numbers count, `bool` does not.

    Raises:
        InputError: It is no such number.

    Example:
        >>> check_fraction("sparsity", 0)
        0.0
    """
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not real or not 0 <= value < 1:
        raise fail(f"`{name}` must be a number in [0, 1).", **{name: value})
    return float(value)


def check_choice(name: str, value: object, choices: Iterable[str]) -> str:
    """Returns `value`, which must be one of `choices`.

    Args:
        name: What the argument is called, for the message.
        value: What was given.
        choices: What is allowed.

    Raises:
        InputError: It is none of them.

    Example:
        >>> check_choice("ranking", "score", ("magnitude", "score"))
        'score'
    """
    choices = list(choices)
    if value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise fail(f"`{name}` must be one of {listed}.", **{name: value})
    return value
