import statistics

import numpy as np
import pytest

from tfsupermask.experiments import Value
from tfsupermask.experiments.telling.statistics import (
    Paired,
    Sample,
    compare,
    difference,
    exceeds_both_spreads,
    fit,
    t_interval,
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


T_99 = {2: 63.657, 3: 9.925, 5: 4.604, 10: 3.250}  # two-sided, by number of pairs


@pytest.mark.parametrize("n", T_99)
def test_interval_by_a_table_of_t(n):
    differences = np.random.default_rng(n).normal(1.0, 2.0, n)
    paired = compare([(of(*differences), of(*[0.0] * n))])
    half = T_99[n] * statistics.stdev(differences) / n**0.5
    mean = statistics.fmean(differences)
    np.testing.assert_allclose(paired.interval, (mean - half, mean + half), rtol=1e-3)
    assert paired.difference == pytest.approx(mean)


@pytest.mark.parametrize(
    ("pairs", "by_seed", "columns"),
    [
        # Pairs are those of the same seed.
        (
            [(Sample({0: 10.0, 2: 30.0, 3: 7.0}), Sample({3: 5.0, 0: 9.0, 1: 0.0}))],
            (1.0, 2.0),
            1,
        ),
        # A seed's columns count once.
        ([(of(5.0, 6.0), of(3.0, 3.0)), (of(9.0, 5.0), of(1.0, 4.0))], (5.0, 2.0), 2),
        ([(of(5.0), of(3.0)), (of(6.0), of(2.0))], (3.0,), 2),
        # Columns that lack a seed are left out, if that leaves more pairs;
        ([(of(5.0, 6.0), of(3.0, 3.0)), (of(60.0), of(2.0))], (2.0, 3.0), 1),
        ([(of(1.0, 2.0, 3.0), of(0.0, 0.0, 0.0))] + 2 * [(of(5.0, 6.0),) * 2],
         (1 / 3, 2 / 3), 3),
        # in any case, if that leaves several seeds.
        ([(of(5.0, 6.0), of(3.0, 3.0))] + 9 * [(of(60.0), of(2.0))], (2.0, 3.0), 1),
        # Seeds are those in common, if that leaves more pairs.
        ([(Sample({0: 1.0, 1: 2.0, 2: 9.0}), Sample({0: 0.0, 1: 0.0, 2: 0.0})),
          (Sample({0: 3.0, 1: 4.0, 3: 9.0}), Sample({0: 0.0, 1: 0.0, 3: 0.0}))],
         (2.0, 3.0), 2),
        # Columns without a seed in common are not mixed.
        ([(Sample({0: 1.0}),) * 2, (Sample({1: 3.0}), Sample({1: 1.0}))], (0.0,), 1),
    ],
)  # fmt: skip
def test_pairs_are_complete_seeds(pairs, by_seed, columns):
    assert compare(pairs) == Paired(pytest.approx(by_seed), columns)


@pytest.mark.parametrize("pairs", [[], [(of(5.0), of())]])
def test_nothing_is_compared_without_a_pair(pairs):
    assert compare(pairs) is None


@pytest.mark.parametrize(
    ("by_seed", "interval", "shown", "unanimous"),
    [
        ((3.0, 3.1, 2.9), True, True, True),
        ((-3.0, -3.1, -2.9), True, True, True),
        ((1.0, 2.0, 3.0), True, False, True),
        ((-1.0, 2.0, 3.0), True, False, False),
        ((0.0, 2.0, 3.0), True, False, False),
        # Of one seed, and of seeds without spread, nothing is known.
        ((3.0,), False, False, True),
        ((3.0, 3.0), False, False, True),
        ((100 * 0.95 - 100 * 0.90, 100 * 0.85 - 100 * 0.80), False, False, True),
        ((0.0, 0.0, 0.0), False, False, False),
    ],
)
def test_a_difference_is_shown_if_the_interval_leaves_out_zero(
    by_seed, interval, shown, unanimous
):
    paired = Paired(by_seed, 1)
    assert (paired.interval is not None) is interval
    assert (paired.shown, paired.unanimous) == (shown, unanimous)


def accuracies(rng, shape):
    """Differences of accuracies on few images: many are equal."""
    return np.round(rng.normal(0.0, 2.0, (*shape, 2))) @ (1, -1)


def collapses(rng, shape):
    """Differences of accuracies; one run of ten stays at chance."""
    runs = rng.normal(90.0, 1.0, (*shape, 2))
    return np.where(rng.random(runs.shape) < 0.1, 10.0, runs) @ (1, -1)


NO_DIFFERENCE = {
    "normal": lambda rng, shape: rng.normal(0.0, 1.0, shape),
    "uniform": lambda rng, shape: rng.uniform(-1.0, 1.0, shape),
    "bounded, mostly at its bounds": lambda rng, shape: rng.beta(0.5, 0.5, shape) - 0.5,
    "skewed": lambda rng, shape: rng.exponential(1.0, shape) - 1.0,
    "one of two values": lambda rng, shape: rng.choice((-1.0, 1.0), shape),
    "accuracies": accuracies,
    "collapses": collapses,
}
DRAWS = 20_000
# With a rate of 5 %, more are shown in one of 40 simulations.
MOST = 0.05 + 2 * (0.05 * 0.95 / DRAWS) ** 0.5


@pytest.mark.parametrize("n", T_99)
@pytest.mark.parametrize("draw", NO_DIFFERENCE.values(), ids=NO_DIFFERENCE)
def test_without_a_difference_at_most_five_of_a_hundred_are_shown(draw, n):
    draws = draw(np.random.default_rng(0), (DRAWS, n))
    low, high = t_interval(draws)
    assert np.mean((low > 0) | (high < 0)) <= MOST
    for each in draws[:10]:
        one = Paired(tuple(each), 1).interval
        np.testing.assert_allclose(one or (np.nan, np.nan), t_interval(each))


def test_an_interval_of_few_seeds_does_not_know_of_rare_failures():
    rng = np.random.default_rng(0)
    better, worse = rng.normal([[[98.0]], [[90.0]]], 0.5, (2, DRAWS, 3))
    better = np.where(rng.random(better.shape) < 0.1, 18.0, better)  # 90 on average
    low, _ = t_interval(better - worse)
    assert 0.65 < np.mean(low > 0) < 0.75


@pytest.mark.parametrize("n", T_99)
def test_columns_that_share_a_seed_are_not_taken_for_more_seeds(n):
    rng = np.random.default_rng(0)
    of_seed = rng.normal(0.0, 1.0, (200, 1, n))
    draws = of_seed + rng.normal(0.0, 0.3, (200, 5, n))
    nothing = of(*[0.0] * n)
    shown = [compare([(of(*c), nothing) for c in each]).shown for each in draws]
    assert np.mean(shown) <= 0.05


def test_a_large_difference_is_shown_with_three_seeds():
    low, _ = t_interval(np.random.default_rng(0).normal(10.0, 0.5, (DRAWS, 3)))
    assert np.mean(low > 0) > 0.95


def test_fit_is_over_cells_that_have_everything():
    cells = [
        (Value(50.0), of(52.0), of(49.0)),
        (Value(50.0), of(46.0, 48.0), of(52.0, 54.0)),
        (Value(50.0), of(99.0), None),
        (Value(50.0), of(99.0), of()),
        (Value(50.0), of(), of(99.0)),
        (None, of(99.0), of(99.0)),
    ]
    assert fit(cells) == (2.5, 2.0, 2)
    assert fit(cells[2:]) is None
