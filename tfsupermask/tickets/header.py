"""What a ticket says of itself beside its parts."""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from tfsupermask._reading import check_names
from tfsupermask._validation import check_choice, check_number, fail
from tfsupermask.tickets.container import VERSION, from_json, to_json
from tfsupermask.tickets.tree import check_keys
from tfsupermask.tickets.weights import PRECISIONS

_TYPES = {
    **{"versions": dict, "precision": str, "num_parameters": int, "parts": list},
    **{"class_names": object, "mean": object, "std": object, "recipe": object},
}


def make_header(
    precision: str,
    class_names: Sequence[str] | None,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    recipe: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Returns what `save_ticket` was told as the beginning of a header.

    Raises:
        InputError: An argument is not as `save_ticket` documents it.
    """
    return {
        "versions": {
            "format": VERSION,
            "keras": keras.__version__,
            "tfsupermask": _package_version(),
        },
        "precision": check_choice("precision", precision, PRECISIONS),
        "class_names": _check_names(class_names),
        "mean": _check_numbers("mean", mean, minimum=-math.inf),
        "std": _check_numbers("std", std, minimum=0.0),
        "recipe": _check_recipe(recipe),
    }


def check_header(header: dict[str, Any]) -> None:
    """Raises unless a header from a file is like those that tickets have."""
    check_keys("The header", header, _TYPES)
    _check_names(header["class_names"])
    _check_list("mean", header["mean"], {int, float})
    _check_list("std", header["std"], {int, float})
    if not isinstance(header["recipe"], dict | None):
        raise fail("The recipe must be an object.", recipe=header["recipe"])
    check_choice("precision", header["precision"], PRECISIONS)


def _check_list(key, values, types):
    listed = isinstance(values, list) and {type(value) for value in values} <= types
    if values is not None and not listed:
        names = " or ".join(sorted(kind.__name__ for kind in types))
        raise fail(f"{key!r} must be a list of {names}.", received=values)


def _check_names(names):
    if names is None:
        return None
    if not isinstance(names, (list, tuple)):
        raise fail("'class_names' must be a list of texts.", class_names=names)
    return list(check_names("class_names", names))


def _check_numbers(what, values, minimum):
    if values is None:
        return None
    return [check_number(what, value, minimum, above=True) for value in values]


def _check_recipe(recipe):
    if recipe is None:
        return None
    try:
        return from_json(to_json(dict(recipe)))
    except (TypeError, ValueError, RecursionError) as error:
        raise fail(
            "`recipe` must be a dict of JSON values.", error=str(error)
        ) from error


def _package_version():
    try:
        return importlib.metadata.version("tfsupermask")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
