import numpy as np
import pytest

from tfsupermask.report.charts import round_axis, spread


@pytest.mark.parametrize(
    ("values", "ticks", "labels"),
    [
        ([0, 1], (0, 0.2, 0.4, 0.6, 0.8, 1), "0.0 0.2 0.4 0.6 0.8 1.0"),
        ([3, 17, 9], (0, 5, 10, 15, 20), "0 5 10 15 20"),
        ([-0.004, 0.004], (-0.004, -0.002, 0, 0.002, 0.004), None),
        ([7, 7], (2, 4, 6, 8, 10, 12), None),
        ([0, 0], (-0.6, -0.4, -0.2, 0, 0.2, 0.4, 0.6), None),
        ([1000, 9000], (0, 2000, 4000, 6000, 8000, 10000), None),
        ([99_000, 99_800], None, "99,000 99,200 99,400 99,600 99,800"),
    ],
)
def test_ticks_are_round_and_enclose(values, ticks, labels):
    axis = round_axis(values, 10, 110)
    if ticks is not None:
        assert axis.ticks == pytest.approx(ticks)
    if labels is not None:
        assert " ".join(map(axis.label, axis.ticks)) == labels
    assert axis.ticks[0] <= min(values) <= max(values) <= axis.ticks[-1] + 1e-9


def test_whole_ticks_and_proportion():
    assert round_axis([1, 3], 0, 1, whole=True).ticks == (1, 2, 3)
    axis = round_axis([0, 10], 200, 100)
    assert [axis(value) for value in (0, 2.5, 10)] == [200, 175, 100]


@pytest.mark.parametrize(
    ("positions", "expected"),
    [
        ([], []),
        ([50], [50]),
        ([10, 80], [10, 80]),
        ([50, 50], [50, 60]),
        ([98, 99], [90, 100]),
        ([-5, 120], [0, 100]),
        ([97, 3, 98], [90, 3, 100]),
    ],
)
def test_labels_are_moved_apart(positions, expected):
    assert spread(positions, 10, 0, 100) == expected


def test_many_labels_share_the_room(rng):
    positions = rng.uniform(0, 100, 40)
    moved = np.array(spread(positions.tolist(), 10, 0, 100))[positions.argsort()]
    assert np.diff(moved).min() == pytest.approx(100 / 39)
    assert moved[0] >= -1e-9
    assert moved[-1] <= 100 + 1e-9
