"""Initialisations that fail leave a model as it was."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import keras


@contextlib.contextmanager
def all_or_nothing(variables: Iterable[keras.Variable]) -> Iterator[None]:
    """Gives the variables their values back if the body fails."""
    before = [(variable, variable.numpy()) for variable in variables]
    try:
        yield
    except BaseException:
        for variable, value in before:
            variable.assign(value)
        raise
