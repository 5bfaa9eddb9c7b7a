"""The thesis's tables, figures and investigations, as data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from tfsupermask.experiments.catalogue.experiment import (
    RANDOM,
    Cell,
    Experiment,
    Value,
    rate_name,
    study,
)
from tfsupermask.runs import Config

RATES = (0.1, 0.3, 0.5, 0.7, 0.9)
PATCHES, PARTIAL, SIMPLE = "PatchesInit", "Partial-PatchesInit", "SimpleInit"
ROWS = {
    RANDOM: "glorot_normal",
    PATCHES: "patches",
    PARTIAL: "partial_patches",
    SIMPLE: "simple_patches",
    "Xavier uniform": "glorot_uniform",
    "Kaiming normal": "kaiming_normal",
    "Kaiming uniform": "kaiming_uniform",
}
TITLES = {
    "conv2": "Conv2",
    "conv4": "Conv4",
    "conv6": "Conv6",
    "conv8": "Conv8",
    "resnet18": "ResNet-18",
    "digits": "digits",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "tiny_imagenet": "Tiny-ImageNet",
    "test_top1": "top-1 test accuracy",
    "test_top5": "top-5 test accuracy",
}


def by_rate(
    config: Config,
    rates: Sequence[float],
    rows: Mapping[str, Mapping],
    measure: str = "test_top1",
    panel: str = "",
    published: Mapping[str, str] | None = None,
) -> tuple[Cell, ...]:
    """Returns a cell for each row (its fields of `Config` by name) and pruning rate."""
    cells = []
    for row, fields in rows.items():
        texts = (published or {}).get(row, "")
        values = map(Value.parse, texts.split()) if texts else [None] * len(rates)
        for rate, value in zip(rates, values, strict=True):
            run = dataclasses.replace(config, prune=rate, **fields)
            cells.append(Cell(row, rate_name(rate), run, measure, value, panel))
    return tuple(cells)


def inits(*names: str) -> dict[str, dict[str, str]]:
    """Returns the rows of `by_rate` that these initialisations are."""
    return {name: {"init": ROWS[name]} for name in names}


def _experiment(kind, name, title, cells, form="table", **more):
    source = f"thesis {kind.capitalize()} {name}"
    dataset = cells[0].config.dataset
    return Experiment(kind, name, title, source, form, cells, dataset, **more)


def _rate_table(name, model, dataset, measure, random, patches):
    title = f"{TITLES[model]} on {TITLES[dataset]}, {TITLES[measure]}"
    published = {RANDOM: random, PATCHES: patches}
    config = Config(model=model, dataset=dataset)
    cells = by_rate(config, RATES, inits(*published), measure, published=published)
    return _experiment("table", name, title, cells)


# By number, network, dataset and measure: Xavier normal, then PatchesInit.
_BY_RATE = {
    ("8.1", "conv2", "cifar10", "test_top1"): (
        "48.1 64.4 67.3 61.2 37.7",
        "52.4 68.3 70.7 67.4 43.1",
    ),
    ("8.2", "conv4", "cifar10", "test_top1"): (
        "50.6 72.7 77.0 71.0 30.0",
        "62.0 76.9 78.9 74.1 52.3",
    ),
    ("8.3", "conv6", "cifar10", "test_top1"): (
        "12.3 74.7 79.6 74.8 28.6",
        "60.1 80.9 81.0 76.1 40.0",
    ),
    ("8.4", "conv2", "cifar100", "test_top1"): (
        "15.3±0.7 25.5±0.5 28.3±0.5 23.8±0.4 6.3±0.6",
        "17.9±0.6 30.1±0.5 33.5±0.4 28.7±0.6 11.5±0.5",
    ),
    ("8.5", "conv2", "cifar100", "test_top5"): (
        "37.8±0.4 53.0±0.4 56.4±0.5 50.2±0.4 20.3±0.5",
        "42.2±0.7 59.0±0.6 63.3±0.4 57.4±0.6 28.6±0.5",
    ),
    ("8.6", "conv4", "cifar100", "test_top1"): (
        "16.3±0.3 31.0±0.4 36.7±0.4 30.1±0.5 4.9±0.5",
        "23.2±0.7 40.0±0.6 42.6±0.6 37.3±0.7 16.6±0.6",
    ),
    ("8.7", "conv4", "cifar100", "test_top5"): (
        "39.5±0.3 60.2±0.5 65.7±0.4 59.4±0.4 18.1±0.6",
        "50.1±0.6 69.4±0.6 72.5±0.5 66.9±0.5 39.8±0.4",
    ),
    ("8.8", "conv6", "cifar100", "test_top1"): (
        "1±0.5 34.4±0.6 40.9±0.5 37.7±0.6 5.4±0.7",
        "1.4±0.6 46.3±0.5 47.7±0.6 38.9±0.4 8.2±0.6",
    ),
    ("8.9", "conv6", "cifar100", "test_top5"): (
        "5.7±0.5 64.0±0.6 70.4±0.6 66.5±0.5 19.7±0.6",
        "5.9±0.5 74.8±0.7 76.3±0.6 68.3±0.4 23.5±0.8",
    ),
}
_RATE_TABLES = {key[0]: _rate_table(*key, *rows) for key, rows in _BY_RATE.items()}

_TABLE_5_2 = _experiment(
    "table",
    "5.2",
    "ResNet-18 on Tiny-ImageNet, top-1 test accuracy",
    by_rate(
        Config(model="resnet18", dataset="tiny_imagenet"),
        RATES[:4],
        inits(RANDOM, PATCHES, PARTIAL),
        published={
            RANDOM: "50.0 54.1 52.7 51.1",
            PATCHES: "47.6 53.0 52.5 48.9",
            PARTIAL: "50.5 55.1 54.0 51.9",
        },
    ),
)

# P, C of thesis §5.6.1; SimpleInit has as many clusters as a layer has filters.
_SIZES = {
    SIMPLE: {"init": "simple_patches", "num_patches": 10_000},
    "500": {"num_patches": 50_000, "num_clusters": 500},
    "1,000": {"num_patches": 100_000, "num_clusters": 1000},
    "2,000": {"num_patches": 200_000, "num_clusters": 2000},
    "5,000": {"num_patches": 500_000, "num_clusters": 5000},
    "10,000": {"num_patches": 1_000_000, "num_clusters": 10_000},
}


def _sizes_table(name, prune, accuracies, minutes):
    columns = (
        ("top-5 accuracy", "test_top5", accuracies.split()),
        ("minutes", "init_minutes", minutes.split()),
    )
    cells = tuple(
        Cell(
            f"P = {fields['num_patches']:,}, C = {row}",
            column,
            Config(model="conv6", dataset="cifar100", prune=prune, **fields),
            measure,
            Value.parse(texts[number]),
        )
        for number, (row, fields) in enumerate(_SIZES.items())
        for column, measure, texts in columns
    )
    title = (
        "Conv6 on CIFAR-100: accuracy and minutes of PatchesInit against the "
        f"numbers of patches and clusters, {rate_name(prune)} removed"
    )
    return _experiment("table", name, title, cells)


_ENTROPIES = {
    SIMPLE: "4.75 5.02 4.41 4.40 3.78 3.62",
    "500": "5.75 5.85 5.57 5.63 5.44 4.19",
    "1,000": "5.87 5.95 5.75 5.78 5.59 4.09",
    "2,000": "6.08 6.03 5.94 6.18 6.03 4.02",
    "5,000": "6.07 6.05 6.11 6.19 6.11 3.54",
    "10,000": "6.18 6.24 6.09 6.18 6.00 2.55",
}
_TABLE_5_4 = _experiment(
    "table",
    "5.4",
    "Conv6 on CIFAR-100: mean entropy in bits of the selected clusters",
    tuple(
        Cell(
            f"C = {row}",
            f"layer {layer}",
            Config(model="conv6", dataset="cifar100", prune=0.5, **_SIZES[row]),
            f"entropy_{layer}",
            Value.parse(text),
        )
        for row, texts in _ENTROPIES.items()
        for layer, text in enumerate(texts.split(), start=1)
    ),
)


def _selection_table(name, prune, accuracies):
    # The thesis's best comes first: the other rows are compared with it.
    order = (6, 7, 5, 4, 3, 2, 1)
    rows = dict(zip((7, 6, 5, 4, 3, 2, 1), accuracies.split(), strict=True))
    # D = 6 is the default: the same run as elsewhere.
    config = Config(model="conv6", dataset="cifar100", prune=prune)
    cells = tuple(
        Cell(
            f"{first - 1}C-{7 - first}D (D = {first if first < 7 else 'none'})",
            "top-5 accuracy",
            dataclasses.replace(
                config, discriminative_from=None if first == 6 else first
            ),
            "test_top5",
            Value.parse(rows[first]),
        )
        for first in order
    )
    title = (
        "Conv6 on CIFAR-100: accuracy against the layer D from which on clusters "
        f"of few classes are selected, {rate_name(prune)} removed"
    )
    return _experiment("table", name, title, cells)


TABLES = (
    _TABLE_5_2,
    _sizes_table(
        "5.3", 0.5, "74.7 76.3 75.5 74.4 73.7 71.8", "2.0 11.5 23.4 41.6 147.1 308.9"
    ),
    _TABLE_5_4,
    _selection_table("5.5", 0.5, "74.8 76.3 75.3 75.2 74.5 73.8 70.9"),
    *_RATE_TABLES.values(),
    _sizes_table(
        "8.10", 0.3, "74.2 74.8 74.4 74.5 73.8 73.1", "2.0 9.4 35.7 84.1 226.4 335.1"
    ),
    _sizes_table(
        "8.11", 0.7, "65.7 68.3 67.1 65.7 65.5 64.9", "2.0 12.2 23.9 44.7 104.7 219.6"
    ),
    _selection_table("8.12", 0.3, "73.4 74.8 74.3 74.0 73.1 72.0 70.2"),
    _selection_table("8.13", 0.7, "66.5 68.3 67.5 66.7 65.0 63.9 60.0"),
)


def _panels(*tables, others=()):
    """Returns the cells of tables, and of other initialisations, a panel a network."""
    panels = []
    for cells in (_RATE_TABLES[name].cells for name in tables):
        config, measure = cells[0].config, cells[0].measure
        cells += by_rate(config, RATES, inits(*others), measure)
        title = TITLES[config.model]
        panels += [dataclasses.replace(cell, panel=title) for cell in cells]
    return tuple(panels)


# Of thesis §5.7.
_OTHERS = ("Xavier uniform", "Kaiming normal", "Kaiming uniform")


def _curves_figure(name, table, rates, curves):
    columns = [rate_name(rate) for rate in rates]
    cells = tuple(
        dataclasses.replace(cell, panel=f"{column} removed")
        for column in columns
        for cell in _RATE_TABLES[table].cells
        if cell.column == column
    )
    config = cells[0].config
    title = (
        f"Training of {TITLES[config.model]} on {TITLES[config.dataset]}, "
        f"{' and '.join(columns)} removed"
    )
    note = (
        "The thesis prints the curves without numbers; its points here are the "
        f"last epoch's, from Table {table}."
    )
    return _experiment("figure", name, title, cells, "epochs", curves=curves, note=note)


FIGURES = (
    Experiment(
        kind="figure",
        name="4.2",
        title="Boxes that may hold an object, and patches sampled from them",
        source="thesis Figure 4.2",
        form="patches",
        cells=(),
        dataset="tiny_imagenet",
        note="The thesis shows one photograph of ImageNet.",
    ),
    _experiment(
        "figure",
        "5.2",
        "CIFAR-10, top-1 test accuracy against pruning rate",
        _panels("8.1", "8.2", "8.3"),
        "rates",
    ),
    _curves_figure("5.3", "8.3", (0.5,), ("test_top1", "train_loss")),
    _experiment(
        "figure",
        "5.4",
        "CIFAR-100, top-5 test accuracy against pruning rate",
        _panels("8.5", "8.7", "8.9"),
        "rates",
    ),
    _curves_figure("5.5", "8.9", (0.5,), ("test_top5", "train_loss")),
    _experiment(
        "figure",
        "5.6",
        "CIFAR-100, top-5 test accuracy of five initialisations",
        _panels("8.5", "8.7", "8.9", others=_OTHERS),
        "rates",
        note="The thesis prints no numbers of the last three initialisations.",
    ),
    _curves_figure("8.1", "8.3", (0.3, 0.7), ("test_top1",)),
    _curves_figure("8.2", "8.9", (0.3, 0.7), ("test_top5",)),
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
_DEEP_PUBLISHED = {
    RANDOM: Value(54.1),
    PATCHES: Value(53.0),
    "patterns up to block 1": Value(55.1),
}

DEEP = study(
    "deep",
    "ResNet-18 on Tiny-ImageNet: why PatchesInit fails when deep, "
    f"{rate_name(0.3)} removed",
    (
        Cell(
            row,
            "top-1 accuracy",
            Config(
                model="resnet18",
                dataset="tiny_imagenet",
                prune=0.3,
                **{"init": "patches"} | fields,
            ),
            "test_top1",
            _DEEP_PUBLISHED.get(row),
        )
        for row, fields in _DEEP_ROWS.items()
    ),
    source="thesis §8.3",
    both_readings=True,
    note="The thesis names neither the pruning rate of these experiments nor the "
    "deeper layers that got twice the patches; 30 % is where its Table 5.2 is highest.",
)
