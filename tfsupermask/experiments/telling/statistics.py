"""Means, spreads and differences of numbers that seeds gave."""

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
    """A number that several seeds gave, by seed; missing runs are not in it."""

    values: dict[int, float]

    @property
    def n(self) -> int:
        """Number of seeds."""
        return len(self.values)

    @property
    def mean(self) -> float | None:
        """Their mean, `None` without any."""
        return float(np.mean(list(self.values.values()))) if self.values else None

    @property
    def deviation(self) -> float | None:
        """Standard deviation (n - 1 below the line), `None` for fewer than two."""
        if self.n < 2:
            return None
        return float(np.std(list(self.values.values()), ddof=1))


def difference(ours: Sample, published: Value | None) -> float | None:
    """Returns our mean minus the published, `None` where one of them is missing."""
    if published is None or ours.mean is None:
        return None
    return ours.mean - published.mean


def exceeds_both_spreads(ours: Sample, published: Value | None) -> bool:
    """Whether the difference is larger than our standard deviation and than theirs.

    A published value without a deviation counts as one of 0; fewer than two seeds of
    ours show nothing.
    """
    distance = difference(ours, published)
    if distance is None or ours.deviation is None:
        return False
    return abs(distance) > max(ours.deviation, published.deviation or 0.0)


@dataclasses.dataclass(frozen=True)
class Paired:
    """By how much one thing exceeds another in runs of the same seeds.

    Attributes:
        difference: Mean over columns of the mean over seeds.
        interval: Bounds between which it lies with 95 % confidence, or `None` if no
            column has two pairs.
        pairs: Number of pairs of the same column and seed.
        columns: Number of columns that they are of.
    """

    difference: float
    interval: tuple[float, float] | None
    pairs: int
    columns: int

    @property
    def shown(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.interval is not None and (
            self.interval[0] > 0 or self.interval[1] < 0
        )


def compare(columns: Iterable[tuple[Sample, Sample]]) -> Paired | None:
    """Returns by how much the first of two samples exceeds the second, seed by seed.

    The interval is a percentile bootstrap of the paired differences, in which the seeds
    are resampled within each column. Columns with one pair say nothing about the spread
    and are left out where others have more.

    Few seeds make such an interval narrow: it resamples a spread that n seeds
    underestimate. In 20,000 draws of normal differences each, the nominal 95 % covered
    the true one in 50 % for 2 seeds, 76 % for 3, 83 % for 5 and 90 % for 10; over five
    columns of 3 seeds in 86 %.

    Returns `None` if no column has a pair.

    Example:
        >>> ours, theirs = Sample({0: 5.0, 1: 6.0, 2: 8.0}), Sample({0: 4.0, 1: 4.0})
        >>> compare([(ours, theirs)])
        Paired(difference=1.5, interval=(1.0, 2.0), pairs=2, columns=1)

    Reference:
        - Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
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
    """How far two readings of the pruning rate are from what was published.

    Attributes:
        removed: Mean absolute difference where the rate is the fraction removed.
        kept: The same where it is the fraction kept.
        cells: Number of cells that both are over.
    """

    removed: float
    kept: float
    cells: int


def fit(cells: Iterable[tuple[Value | None, Sample, Sample | None]]) -> Fit | None:
    """Returns how far the two readings are from what was published, if it is known.

    Cells are the published value and ours in either reading; those that lack one of the
    three do not count.
    """
    distances = [
        (abs(difference(removed, published)), abs(difference(kept, published)))
        for published, removed, kept in cells
        if published is not None and removed.n and kept is not None and kept.n
    ]
    if not distances:
        return None
    removed, kept = np.mean(distances, axis=0)
    return Fit(float(removed), float(kept), len(distances))
