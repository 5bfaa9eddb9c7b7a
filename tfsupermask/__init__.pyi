from . import (
    conversion as conversion,
    data as data,
    experiments as experiments,
    export as export,
    init as init,
    layers as layers,
    models as models,
    ops as ops,
    patches as patches,
    report as report,
    runs as runs,
    sparsity as sparsity,
    tickets as tickets,
    train as train,
    zoo as zoo,
)
from ._validation import InputError as InputError
from ._version import __version__ as __version__
from .conversion import (
    convert as convert,
    fix_masks as fix_masks,
    fold as fold,
    summary as summary,
)
from .sparsity import (
    SparsityRamp as SparsityRamp,
    SparsitySchedule as SparsitySchedule,
    SupermaskMetrics as SupermaskMetrics,
)
from .tickets import load_ticket as load_ticket, save_ticket as save_ticket
