"""All experiments by name: the thesis's, and studies of our own."""

from __future__ import annotations

from tfsupermask._validation import fail
from tfsupermask.experiments.experiment import RANDOM, Experiment
from tfsupermask.experiments.thesis import (
    DEEP,
    FIGURES,
    PATCHES,
    SIMPLE,
    TABLES,
    by_rate,
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

STUDIES = (DEEP, INITS)
EXPERIMENTS = (*TABLES, *FIGURES, *STUDIES)


def find(kind: str, name: str) -> Experiment:
    """Returns an experiment by kind and name.

    Args:
        kind: "table", "figure" or "study".
        name: Its number, or a study's name.

    Raises:
        InputError: There is none; the message lists those that are.

    Example:
        >>> find("table", "5.5").form
        'table'
    """
    of_kind = {each.name: each for each in EXPERIMENTS if each.kind == kind}
    if name not in of_kind:
        raise fail(f"`{kind}` must be one of {', '.join(of_kind)}.", **{kind: name})
    return of_kind[name]
