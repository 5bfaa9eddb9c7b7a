import itertools
import statistics

import numpy as np
import pytest

from tfsupermask.experiments import Value
from tfsupermask.experiments.telling.statistics import (
    Fit,
    Paired,
    Sample,
    compare,
    difference,
    exceeds_both_spreads,
    fit,
)


def of(*values):
    return Sample(dict(enumerate(values)))


@pytest.mark.parametrize("values", [(3.0, 5.0), (48.1, 47.5, 49.9), (1, 2, 4, 8)])
def test_mean_and_deviation(values):
    sample, one, none = of(*values), of(5.0), of()
    assert sample.n == len(values)
    assert sample.mean == pytest.approx(statistics.fmean(values))
    assert sample.deviation == pytest.approx(statistics.stdev(values))
    assert (none.n, none.mean, none.deviation) == (0, None, None)
    assert (one.n, one.mean, one.deviation) == (1, 5.0, None)


def test_difference_is_ours_less_theirs():
    assert difference(of(50.0, 52.0), Value(48.0)) == 3.0
    assert difference(of(), Value(48.0)) is None
    assert difference(of(50.0), None) is None


@pytest.mark.parametrize(
    ("ours", "published", "expected"),
    [
        (of(50.0, 52.0), Value(48.0), True),  # 3 > 1.41 and 0
        (of(50.0, 52.0), Value(48.0, 2.9), True),
        (of(50.0, 52.0), Value(48.0, 3.0), False),
        (of(50.0, 52.0), Value(54.0, 2.9), True),
        (of(50.0, 52.0), Value(50.0), False),  # 1 < 1.41
        (of(51.0), Value(48.0), False),
        (of(), Value(48.0), False),
        (of(50.0, 52.0), None, False),
    ],
)
def test_a_mark_needs_more_than_both_spreads(ours, published, expected):
    assert exceeds_both_spreads(ours, published) is expected


def every_resample(groups):
    """The statistic of each of all equally likely resamples, column by column."""
    columns = [list(itertools.product(group, repeat=len(group))) for group in groups]
    means = [[np.mean(resample) for resample in column] for column in columns]
    return [np.mean(combination) for combination in itertools.product(*means)]


@pytest.mark.parametrize(
    "groups",
    [
        [(1.0, 2.0, 6.0)],
        [(0.1, -0.4)],
        [(1.0, 2.0, 6.0), (11.0, 12.5, 12.0)],
        [(3.0, 3.5, 2.0, 4.0, 9.0)],
        # Columns far apart: seeds are resampled within a column, not columns.
        [(1.0, 1.1, 0.9), (9.0, 9.1, 8.9)],
    ],
)
def test_interval_against_all_resamples(groups):
    paired = compare([(of(*group), of(*[0.0] * len(group))) for group in groups])
    exact = np.quantile(every_resample(groups), (0.025, 0.975), method="inverted_cdf")
    spread = max(map(np.ptp, groups))
    np.testing.assert_allclose(paired.interval, exact, atol=0.03 * spread)
    assert paired.difference == pytest.approx(np.mean([np.mean(g) for g in groups]))


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        # Pairs are those of the same seed.
        (
            [(Sample({0: 10.0, 2: 30.0, 3: 7.0}), Sample({3: 5.0, 0: 9.0, 1: 0.0}))],
            Paired(1.5, (1.0, 2.0), 2, 1),
        ),
        # One seed has no interval.
        ([(of(5.0), of(3.0)), (of(6.0), of(2.0))], Paired(3.0, None, 2, 2)),
        ([(of(5.0), of())], None),
        ([], None),
        # A column of one pair is left out where others have more.
        (
            [(of(5.0, 6.0), of(3.0, 3.0)), (of(60.0), of(2.0))],
            Paired(2.5, (2.0, 3.0), 2, 1),
        ),
        ([(of(2.0, 2.0), of(1.0, 1.0))], Paired(1.0, (1.0, 1.0), 2, 1)),
    ],
)
def test_differences_of_pairs_that_are_known(pairs, expected):
    assert compare(pairs) == expected == compare(pairs)


@pytest.mark.parametrize(
    ("interval", "shown"),
    [
        ((0.1, 2.0), True),
        ((-2.0, -0.1), True),
        ((-1.0, 1.0), False),
        ((0.0, 1.0), False),
        ((-1.0, 0.0), False),
        (None, False),
    ],
)
def test_a_difference_is_shown_if_the_interval_leaves_out_zero(interval, shown):
    assert Paired(0.5, interval, 3, 1).shown is shown


def test_fit_is_over_cells_that_have_everything():
    cells = [
        (Value(50.0), of(52.0), of(49.0)),
        (Value(50.0), of(46.0, 48.0), of(52.0, 54.0)),
        (Value(50.0), of(99.0), None),
        (Value(50.0), of(99.0), of()),
        (Value(50.0), of(), of(99.0)),
        (None, of(99.0), of(99.0)),
    ]
    assert fit(cells) == Fit(removed=2.5, kept=2.0, cells=2)
    assert fit(cells[2:]) is None
