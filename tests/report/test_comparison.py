import dataclasses

import pytest

from tfsupermask.report.comparison import compare
from tfsupermask.report.masks import agreement


@pytest.fixture
def pair(runs):
    return list(runs.values())


def test_settings_that_differ(pair):
    differing = compare(pair).differing
    assert differing["prune"] == (0.7, 0.5)
    assert differing["init"] == ("patches", "kaiming_normal")
    assert differing["num_patches"] == (500, None)
    assert set(differing) == {"prune", "init", "num_patches", "num_clusters"}
    other = dataclasses.replace(pair[0], data_sha256="f" * 64)
    assert set(compare([pair[0], other]).differing) == {"images"}


def test_each_pair_of_an_architecture_has_an_overlap(pair):
    other = dataclasses.replace(pair[0], masks=pair[0].masks[:-1])
    comparison = compare([*pair, other, pair[0]])
    assert comparison.letters == ("A", "B", "C", "D")
    overlaps = {each.runs: each for each in comparison.overlaps}
    assert set(overlaps) == {("A", "B"), ("A", "D"), ("B", "D")}
    assert overlaps["A", "D"].whole.measured == 1
    overlap = overlaps["A", "B"]
    assert overlap.whole == agreement(pair[0].masks, pair[1].masks)
    assert overlap.masks["dense3/kernel"] == agreement(
        pair[0].masks[-1:], pair[1].masks[-1:]
    )


def test_names_of_one_run_and_of_many(pair):
    alone = compare(pair[:1])
    assert (alone.letters, alone.differing, alone.overlaps) == (("A",), {}, ())
    many = [dataclasses.replace(pair[0], masks=(mask,)) for mask in pair[0].masks]
    assert compare(many * 6).letters[25:28] == ("Z", "A2", "B2")
