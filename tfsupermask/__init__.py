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

import lazy_loader

from tfsupermask import _with_keras

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

_with_keras.register()
