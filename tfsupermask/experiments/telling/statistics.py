"""Means, deviations and differences of numbers over seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
from scipy import stats

from tfsupermask.experiments.catalogue.experiment import Value

_RESAMPLES = 9999
_CONFIDENCE = 0.95


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

    difference: float  # the mean over columns of the mean over seeds
    interval: tuple[float, float] | None  # of 95 % confidence
    pairs: int  # of the same column and seed
    columns: int

    @property
    def shown(self) -> bool:
        """Whether 0 is outside the interval."""
        return self.interval is not None and (
            self.interval[0] > 0 or self.interval[1] < 0
        )


def compare(columns: Iterable[tuple[Sample, Sample]]) -> Paired | None:
    """Returns by how much the first of two samples exceeds the second, seed by seed.

    The interval is a percentile bootstrap (Efron and Tibshirani, 1993, chapter 13) of
    the paired differences; seeds are resampled within each column. Columns with one
    pair are left out if others have more. Returns `None` if no column has a pair.

    With few seeds the interval is too narrow. In simulations with normal differences
    the nominal 95 % covered the true one in 50 % of 20,000 draws for 2 seeds, 76 % for
    3, 83 % for 5 and 90 % for 10; over five columns of 3 seeds in 86 %.
    """
    groups = [_paired_differences(*pair) for pair in columns]
    repeated = [group for group in groups if len(group) > 1]
    groups = repeated or [group for group in groups if len(group)]
    if not groups:
        return None
    return Paired(
        difference=float(_mean_of_means(*groups)),
        interval=_interval(repeated) if repeated else None,
        pairs=sum(map(len, groups)),
        columns=len(groups),
    )


def _paired_differences(ours, theirs):
    seeds = sorted(ours.values.keys() & theirs.values.keys())
    return np.array([ours.values[seed] - theirs.values[seed] for seed in seeds])


def _mean_of_means(*groups, axis=-1):
    return np.mean([group.mean(axis=axis) for group in groups], axis=0)


def _interval(groups: Sequence[np.ndarray]) -> tuple[float, float]:
    result = stats.bootstrap(
        groups,
        _mean_of_means,
        n_resamples=_RESAMPLES,
        confidence_level=_CONFIDENCE,
        method="percentile",
        vectorized=True,
        axis=-1,
        random_state=np.random.default_rng(0),
    ).confidence_interval
    return float(result.low), float(result.high)


@dataclasses.dataclass(frozen=True)
class Fit:
    """Mean absolute difference to the thesis by reading, over cells that have both."""

    removed: float
    kept: float
    cells: int


def fit(cells: Iterable[tuple[Value | None, Sample, Sample | None]]) -> Fit | None:
    """Returns how well ours fit the published values by each reading, if any are."""
    distances = [
        (abs(difference(removed, published)), abs(difference(kept, published)))
        for published, removed, kept in cells
        if published is not None and removed.n and kept is not None and kept.n
    ]
    if not distances:
        return None
    removed, kept = np.mean(distances, axis=0)
    return Fit(float(removed), float(kept), len(distances))
