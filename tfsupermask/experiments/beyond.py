"""Studies of what goes beyond the thesis; docs/beyond.md tells how they came out.

They hold training images out: variants are chosen by those, and the test images are
looked at once, for what was chosen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from tfsupermask.experiments.experiment import RANDOM, Cell, Experiment, rate_name
from tfsupermask.experiments.thesis import PATCHES
from tfsupermask.runs import Config

KAIMING, CONSTANT = "Kaiming normal", "signed constant"
BEST = "whitened, rest constant, unit power"

_UNIT = {"rescale": "unit_power"}
_KAIMING = {"init": "kaiming_normal"}
_CONSTANT = {"init": "signed_constant"}
_PATCHES = {"init": "patches"}
_CENTRED, _WHITENED = (
    {"init": "patches", "cluster_space": space, "filter_space": space}
    for space in ("centred", "whitened")
)
_REST_KAIMING, _REST_CONSTANT = (
    {"rest": rest} for rest in ("kaiming_normal", "signed_constant")
)
VARIANTS = {
    KAIMING: _KAIMING,
    f"{KAIMING}, unit power": _KAIMING | _UNIT,
    CONSTANT: _CONSTANT,
    f"{CONSTANT}, unit power": _CONSTANT | _UNIT,
    PATCHES: _PATCHES,
    f"{PATCHES}, unit power": _PATCHES | _UNIT,
    f"{PATCHES} in the first layer, rest constant, unit power": (
        _PATCHES | {"patch_layers": 1} | _REST_CONSTANT | _UNIT
    ),
    "whitened in the first layer, rest constant, unit power": (
        _WHITENED
        | {"init": "whitened_patches", "patch_layers": 1}
        | _REST_CONSTANT
        | _UNIT
    ),
    "whitened signs, rest constant, unit power": (
        _WHITENED | {"signs_only": True} | _REST_CONSTANT | _UNIT
    ),
    "centred, rest constant, unit power": _CENTRED | _REST_CONSTANT | _UNIT,
    "whitened, rest Kaiming": _WHITENED | _REST_KAIMING,
    "whitened, rest Kaiming, unit power": _WHITENED | _REST_KAIMING | _UNIT,
    "whitened, rest constant, unit power": _WHITENED | _REST_CONSTANT | _UNIT,
}


def _cells(
    config: Config,
    rates: Iterable[float],
    rows: Mapping[str, Mapping],
    measure: str = "test_top1",
    panel: str = "",
) -> tuple[Cell, ...]:
    """Returns a cell for each row, which are fields by name, and pruning rate."""
    return tuple(
        Cell(
            name,
            rate_name(rate),
            dataclasses.replace(config, prune=rate, **fields),
            measure,
            panel=panel,
        )
        for name, fields in rows.items()
        for rate in rates
    )


_CONV2, _CONV4 = (
    Config(model=model, dataset="cifar10", validation_images=5000)
    for model in ("conv2", "conv4")
)

CHOICE = Experiment(
    kind="study",
    name="choice",
    title="Conv4 on CIFAR-10, accuracy on training images held out: which "
    "initialisation is best",
    source="docs/beyond.md",
    form="table",
    cells=_cells(_CONV4, (0.5,), VARIANTS, "validation_top1"),
    dataset="cifar10",
    both_readings=False,
)

_REPORTED = {
    name: VARIANTS[name]
    for name in (BEST, KAIMING, CONSTANT, f"{CONSTANT}, unit power")
}

BEYOND = Experiment(
    kind="study",
    name="beyond",
    title="Conv2 and Conv4 on CIFAR-10, top-1 test accuracy: patterns against Kaiming "
    "normal and the signed constant",
    source="docs/beyond.md",
    form="rates",
    cells=(
        *_cells(_CONV2, (0.3, 0.5, 0.7), _REPORTED, panel="Conv2"),
        *_cells(_CONV4, (0.3, 0.5, 0.7), _REPORTED, panel="Conv4"),
    ),
    dataset="cifar10",
    both_readings=False,
)

STOCHASTIC = Experiment(
    kind="study",
    name="stochastic",
    title="Conv2 on CIFAR-10, stochastic masks: random weights against patterns",
    source="thesis §7, docs/beyond.md",
    form="table",
    cells=_cells(
        dataclasses.replace(_CONV2, method="stochastic"),
        (0.5,),
        {
            RANDOM: {"init": "glorot_normal"},
            PATCHES: _PATCHES,
            f"{RANDOM}, unit power": {"init": "glorot_normal"} | _UNIT,
            f"{PATCHES}, unit power": _PATCHES | _UNIT,
            f"{CONSTANT}, unit power": _CONSTANT | _UNIT,
            BEST: VARIANTS[BEST],
        },
    ),
    dataset="cifar10",
    both_readings=False,
    note="The rate is that of the start: stochastic masks learn their sparsity.",
)

# Of ResNet-18's 17 convolutions that get patterns, the first block ends with the fifth.
_DEPTHS = {"all layers": 17, "first block": 5, "first layer": 1}
_FEW = {"num_patches": 20_000}  # on a processor 100,000 take longer than the training


def _by_depth(name, fields):
    return {
        f"{name}, {where}": fields | _FEW | {"patch_layers": count}
        for where, count in _DEPTHS.items()
    }


DEPTH = Experiment(
    kind="study",
    name="depth",
    title="ResNet-18 on CIFAR-10, top-1 test accuracy: patterns in how many layers",
    source="thesis §5.5 and §7, docs/beyond.md",
    form="table",
    cells=_cells(
        # Nothing is chosen here: few images held out are enough to see it train.
        Config(
            model="resnet18", dataset="cifar10", validation_images=500, batch_size=64
        ),
        (0.3,),
        {RANDOM: {"init": "glorot_normal"}}
        | _by_depth(PATCHES, _PATCHES)
        | {f"{CONSTANT}, unit power": _CONSTANT | _UNIT}
        | _by_depth("whitened", _WHITENED | _REST_CONSTANT | _UNIT),
    ),
    dataset="cifar10",
    both_readings=False,
    note="30 % is where the thesis's Table 5.2 for ResNet-18 is highest.",
)

_OTHER_CHOICES = {
    "the largest clusters": {"select": "size"},
    "any clusters": {"select": "random"},
    "in half of the filters": {"pattern_fraction": 0.5},
}

OPTIONS = Experiment(
    kind="study",
    name="options",
    title="Conv2 on CIFAR-10, accuracy on training images held out: one choice of "
    "PatchesInit at a time",
    source="docs/beyond.md",
    form="table",
    cells=_cells(
        _CONV2,
        (0.5,),
        {PATCHES: _PATCHES}
        | {f"{PATCHES}, {name}": _PATCHES | f for name, f in _OTHER_CHOICES.items()}
        | {
            f"{PATCHES}, Kaiming's scale": _PATCHES | {"pattern_scale": "kaiming"},
            f"{PATCHES}, corrected fan": _PATCHES | {"fan_correction": True},
            BEST: VARIANTS[BEST],
        }
        | {
            f"{BEST}, {name}": VARIANTS[BEST] | fields
            for name, fields in _OTHER_CHOICES.items()
        },
        "validation_top1",
    ),
    dataset="cifar10",
    both_readings=False,
)

STUDIES = (CHOICE, BEYOND, STOCHASTIC, DEPTH, OPTIONS)
