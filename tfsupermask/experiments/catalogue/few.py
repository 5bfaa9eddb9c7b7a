"""What patterns add when there are few training images; docs/beyond.md has results."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

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
_ROWS_CLUSTERS = {
    row: _ROWS[row] for row in (CONTROL, WHITENED, f"{WHITENED}, any clusters")
} | {
    f"{WHITENED}, by a linear classifier": _WHITENED | _SHAPE | {"select": "linear"},
    f"{WHITENED}, the largest clusters": _WHITENED | _SHAPE | {"select": "size"},
    f"{WHITENED}, low entropy": _WHITENED | _SHAPE | {"discriminative_from": 1},
}
_ROWS_DEEPER = {
    row: _ROWS[row] for row in (CONTROL, WHITENED, PATCHES, "Kaiming normal", TRAINED)
} | {f"{WHITENED}, first layer alone": _WHITENED | _SHAPE | {"patch_layers": 1}}
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


def _columns(dataset: str, num_classes: int, *numbers: int) -> dict[str, Config]:
    """Returns a config for each number of images a class, by the column's name."""
    # Nothing is chosen by them: few images held out show that it trains.
    base = Config(dataset=dataset, validation_images=500)
    return {
        f"{number:,} a class": sized(base, number * num_classes) for number in numbers
    }


def _study(
    name: str,
    title: str,
    columns: Mapping[str, Config],
    rows: Mapping[str, Mapping],
    form: str = "images",
) -> Experiment:
    cells = [
        Cell(row, column, dataclasses.replace(config, **fields))
        for column, config in columns.items()
        for row, fields in rows.items()
    ]
    title = f"{TITLES[cells[0].config.dataset]}, top-1 test accuracy: {title}"
    return study(name, title, cells, form=form, note=_NOTE)


_CLUSTERS = "which clusters become filters of Conv2"
_NUMBER = "Conv2 against the number of training images"
_THOUSAND = _columns("cifar10", 10, 100)
_DEEPER = {
    TITLES[model]: dataclasses.replace(*_THOUSAND.values(), model=model)
    for model in ("conv4", "conv6", "resnet18")
}
FEW = (
    _study(
        "few_images",
        _NUMBER,
        _columns("cifar10", 10, 10, 25, 100, 250, 1000, 4000),
        _ROWS,
    ),
    _study(
        "few_images_cifar100", _NUMBER, _columns("cifar100", 100, 10, 25, 80), _ROWS
    ),
    _study(
        "few_images_tiny_imagenet",
        _NUMBER,
        _columns("tiny_imagenet", 200, 10, 25, 50),
        _ROWS,
    ),
    _study(
        "few_images_parts",
        "which part does it in Conv2, with 1,000 training images",
        _THOUSAND,
        _PARTS,
        form="table",
    ),
    _study(
        "few_images_clusters",
        _CLUSTERS,
        _columns("cifar10", 10, 10, 25, 100),
        _ROWS_CLUSTERS,
        form="table",
    ),
    _study(
        "few_images_clusters_cifar100",
        _CLUSTERS,
        _columns("cifar100", 100, 10, 25),
        _ROWS_CLUSTERS,
        form="table",
    ),
    _study(
        "few_images_deeper",
        "deeper networks, with 1,000 training images",
        _DEEPER,
        _ROWS_DEEPER,
        form="table",
    ),
)
