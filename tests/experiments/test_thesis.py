"""The published numbers, held against what the thesis's text says of them."""

import collections
import dataclasses

import pytest

from tfsupermask.experiments import EXPERIMENTS, MEASURES, Scope, find
from tfsupermask.experiments.catalogue.experiment import RANDOM
from tfsupermask.experiments.catalogue.thesis import PARTIAL, PATCHES, RATES, SIMPLE
from tfsupermask.runs import Config


def published(name, row, column=None):
    cells = [c for c in find("table", name).cells if c.row == row]
    if column is not None:
        cells = [c for c in cells if c.column == column]
    return [c.published.mean for c in cells]


def gains(name, row=PATCHES, base=RANDOM):
    pairs = zip(published(name, row), published(name, base), strict=True)
    return [round(a - b, 1) for a, b in pairs]


def test_all_of_the_thesis_is_there():
    names = collections.defaultdict(list)
    for experiment in EXPERIMENTS:
        names[experiment.kind].append(experiment.name)
    chapter_8 = [f"8.{number}" for number in range(1, 14)]
    assert names["table"] == ["5.2", "5.3", "5.4", "5.5", *chapter_8]
    assert " ".join(names["figure"]) == "4.2 5.2 5.3 5.4 5.5 5.6 8.1 8.2"
    ours = "inits choice beyond stochastic depth clusters high_sparsity many_images"
    compared = "methods field field_conv2 field_conv4 field_conv6 field_conv8 rounds"
    few = "few_images few_images_cifar100 few_images_tiny_imagenet"
    clusters = "few_images_clusters few_images_clusters_cifar100"
    parts = f"few_images_parts {clusters} few_images_deeper"
    assert " ".join(names["study"]) == f"deep {ours} {few} {parts} {compared}"


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda e: e.slug)
def test_every_experiment_is_well_formed(experiment):
    assert experiment.kind in ("table", "figure", "study")
    assert experiment.form in ("table", "rates", "images", "epochs", "patches")
    assert bool(experiment.cells) == (experiment.form != "patches")
    assert bool(experiment.curves) == (experiment.form == "epochs")
    places = [(c.panel, c.row, c.column) for c in experiment.cells]
    assert len(set(places)) == len(places)
    for cell in experiment.cells:
        Scope().job(cell, 0).config.validate()
        assert cell.measure in MEASURES
        assert cell.config.dataset == experiment.dataset
        assert (cell.config.epochs is None) == (cell.config.limit_images is None)
        assert cell.config.seed in (0, 1000)


# "Conv2 increases performance ... with 3% and 6% for 50% and 70%", §5.3; and so on.
@pytest.mark.parametrize(
    ("table", "rates", "least", "most"),
    [
        ("8.1", RATES, 3, 6),
        ("8.2", (0.3, 0.5, 0.7), 2, 4),
        ("8.3", (0.3, 0.5, 0.7), 1, 6),
        ("8.3", (0.1,), 48, 48),
        ("8.3", (0.9,), 11, 11),
        ("8.5", RATES, 4, 8),
        ("8.5", (0.3, 0.5, 0.7), 6, 7),
        ("8.6", (0.1,), 7, 7),
        ("8.6", (0.9,), 12, 12),
        ("8.7", (0.3, 0.5, 0.7), 7, 9),
        ("8.7", (0.1,), 11, 11),
        ("8.7", (0.9,), 22, 22),
        ("8.9", (0.3, 0.5, 0.7), 2, 11),
    ],
)
def test_gains_are_those_of_the_text(table, rates, least, most):
    by_rate = dict(zip(RATES, gains(table), strict=True))
    chosen = [round(by_rate[rate]) for rate in rates]
    assert (min(chosen), max(chosen)) == (least, most)


def test_deep_gains_are_those_of_the_text():
    for row, expected in ((PATCHES, (-2.4, -0.2)), (PARTIAL, (0.5, 1.3))):
        found = gains("5.2", row)
        assert (min(found), max(found)) == expected


def test_ablations_are_those_of_the_text():
    rows = list(dict.fromkeys(cell.row for cell in find("table", "5.3").cells))
    (simple,), (best,), *_, (largest,) = (
        published("5.3", row, "top-5 accuracy") for row in rows
    )
    assert SIMPLE in rows[0]
    assert "50,000, C = 500" in rows[1]
    assert round(best - simple, 1) == 1.6
    assert round(best - largest, 1) == 4.5
    one, none = published("5.5", "1C-5D (D = 2)"), published("5.5", "0C-6D (D = 1)")
    assert round(one[0] - none[0]) == 3


def test_one_run_has_one_published_value():
    """Tables 5.3, 5.5 and 8.9, say, print the accuracy of one and the same run."""
    values = collections.defaultdict(set)
    for experiment in EXPERIMENTS:
        for cell in experiment.cells:
            if cell.published and cell.measure != "init_minutes":
                fields = {**dataclasses.asdict(cell.config), "of": cell.measure}
                fields["num_patches"] = fields["num_patches"] or 50_000
                fields["num_clusters"] = fields["num_clusters"] or 500
                values[tuple(fields.items())].add(cell.published.mean)
    assert max(map(len, values.values())) == 1
    assert len(values) > 100


def test_selection_is_read_as_the_thesis_means_it():
    rows = {c.row: c.config.discriminative_from for c in find("table", "5.5").cells}
    assert rows == {
        "5C-1D (D = 6)": None,
        "6C-0D (D = none)": 7,
        "4C-2D (D = 5)": 5,
        "3C-3D (D = 4)": 4,
        "2C-4D (D = 3)": 3,
        "1C-5D (D = 2)": 2,
        "0C-6D (D = 1)": 1,
    }


def test_deep_study_numbers_convolutions_as_the_network_does():
    import numpy as np

    from tfsupermask import models
    from tfsupermask.init.convolutions import convolutions_in, find_convolutions
    from tfsupermask.init.observing import Trace

    model = models.build("resnet18", (64, 64, 3), 200)
    found = convolutions_in(model)
    trace = Trace(model, found, np.zeros((1, 64, 64, 3), np.float32))
    convolutions, _, last = find_convolutions(found, trace, None)
    names = [each.name for each in convolutions]
    blocks = models.convolution_blocks(model)
    fields = {c.row: c.config for c in find("study", "deep").cells}
    third = fields["twice P and C from block 3"].double_from
    fourth = fields["last block discriminative"].discriminative_from
    assert names[third - 1] == blocks[2][0]
    assert names[fourth - 1] == blocks[3][0]
    assert fields["no layer discriminative"].discriminative_from == last + 1
    assert [sum(map(len, blocks[:n])) for n in (1, 2)] == [5, 9]


def test_opposite_reading():
    cell = find("table", "5.2").cells[0]
    assert cell.config == Config(
        model="resnet18", dataset="tiny_imagenet", prune=0.1, init="glorot_normal"
    )
    assert cell.opposite.config == dataclasses.replace(cell.config, prune=0.9)
    assert cell.opposite.opposite == cell
