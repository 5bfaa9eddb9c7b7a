import csv

import numpy as np
import pytest

from tfsupermask import models
from tfsupermask.layers import supermask_layers
from tfsupermask.train import metrics


@pytest.fixture
def model():
    return models.build("conv2", (8, 8, 3), sparsity=0.7)


def test_flipped_is_the_share_of_bits_that_differ(model):
    watch = metrics.MaskWatch(model)
    assert watch.flipped() == 0
    layers = supermask_layers(model)
    before = [layer.mask.numpy() for layer in layers]
    rng = np.random.default_rng(0)
    for layer in layers[:2]:
        layer.score.assign(rng.normal(size=layer.score.shape))
    flips = sum(
        (layer.mask.numpy() != old).sum()
        for layer, old in zip(layers, before, strict=True)
    )
    assert flips > 0
    assert watch.flipped() == flips / sum(mask.size for mask in before)
    assert watch.flipped() == 0


def test_realised_sparsity_counts_all_layers(model):
    masks = [layer.mask.numpy() for layer in supermask_layers(model)]
    removed = sum((mask == 0).sum() for mask in masks)
    expected = removed / sum(mask.size for mask in masks)
    assert metrics.realised_sparsity(model) == pytest.approx(expected, abs=1e-12)
    assert abs(expected - 0.7) < 1e-3


def test_csv_holds_the_numbers_unrounded(tmp_path):
    rows = [
        {name: (i + 1) / 3 for i, name in enumerate(metrics.COLUMNS)} | {"epoch": e}
        for e in (1, 2)
    ]
    metrics.write_csv(tmp_path / "metrics.csv", rows)
    with open(tmp_path / "metrics.csv") as file:
        read = list(csv.DictReader(file))
    assert [{k: float(v) for k, v in row.items()} for row in read] == rows
