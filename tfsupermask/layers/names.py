"""Layers by patterns of their names, as in a shell: `*`, `?` and `[...]`."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence

from tfsupermask._validation import fail


def matches(names: Iterable[str], patterns: Sequence[str]) -> bool:
    """Returns whether one of a layer's names matches one of the patterns."""
    return any(
        fnmatch.fnmatchcase(name, pattern) for name in names for pattern in patterns
    )


def check_patterns(argument: str, patterns: Iterable[str], names: list[str]) -> None:
    """Raises unless each pattern matches one of the names of a model's layers."""
    for pattern in patterns:
        if not isinstance(pattern, str) or not matches(names, [pattern]):
            raise fail(
                f"Each pattern in `{argument}` must match the name of a layer.",
                pattern=pattern,
            )
