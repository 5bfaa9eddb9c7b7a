"""Variables that are borrowed, and get their values back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import keras


@contextlib.contextmanager
def restored(
    variables: Iterable[keras.Variable], unless_done: bool = False
) -> Iterator[None]:
    """Gives the variables their values back after the body.

    Args:
        variables: Those that the body may change.
        unless_done: Whether only a body that fails is undone. Defaults to `False`.
    """
    # Not `value`, which in a layer's call may be masked or of half precision.
    before = [(variable, variable._value.numpy()) for variable in variables]
    done = False
    try:
        yield
        done = unless_done
    finally:
        for variable, value in () if done else before:
            variable._direct_assign(value)
