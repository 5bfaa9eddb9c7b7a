"""What supermasks are compared with: other methods, trained weights, tickets."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Mapping

from tfsupermask.experiments.catalogue.experiment import Cell, Value, rate_name, study
from tfsupermask.experiments.catalogue.thesis import TITLES
from tfsupermask.runs import DRAWN, GIVEN, Config

RATES = (0.5, 0.8, 0.9, 0.95)
_NEW_SEED = 1000  # of weights drawn anew, added to the run's seed

_CONSTANT = {"init": "signed_constant"}
_KAIMING = {"init": "kaiming_normal"}
_GLOROT = {"init": "glorot_normal"}  # Kaiming's is too large for SGD's first steps
EDGE_POPUP, DENSE = "edge-popup", "dense"
_METHODS = {
    EDGE_POPUP: _CONSTANT,
    "edge-popup, whitened patches, by shape": {
        "init": "whitened_patches",
        "allocation": "erdos_renyi",
    },
    "signed": {"method": "signed", **_CONSTANT},
    "stochastic": {"method": "stochastic", **_CONSTANT},
    "biprop": {"method": "biprop", **_KAIMING},
    "iterand": {"method": "iterand", **_CONSTANT},
    "magnitude": {"method": "magnitude", **_GLOROT},
    "magnitude, straight-through": {"method": "magnitude_straight_through", **_GLOROT},
}
# Weights trained inside the mask that edge-popup found.
_TRAINED = {
    "edge-popup, then trained": {"method": "fixed", "init": GIVEN},
    "edge-popup, drawn anew, then trained": {
        "method": "fixed",
        "weights_from": DRAWN,
        "seed": _NEW_SEED,
        **_CONSTANT,
    },
}
_DENSE = {
    DENSE: {"method": "dense", **_GLOROT},
    "dense, Adam": {"method": "dense", "optimizer": "adam", **_GLOROT},
}

# Gorbett and Whitley, 2023, by rate; 250 epochs, 100 where dense.
GORBETT = {
    "conv2": {
        EDGE_POPUP: "79.69 75.15 64.05",
        "biprop": "79.56 77.9 70.1 56.6",
        "iterand": "81.83 78.04 68.87",
        DENSE: "79.9",
    },
    "conv4": {
        EDGE_POPUP: "86.67 83.28 74.42 57.61",
        "biprop": "87.42 85.34 79 64.83",
        "iterand": "88.37 85.34 78.88",
        DENSE: "87",
    },
    "conv6": {
        EDGE_POPUP: "89.53 85.4 79.57 60.63",
        "biprop": "89.52 87.5 82.38 66.12",
        "iterand": "90.74 86.94 81.22",
        DENSE: "89",
    },
    "conv8": {
        EDGE_POPUP: "90.28 86.9 83.6",
        "biprop": "90.35 89.11 84.84 75.5",
        "iterand": "91.11 88.42 84.73",
        DENSE: "89.41",
    },
}


def _compared(
    model: str,
    rates: tuple[float, ...],
    published: Mapping[str, str],
    changes: Mapping[str, Mapping] | None = None,
) -> Iterator[Cell]:
    """Yields all methods on a network, with the fields of some of them changed."""
    config = Config(model=model, dataset="cifar10")
    masks = {}
    for row, fields in {**_METHODS, **_TRAINED, **_DENSE}.items():
        fields = {**fields, **(changes or {}).get(row, {})}
        values = published.get(row, "").split()
        if row in _DENSE:  # the same at every rate
            values *= len(rates)
        for rate, value in itertools.zip_longest(rates, values):
            if row in _METHODS:
                fields["prune"] = rate
            cell = Cell(
                row,
                rate_name(rate),
                dataclasses.replace(config, **fields),
                published=value and Value.parse(value),
                panel=TITLES[model],
                mask_of=masks[rate] if row in _TRAINED else None,
            )
            if row == EDGE_POPUP:
                masks[rate] = cell
            yield cell


_study = functools.partial(study, source="docs/field.md")

_BY_NETWORK = {
    model: _study(
        f"field_{model}",
        f"{TITLES[model]} on CIFAR-10, top-1 test accuracy of the field's methods",
        _compared(model, RATES, published),
        published_by="Gorbett and Whitley",
        note="The published values are after 250 epochs (dense: 100), and the best or "
        "the last of them: their source does not say.",
    )
    for model, published in GORBETT.items()
}
FIELD = dataclasses.replace(
    _BY_NETWORK["conv2"],
    name="field",
    title="Conv2, 4, 6 and 8 on CIFAR-10, top-1 test accuracy of the field's methods",
    cells=tuple(cell for each in _BY_NETWORK.values() for cell in each.cells),
)

METHODS = _study(
    "methods",
    "Conv2 on CIFAR-10, top-1 test accuracy of all methods",
    _compared("conv2", (0.5, 0.9), {}, {"iterand": {"redraw_steps": 40}}),
    note="Weights are drawn anew every 40 steps (iterand), for short schedules.",
)

_NUM_ROUNDS = 8


def _rounds() -> Iterator[Cell]:
    """Yields lottery tickets by rounds: train, remove a fifth, go back, train again."""
    dense = Config(
        model="conv2", dataset="cifar10", method="dense", init="glorot_normal"
    )
    fixed = dataclasses.replace(dense, method="fixed", init=GIVEN, prune_rest=0.2)
    drawn = dataclasses.replace(fixed, init="glorot_normal", weights_from=DRAWN)
    first_epoch = Cell("", "", dataclasses.replace(dense, stop_after_epoch=1))
    whole, *heads = (f"{100 * 0.8**n:.3g} % kept" for n in range(_NUM_ROUNDS + 1))
    anew = dataclasses.replace(drawn, prune_rest=0.0, seed=_NEW_SEED)
    yield Cell("drawn anew in the same masks", whole, dense)
    for row, config, weights_of in (
        ("rewound to the start", drawn, None),
        ("rewound to the first epoch", fixed, first_epoch),
        ("trained further", fixed, None),
    ):
        cell = Cell(row, whole, dense)
        yield cell
        for head in heads:
            cell = Cell(row, head, config, mask_of=cell, weights_of=weights_of)
            yield cell
            if config is drawn:
                yield Cell("drawn anew in the same masks", head, anew, mask_of=cell)


ROUNDS = _study(
    "rounds",
    "Conv2 on CIFAR-10, top-1 test accuracy of lottery tickets by rounds",
    _rounds(),
    note="After each round the smallest fifth of each layer's weights is removed.",
)

COMPARED = (METHODS, FIELD, *_BY_NETWORK.values(), ROUNDS)
