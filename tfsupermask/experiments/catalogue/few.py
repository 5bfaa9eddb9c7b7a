"""What patterns add when there are few training images; docs/beyond.md has results."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from tfsupermask.experiments.catalogue.experiment import Cell, Experiment, study
from tfsupermask.experiments.catalogue.thesis import PATCHES, TITLES
from tfsupermask.runs import ALL_IMAGES, Config

BATCH_SIZE, STEPS, EPOCHS = 50, 800, 40
_NOTE = (
    f"Every run has {STEPS} steps of {BATCH_SIZE} images, its whole schedule, and half "
    "of the weights removed where any are. By shape: --allocation=erdos_renyi."
)

CONTROL, WHITENED = "signed constant, unit power, by shape", "whitened, by shape"
TRAINED = "weights trained"
_SHAPE = {"allocation": "erdos_renyi"}
_CONTROL = {"init": "signed_constant", "rescale": "unit_power"}
_WHITENED = {"init": "whitened_patches"}
_ROWS = {
    CONTROL: _CONTROL | _SHAPE,
    WHITENED: _WHITENED | _SHAPE,
    f"{WHITENED}, from all images": (
        _WHITENED | _SHAPE | {"pattern_images": ALL_IMAGES}
    ),
    f"{WHITENED}, any clusters": _WHITENED | _SHAPE | {"select": "random"},
    PATCHES: {"init": "patches"},
    "Kaiming normal": {"init": "kaiming_normal"},
    TRAINED: {"method": "dense", "init": "glorot_normal"},
    f"{TRAINED}, from whitened": {"method": "dense", **_WHITENED},
}
_RAW, _CENTRED = (
    _CONTROL | {"init": "patches", "rest": "signed_constant", **space}
    for space in ({}, {"cluster_space": "centred", "filter_space": "centred"})
)
_WHOLE = {
    "equal in all layers": {},
    "first layer whole": {"whole_layers": "first"},
    "last layer whole": {"whole_layers": "last"},
    "first and last layer whole": {"whole_layers": "first,last"},
}
_PARTS = {
    CONTROL: _CONTROL | _SHAPE,
    WHITENED: _WHITENED | _SHAPE,
    f"{WHITENED}, first layer alone": _WHITENED | _SHAPE | {"patch_layers": 1},
    f"{WHITENED}, as it comes": _WHITENED | _SHAPE | {"rescale": "none"},
    "centred, unit power, by shape": _CENTRED | _SHAPE,
    "raw patches, unit power, by shape": _RAW | _SHAPE,
    **{f"whitened, {where}": _WHITENED | fields for where, fields in _WHOLE.items()},
    **{
        f"signed constant, unit power, {where}": _CONTROL | fields
        for where, fields in _WHOLE.items()
    },
}


def sized(config: Config, images: int) -> Config:
    """Returns a config that trains `STEPS` steps on a number of images."""
    epochs = min(EPOCHS, STEPS * BATCH_SIZE // images)
    return dataclasses.replace(
        config,
        limit_images=images,
        batch_size=BATCH_SIZE,
        epochs=epochs,
        passes_per_epoch=STEPS * BATCH_SIZE // (images * epochs),
    )


def _study(
    name: str,
    title: str,
    dataset: str,
    num_classes: int,
    images_a_class: Iterable[int],
    rows: Mapping[str, Mapping],
    form: str = "images",
) -> Experiment:
    # Nothing is chosen by them: few images held out show that it trains.
    base = Config(dataset=dataset, validation_images=500)
    cells = (
        Cell(
            row,
            f"{number:,} a class",
            sized(dataclasses.replace(base, **fields), number * num_classes),
        )
        for number in images_a_class
        for row, fields in rows.items()
    )
    title = f"Conv2 on {TITLES[dataset]}, top-1 test accuracy: {title}"
    return study(name, title, cells, form=form, note=_NOTE)


_NUMBER = "against the number of training images"
FEW = (
    _study("few_images", _NUMBER, "cifar10", 10, (10, 25, 100, 250, 1000, 4000), _ROWS),
    _study("few_images_cifar100", _NUMBER, "cifar100", 100, (10, 25, 80), _ROWS),
    _study(
        "few_images_tiny_imagenet",
        _NUMBER,
        "tiny_imagenet",
        200,
        (10, 25, 50),
        _ROWS,
    ),
    _study(
        "few_images_parts",
        "which part does it, with 1,000 training images",
        "cifar10",
        10,
        (100,),
        _PARTS,
        form="table",
    ),
)
