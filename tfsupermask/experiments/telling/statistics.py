"""Means, deviations and differences of numbers over seeds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

import numpy as np
from scipy import stats

from tfsupermask.experiments.catalogue.experiment import Value

# At 0.95 a difference would be shown without any in up to 12 of 100 draws of a few
# exponential or bounded numbers, at 0.99 in at most 5, but in most where one row's runs
# rarely fail: tests/experiments/test_statistics.py.
CONFIDENCE = 0.99


@dataclasses.dataclass(frozen=True)
class Sample:
    """A number by seed, without the seeds that have no run yet."""

    values: dict[int, float]

    @property
    def n(self) -> int:
        """Number of seeds."""
        return len(self.values)

    @property
    def mean(self) -> float | None:
        """Mean over the seeds, `None` if there are none."""
        return float(np.mean(list(self.values.values()))) if self.values else None

    @property
    def deviation(self) -> float | None:
        """Standard deviation (with n - 1), `None` for fewer than two seeds."""
        if self.n < 2:
            return None
        return float(np.std(list(self.values.values()), ddof=1))


def difference(ours: Sample, published: Value | None) -> float | None:
    """Returns our mean minus the published one, `None` if one of them is missing."""
    if published is None or ours.mean is None:
        return None
    return ours.mean - published.mean


def exceeds_both_spreads(ours: Sample, published: Value | None) -> bool:
    """Returns whether ours and theirs differ by more than each standard deviation.

    A published value without a deviation counts as one with 0.
    """
    distance = difference(ours, published)
    if distance is None or ours.deviation is None:
        return False
    return abs(distance) > max(ours.deviation, published.deviation or 0.0)


@dataclasses.dataclass(frozen=True)
class Paired:
    """By how much one row exceeds another, in runs with the same seeds."""

    by_seed: tuple[float, ...]  # the mean over the columns for each seed
    columns: int

    @property
    def difference(self) -> float:
        """Mean over the seeds."""
        return float(np.mean(self.by_seed))

    @property
    def interval(self) -> tuple[float, float] | None:
        """Interval of `CONFIDENCE`, `None` if the seeds show no spread."""
        low, high = map(float, t_interval(np.array(self.by_seed)))
        return None if math.isnan(low) else (low, high)

    @property
    def shown(self) -> bool:
        """Whether 0 is outside the interval."""
        interval = self.interval
        return interval is not None and (interval[0] > 0 or interval[1] < 0)

    @property
    def unanimous(self) -> bool:
        """Whether the difference has the same sign with every seed."""
        return min(self.by_seed) > 0 or max(self.by_seed) < 0


def t_interval(differences: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the paired t interval along the last axis, NaN without any spread."""
    n, mean = differences.shape[-1], differences.mean(axis=-1)
    if n < 2:
        return np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    deviation = differences.std(axis=-1, ddof=1)
    rounding = 1e-9 * np.abs(differences).max(axis=-1)
    deviation = np.where(deviation > rounding, deviation, np.nan)
    half = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * deviation / np.sqrt(n)
    return mean - half, mean + half


def compare(columns: Iterable[tuple[Sample, Sample]]) -> Paired | None:
    """Returns by how much the first of two samples exceeds the second, seed by seed.

    Runs of one seed have weights and order of images in common in all columns, so that
    its columns count once, with their mean. Columns that lack one of the seeds are left
    out: seeds and columns are those with the most pairs, of several seeds if possible.
    Returns `None` if no column has a pair.
    """
    differences = [_paired_differences(*pair) for pair in columns]
    common: dict[frozenset[int], None] = {}  # seeds of some columns, in order
    for each in map(frozenset, differences):
        common |= dict.fromkeys([each, *(each & other for other in common)])
    complete = {
        seeds: [each for each in differences if each.keys() >= seeds]
        for seeds in common
        if seeds
    }
    if not complete:
        return None
    seeds, chosen = max(
        complete.items(),
        key=lambda item: (len(item[0]) > 1, len(item[0]) * len(item[1]), len(item[0])),
    )
    by_seed = tuple(float(np.mean([d[seed] for d in chosen])) for seed in sorted(seeds))
    return Paired(by_seed, len(chosen))


def _paired_differences(ours, theirs):
    seeds = ours.values.keys() & theirs.values.keys()
    return {seed: ours.values[seed] - theirs.values[seed] for seed in seeds}


def fit(
    cells: Iterable[tuple[Value | None, Sample, Sample | None]],
) -> tuple[float, float, int] | None:
    """Returns the mean distances to what is published by both readings, and a count."""
    distances = [
        (abs(difference(removed, published)), abs(difference(kept, published)))
        for published, removed, kept in cells
        if published is not None and removed.n and kept is not None and kept.n
    ]
    if not distances:
        return None
    removed, kept = np.mean(distances, axis=0)
    return float(removed), float(kept), len(distances)
