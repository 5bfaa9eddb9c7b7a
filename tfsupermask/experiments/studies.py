"""What has no number in the thesis: its investigations of §8.3, and a study of ours."""

from __future__ import annotations

import dataclasses

from tfsupermask.experiments import beyond
from tfsupermask.experiments.experiment import (
    RANDOM,
    Cell,
    Experiment,
    Value,
    rate_name,
)
from tfsupermask.experiments.thesis import PATCHES, SIMPLE, by_rate
from tfsupermask.runs import Config

_DEEP_CONFIG = Config(
    model="resnet18", dataset="tiny_imagenet", prune=0.3, init="patches"
)
# ResNet-18 has 17 convolutions that get patterns: 5 up to the end of the first block,
# then 4 a block.
_DEEP_ROWS = {
    RANDOM: {"init": "glorot_normal"},
    PATCHES: {},
    "64 dimensions": {"num_components": 64},
    "twice P and C from block 3": {"double_from": 10},
    "last block discriminative": {"discriminative_from": 14},
    "no layer discriminative": {"discriminative_from": 18},
    "patterns up to block 1": {"init": "partial_patches"},
    "patterns up to block 2": {"init": "partial_patches", "patch_blocks": 2},
    "patterns up to block 3": {"init": "partial_patches", "patch_blocks": 3},
}
_DEEP_PUBLISHED = {RANDOM: "54.1", PATCHES: "53.0", "patterns up to block 1": "55.1"}

DEEP = Experiment(
    kind="study",
    name="deep",
    title="ResNet-18 on Tiny-ImageNet: why PatchesInit fails when deep, "
    f"{rate_name(0.3)} removed",
    source="thesis §8.3",
    form="table",
    cells=tuple(
        Cell(
            row,
            "top-1 accuracy",
            dataclasses.replace(_DEEP_CONFIG, **fields),
            "test_top1",
            Value.parse(_DEEP_PUBLISHED[row]) if row in _DEEP_PUBLISHED else None,
        )
        for row, fields in _DEEP_ROWS.items()
    ),
    dataset="tiny_imagenet",
    note="The thesis names neither the pruning rate of these experiments nor the "
    "deeper layers that got twice the patches; 30 % is where its Table 5.2 is highest.",
)

INITS = Experiment(
    kind="study",
    name="inits",
    title="Conv2 on CIFAR-10, top-1 test accuracy of four initialisations",
    source="thesis Table 8.1; §5.7 and §5.6.1 for the last two, on CIFAR-100",
    form="rates",
    cells=by_rate(
        *("conv2", "cifar10", "test_top1"),
        {
            RANDOM: "48.1 64.4 67.3 61.2 37.7",
            PATCHES: "52.4 68.3 70.7 67.4 43.1",
            SIMPLE: None,
            "Kaiming normal": None,
        },
        panel="Conv2",
    ),
    dataset="cifar10",
)

STUDIES = (DEEP, INITS, *beyond.STUDIES)
