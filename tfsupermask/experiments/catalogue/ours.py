"""Our own experiments; docs/beyond.md has the results of those beyond the thesis.

They choose between variants by training images that are held out. The test images are
used once, for the chosen variants.
"""

from __future__ import annotations

import dataclasses

from tfsupermask.experiments.catalogue.experiment import RANDOM, study
from tfsupermask.experiments.catalogue.thesis import (
    PATCHES,
    RATES,
    SIMPLE,
    by_rate,
    inits,
)
from tfsupermask.runs import Config

KAIMING, CONSTANT = "Kaiming normal", "signed constant"
BEST = "whitened, rest constant, unit power"

INITS = study(
    "inits",
    "Conv2 on CIFAR-10, top-1 test accuracy of four initialisations",
    by_rate(
        Config(model="conv2", dataset="cifar10"),
        RATES,
        inits(RANDOM, PATCHES, SIMPLE, KAIMING),
        panel="Conv2",
        published={
            RANDOM: "48.1 64.4 67.3 61.2 37.7",
            PATCHES: "52.4 68.3 70.7 67.4 43.1",
        },
    ),
    source="thesis Table 8.1; §5.7 and §5.6.1 for the last two, on CIFAR-100",
    form="rates",
    both_readings=True,
)

_UNIT = {"rescale": "unit_power"}
_RANDOM = {"init": "glorot_normal"}
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
    BEST: _WHITENED | _REST_CONSTANT | _UNIT,
}


_CONV2, _CONV4 = (
    Config(model=model, dataset="cifar10", validation_images=5000)
    for model in ("conv2", "conv4")
)

CHOICE = study(
    "choice",
    "Conv4 on CIFAR-10, accuracy on training images held out: which "
    "initialisation is best",
    by_rate(_CONV4, (0.5,), VARIANTS, "validation_top1"),
)

_REPORTED = {
    name: VARIANTS[name]
    for name in (BEST, KAIMING, CONSTANT, f"{CONSTANT}, unit power")
}

BEYOND = study(
    "beyond",
    "Conv2 and Conv4 on CIFAR-10, top-1 test accuracy: patterns against Kaiming "
    "normal and the signed constant",
    (
        *by_rate(_CONV2, (0.3, 0.5, 0.7), _REPORTED, panel="Conv2"),
        *by_rate(_CONV4, (0.3, 0.5, 0.7), _REPORTED, panel="Conv4"),
    ),
    form="rates",
)

STOCHASTIC = study(
    "stochastic",
    "Conv2 on CIFAR-10, stochastic masks: random weights against patterns",
    by_rate(
        dataclasses.replace(_CONV2, method="stochastic"),
        (0.5,),
        {
            RANDOM: _RANDOM,
            PATCHES: _PATCHES,
            f"{RANDOM}, unit power": _RANDOM | _UNIT,
            f"{PATCHES}, unit power": _PATCHES | _UNIT,
            f"{CONSTANT}, unit power": _CONSTANT | _UNIT,
            BEST: VARIANTS[BEST],
        },
    ),
    source="thesis §7, docs/beyond.md",
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


DEPTH = study(
    "depth",
    "ResNet-18 on CIFAR-10, top-1 test accuracy: patterns in how many layers",
    by_rate(
        # Nothing is chosen here: few images held out are enough to see it train.
        Config(
            model="resnet18", dataset="cifar10", validation_images=500, batch_size=64
        ),
        (0.3,),
        {RANDOM: _RANDOM}
        | _by_depth(PATCHES, _PATCHES)
        | {f"{CONSTANT}, unit power": _CONSTANT | _UNIT}
        | _by_depth("whitened", _WHITENED | _REST_CONSTANT | _UNIT),
    ),
    source="thesis §5.5 and §7, docs/beyond.md",
    note="30 % is where the thesis's Table 5.2 for ResNet-18 is highest.",
)

_SELECTIONS = {
    "": {},
    ", the largest clusters": {"select": "size"},
    ", any clusters": {"select": "random"},
}

CLUSTERS = study(
    "clusters",
    "Conv2 on CIFAR-10, accuracy on training images held out: which clusters become "
    "filters",
    by_rate(
        _CONV2,
        (0.5,),
        {
            f"{name}{which}": fields | selection
            for name, fields in ((PATCHES, _PATCHES), (BEST, VARIANTS[BEST]))
            for which, selection in _SELECTIONS.items()
        },
        "validation_top1",
    ),
)

_SHAPE = {"allocation": "erdos_renyi"}
_CONTROL = _CONSTANT | _UNIT
_FIRST = {"init": "whitened_patches", "patch_layers": 1}
_OTHERWISE = {
    "ranked by score": {"method": "edge_popup_by_score"},
    "iterand": {"method": "iterand", "redraw_steps": 40},
    "signed": {"method": "signed"},
    "biprop": {"method": "biprop"},
    "learning rate 0.3": {"learning_rate": 0.3},
    "learning rate 0.05": {"learning_rate": 0.05},
    "no weight decay": {"weight_decay": 0.0},
    "Adam": {"optimizer": "adam"},
}

HIGH_SPARSITY = study(
    "high_sparsity",
    "Conv2 on CIFAR-10, nine tenths removed, accuracy on training images held out: "
    "which weights, method and shares",
    by_rate(
        _CONV2,
        (0.9,),
        {
            f"{CONSTANT}, unit power": _CONTROL | _SHAPE,
            f"{CONSTANT}, unit power, ranked by score": (
                _CONTROL | _SHAPE | _OTHERWISE["ranked by score"]
            ),
            BEST: {"init": "whitened_patches"} | _SHAPE,
            "whitened in the first layer": _FIRST | _SHAPE,
            "the same, first and last layer whole": (
                _FIRST | {"whole_layers": "first,last"}
            ),
            **{
                f"the same, {name}": _FIRST | _SHAPE | fields
                for name, fields in _OTHERWISE.items()
            },
        },
        "validation_top1",
    ),
    note="Shared out by shape, except in the fifth row.",
)

_WHOLE = {"whole_layers": "first"}

MANY_IMAGES = study(
    "many_images",
    "Conv2 on CIFAR-10, accuracy on training images held out: which patterns last",
    by_rate(
        _CONV2,
        (0.5,),
        {
            f"{CONSTANT}, unit power": _CONTROL,
            f"{CONSTANT}, unit power, by shape": _CONTROL | _SHAPE,
            f"{CONSTANT}, unit power, first layer whole": _CONTROL | _WHOLE,
            "whitened, by shape": {"init": "whitened_patches"} | _SHAPE,
            "whitened in the first layer, by shape": _FIRST | _SHAPE,
            "whitened in the first layer, which is whole": _FIRST | _WHOLE,
            "the same, any clusters": _FIRST | _WHOLE | {"select": "random"},
            "the same, a cluster a filter": _FIRST | _WHOLE | {"num_clusters": 64},
            "the same, 400,000 patches in 2,000 clusters": (
                _FIRST | _WHOLE | {"num_patches": 400_000, "num_clusters": 2_000}
            ),
        },
        "validation_top1",
    ),
    note="By shape: --allocation=erdos_renyi. Meant for --epochs=20.",
)

OURS = (
    INITS,
    CHOICE,
    BEYOND,
    STOCHASTIC,
    DEPTH,
    CLUSTERS,
    HIGH_SPARSITY,
    MANY_IMAGES,
)
