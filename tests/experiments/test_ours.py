"""The studies of what goes beyond the thesis choose and report by different images."""

import pytest

from tfsupermask import models
from tfsupermask.experiments import MEASURES, Scope, find, plan
from tfsupermask.experiments.catalogue.ours import BEST, VARIANTS

CHOICE, BEYOND = find("study", "choice"), find("study", "beyond")
STOCHASTIC, DEPTH = find("study", "stochastic"), find("study", "depth")


def test_choice_never_reads_the_test_images():
    assert {cell.measure for cell in CHOICE.cells} == {"validation_top1"}
    summary = {"validation_top1": 0.25, "test_top1": 0.75}
    outcome = type("Outcome", (), {"summary": summary})
    assert MEASURES["validation_top1"].read(outcome) == 25.0
    assert MEASURES["test_top1"].read(outcome) == 75.0


@pytest.mark.parametrize("experiment", [CHOICE, BEYOND, STOCHASTIC])
def test_cifar10_is_trained_on_without_the_images_held_out(experiment):
    assert {cell.config.validation_images for cell in experiment.cells} == {5000}


def test_what_is_reported_was_among_what_was_chosen_from():
    scope = Scope(seeds=1)
    chosen = {job.name for job in plan([CHOICE], scope)}
    reported = {job.name for job in plan([BEYOND], scope)}
    rows = {cell.row for cell in BEYOND.cells}
    assert rows < set(VARIANTS)
    assert BEYOND.cells[0].row == BEST  # what all others are compared with
    assert len(chosen & reported) == len(rows)


def test_every_pattern_has_its_control_rescaled_alike_without_patterns():
    with_rest = {name: f for name, f in VARIANTS.items() if "rest" in f}
    assert with_rest
    for name, fields in with_rest.items():
        rescale = {k: v for k, v in fields.items() if k == "rescale"}
        assert ("unit power" in name) == bool(rescale)
        assert {"init": fields["rest"], **rescale} in VARIANTS.values()


def test_stochastic_masks_learn_in_every_cell():
    assert {cell.config.method for cell in STOCHASTIC.cells} == {"stochastic"}


def test_depths_are_those_of_the_network():
    blocks = models.convolution_blocks(models.build("resnet18", (64, 64, 3), 200))
    by_depth = {
        cell.row.split(", ")[1]: cell.config.patch_layers
        for cell in DEPTH.cells
        if cell.config.patch_layers
    }
    assert by_depth == {
        "all layers": sum(map(len, blocks)),
        "first block": len(blocks[0]),
        "first layer": 1,
    }
