"""Supermasks for Keras 3: subnetworks of networks whose weights are never trained.

    import tfsupermask

    model = tfsupermask.convert(model, sparsity=0.5)   # any Keras model
    model.compile(...), model.fit(...)                 # trains its masks
    tfsupermask.save_ticket(model, "model.ticket")     # small, self-describing
    tfsupermask.fold(model).save("model.keras")        # plain Keras

The parts, ground up: `ops`, `layers`, `models`, `patches`, `init`, `sparsity`,
`conversion`, `tickets`, `export`, `data`, `runs`, `train`, `report`, `experiments`, and
`zoo`, trained tickets by name.
"""

import importlib

from tfsupermask import _with_keras

# What the names above are made of; imported on use, as `patches` needs no TensorFlow.
_HOMES = {
    "convert": "conversion",
    "fix_masks": "conversion",
    "fold": "conversion",
    "summary": "conversion",
    "load_ticket": "tickets",
    "save_ticket": "tickets",
    "InputError": "_validation",
    "SparsityRamp": "sparsity",
    "SparsitySchedule": "sparsity",
    "SupermaskMetrics": "sparsity",
}
__all__ = sorted(_HOMES)


_with_keras.register()


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__():
    return [*globals(), *_HOMES]
