"""All experiments as data: the thesis's, and our own."""

from __future__ import annotations

from tfsupermask._validation import fail
from tfsupermask.experiments.catalogue.experiment import Experiment
from tfsupermask.experiments.catalogue.few import FEW
from tfsupermask.experiments.catalogue.field import COMPARED
from tfsupermask.experiments.catalogue.ours import OURS
from tfsupermask.experiments.catalogue.thesis import DEEP, FIGURES, TABLES

EXPERIMENTS = (*TABLES, *FIGURES, DEEP, *OURS, *FEW, *COMPARED)


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
