"""Tells Keras of this package's layers as soon as both are imported, in any order."""

from __future__ import annotations

import importlib.util
import sys


def register() -> None:
    """Registers the layers now if Keras is there, else as soon as it is imported.

    Keras loads a saved layer only if its class was registered before, and importing
    Keras here would import TensorFlow for those who need neither.
    """
    if "keras" in sys.modules:
        importlib.import_module("tfsupermask.layers.classes")
        importlib.import_module("tfsupermask.layers.initializers")
    else:
        sys.meta_path.insert(0, _Finder())


class _Finder:
    """Finds Keras as everybody does, and imports the layers behind it."""

    def find_spec(self, name, path=None, target=None):
        if name != "keras":
            return None
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(name)
        finally:  # TensorFlow asks where Keras is before it imports it
            sys.meta_path.insert(0, self)
        if spec is not None:
            execute = spec.loader.exec_module

            def execute_and_register(module):
                execute(module)
                sys.meta_path.remove(self)
                register()

            spec.loader.exec_module = execute_and_register
        return spec
