"""What runs differ in, and how far their masks agree."""

from __future__ import annotations

import dataclasses
import itertools
import string
from collections.abc import Sequence
from typing import Any

from tfsupermask.report.collect import Run
from tfsupermask.report.masks import Agreement, agreement, same_architecture


@dataclasses.dataclass(frozen=True)
class Overlap:
    """How far the masks of two runs, named by letters, agree: in all, and by name."""

    runs: tuple[str, str]
    whole: Agreement
    masks: dict[str, Agreement]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    Attributes:
        letters: A, B, C, ..., one a run.
        differing: The settings in which the runs differ: each one's value in each run.
        overlaps: One for each pair of runs with the same architecture.
    """

    letters: tuple[str, ...]
    differing: dict[str, tuple[Any, ...]]
    overlaps: tuple[Overlap, ...]


def compare(runs: Sequence[Run]) -> Comparison:
    """Returns what one or more runs differ in, and how far their masks agree.

    Example:
        >>> run = collect_run("runs/my_run")
        >>> comparison = compare([run, run])
        >>> comparison.differing, comparison.overlaps[0].whole
        ({}, Agreement(measured=1.0, chance=0.5))
    """
    named = dict(zip(_letters(len(runs)), runs, strict=True))
    overlaps = (
        _overlap((a, b), named[a].masks, named[b].masks)
        for a, b in itertools.combinations(named, 2)
        if same_architecture(named[a].masks, named[b].masks)
    )
    return Comparison(tuple(named), _differing(runs), tuple(overlaps))


def _letters(count):
    """Returns A, B, ..., Z, A2, B2, ...: a short name for each of `count` things."""
    rounds = (divmod(index, 26) for index in range(count))
    return [
        string.ascii_uppercase[i] + (str(turn + 1) if turn else "")
        for turn, i in rounds
    ]


def _differing(runs):
    settings = [
        {**run.config.identity(), "images": run.data_sha256[:8]} for run in runs
    ]
    values = {name: tuple(each[name] for each in settings) for name in settings[0]}
    return {name: each for name, each in values.items() if len(set(each)) > 1}


def _overlap(pair, a, b):
    masks = {
        one.name: agreement((one,), (other,)) for one, other in zip(a, b, strict=True)
    }
    return Overlap(pair, agreement(a, b), masks)
