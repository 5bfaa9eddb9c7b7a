"""Imports on use, for what must start without TensorFlow: flags, checks, messages."""

from __future__ import annotations

import importlib
from typing import Any

import lazy_loader


class OnUse:
    """Stands for a module, which is imported when one of its names is used."""

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self._name), name)


def lazily(package: str, file: str, without: tuple[str, ...]):
    """Returns `__getattr__, __dir__, __all__` of a package that the layers import.

    Keras is imported before its modules, except those that need none: behind it come
    the layers, which would find a module that is still being imported half made.
    """
    load, names, public = lazy_loader.attach_stub(package, file)

    def getattr_(name):
        light = (importlib.import_module(f"{package}.{module}") for module in without)
        if name in public and not any(hasattr(module, name) for module in light):
            importlib.import_module("keras")
        return load(name)

    return getattr_, names, public
