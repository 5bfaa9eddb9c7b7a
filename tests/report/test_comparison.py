import dataclasses

import pytest

from tfsupermask.report import collect_run, compare
from tfsupermask.report.masks import agreement


@pytest.fixture(scope="module")
def runs(made, digits):
    return [collect_run(made[name], load=lambda *_: digits) for name in made]


def test_settings_that_differ(runs):
    differing = compare(runs).differing
    assert differing["prune"] == (0.7, 0.5)
    assert differing["init"] == ("patches", "kaiming_normal")
    assert differing["num_patches"] == (500, None)
    assert set(differing) == {"prune", "init", "num_patches", "num_clusters"}


def test_other_images_are_a_difference(runs):
    other = dataclasses.replace(runs[0], data_sha256="f" * 64)
    assert set(compare([runs[0], other]).differing) == {"images"}


def test_each_pair_of_an_architecture_has_an_overlap(runs):
    other = dataclasses.replace(runs[0], masks=runs[0].masks[:-1])
    comparison = compare([*runs, other, runs[0]])
    assert comparison.letters == ("A", "B", "C", "D")
    overlaps = {overlap.runs: overlap for overlap in comparison.overlaps}
    assert set(overlaps) == {("A", "B"), ("A", "D"), ("B", "D")}
    assert overlaps["A", "D"].whole.measured == 1
    pair = overlaps["A", "B"]
    assert pair.whole == agreement(runs[0].masks, runs[1].masks)
    assert pair.masks["dense3/kernel"] == agreement(
        runs[0].masks[-1:], runs[1].masks[-1:]
    )


def test_one_run_has_nothing_to_differ_in(runs):
    comparison = compare(runs[:1])
    assert (comparison.differing, comparison.overlaps) == ({}, ())
