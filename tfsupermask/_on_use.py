"""Imports on use, for what must start without TensorFlow: flags, checks, messages."""

from __future__ import annotations

import importlib
from typing import Any


class OnUse:
    """Stands for a module, which is imported when one of its names is used."""

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self._name), name)
