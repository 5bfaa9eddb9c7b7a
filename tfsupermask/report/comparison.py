"""How runs differ in their settings, and how far their masks agree."""

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
    """How far the masks of two runs (named by letters) agree: in all, and by name."""

    runs: tuple[str, str]
    whole: Agreement
    masks: dict[str, Agreement]

    @property
    def names(self) -> tuple[str, ...]:
        """The masks' names."""
        return tuple(self.masks)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Runs side by side."""

    letters: tuple[str, ...]  # A, B, C, ..., one for each run
    differing: dict[str, tuple[Any, ...]]  # by setting, the value in each run
    overlaps: tuple[Overlap, ...]  # one for each pair with the same architecture


def compare(runs: Sequence[Run]) -> Comparison:
    """Returns how one or more runs differ, and how far their masks agree."""
    named = dict(zip(_letters(len(runs)), runs, strict=True))
    overlaps = []
    for pair in itertools.combinations(named, 2):
        a, b = (named[letter].masks for letter in pair)
        if same_architecture(a, b):
            masks = {x.name: agreement((x,), (y,)) for x, y in zip(a, b, strict=True)}
            overlaps.append(Overlap(pair, agreement(a, b), masks))
    return Comparison(tuple(named), _differing(runs), tuple(overlaps))


def _letters(count):
    """Returns `count` short names: A, B, ..., Z, A2, B2, ..."""
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
