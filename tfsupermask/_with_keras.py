"""Tells Keras of this package's layers as soon as both are imported, in any order."""

from __future__ import annotations

import importlib
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
        # TensorFlow asks for Keras before it imports it.
        others = [finder for finder in sys.meta_path if finder is not self]
        found = (each.find_spec(name, path, target) for each in others)
        spec = next(filter(None, found), None)
        if spec is not None:
            execute = spec.loader.exec_module

            def execute_and_register(module):
                sys.meta_path.remove(self)
                execute(module)
                register()

            spec.loader.exec_module = execute_and_register
        return spec
