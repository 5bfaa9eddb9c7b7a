"""Checks of JSON that came from a file: bounded, finite, with the expected keys."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from tfsupermask._validation import fail

MAX_DEPTH = 64
_MAX_INTEGER = 2**63
_MAX_TEXT = 1 << 16


def check_tree(tree: Any) -> None:
    """Raises unless a JSON tree is at most `MAX_DEPTH` deep, of finite numbers.

    Integers must fit in 64 bits, and a text be at most 65,536 characters.

    Example:
        >>> check_tree({"units": [1, 2.5, None]})
    """
    level = [tree]
    for _ in range(MAX_DEPTH):
        for value in level:
            _check_value(value)
        level = [child for value in level for child in _children(value)]
        if not level:
            return
    raise fail(f"A ticket's JSON must be at most {MAX_DEPTH} levels deep.")


def check_keys(
    what: str,
    tree: Any,
    types: Mapping[str, type],
    optional: Iterable[str] | None = None,
) -> None:
    """Raises unless `tree` is a dict with the keys of `types` and values of its types.

    Args:
        what: What the tree is, the subject of the error's sentence.
        tree: Any JSON tree.
        types: The keys that it must have. `object` stands for any type.
        optional: The other keys that it may have; `None` (default) means any.

    Example:
        >>> check_keys("A point", {"x": 1, "y": 2}, {"x": int, "y": int}, optional=())
    """
    if not isinstance(tree, dict):
        raise fail(f"{what} must be an object.", type=type(tree).__name__)
    for key, kind in types.items():
        # In Python, but not in JSON, a boolean is an integer.
        wrong_bool = kind is int and isinstance(tree.get(key), bool)
        if key not in tree or not isinstance(tree[key], kind) or wrong_bool:
            raise fail(
                f"{what} must have {key!r} of type {kind.__name__}.",
                received=tree.get(key),
            )
    if optional is not None:
        unknown = sorted(set(tree) - set(types) - set(optional))
        if unknown:
            raise fail(f"{what} has keys that it must not have.", keys=unknown)


def _check_value(value):
    if isinstance(value, float) and not math.isfinite(value):
        raise fail("The numbers of a ticket's JSON must be finite.", number=value)
    if isinstance(value, int) and not -_MAX_INTEGER <= value < _MAX_INTEGER:
        raise fail(
            "The integers of a ticket's JSON must fit in 64 bits.",
            bits=value.bit_length(),
        )
    if isinstance(value, str) and len(value) > _MAX_TEXT:
        raise fail(
            f"A text of a ticket's JSON must be at most {_MAX_TEXT} characters.",
            characters=len(value),
        )


def _children(value):
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    return value if isinstance(value, list) else ()
