"""Imports on use, for what must start without TensorFlow: flags, checks, messages."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


class OnUse:
    """Stands for a module, which is imported when one of its names is used."""

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self._name), name)


def names_on_use(
    package: str, homes: Mapping[str, str]
) -> tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]:
    """Returns `__all__`, `__getattr__` and `__dir__` of a package.

    `homes` has the names that each of its modules gives to the package, with spaces
    between them.
    """
    home_of = {name: home for home, names in homes.items() for name in names.split()}

    def get(name):
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{home_of[name]}"), name)

    def list_names():
        return sorted({*vars(sys.modules[package]), *home_of})

    return sorted(home_of), get, list_names
