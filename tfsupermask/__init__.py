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

from tfsupermask import _with_keras
from tfsupermask._on_use import names_on_use

__all__, __getattr__, __dir__ = names_on_use(
    __name__,
    {
        "_validation": "InputError",
        "conversion": "convert fix_masks fold summary",
        "sparsity": "SparsityRamp SparsitySchedule SupermaskMetrics",
        "tickets": "load_ticket save_ticket",
    },
)

_with_keras.register()
