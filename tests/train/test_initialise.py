"""How the fields of a run reach its initialisation."""

import json

import numpy as np
import pytest

from tests.train.common import advance
from tfsupermask import init, models, runs, train
from tfsupermask._validation import InputError
from tfsupermask.layers import supermask_layers
from tfsupermask.sparsity import allocate
from tfsupermask.train.build import build_model, patches_init

FIELDS = {"batch_size": 32, "epochs": 2, "stop_after_epoch": 0}
PATTERNS = {"num_patches": 1500, "num_clusters": 100}


def initialised(workdir, **fields):
    """The kernels of a run that only initialises, by the names of their layers."""
    advance(workdir, **FIELDS, **fields)
    return kernels(train.load_run(workdir).model)


def kernels(model):
    return {layer.name: layer.kernel.numpy() for layer in supermask_layers(model)}


def by_hand(small, patterns=None, rest="glorot_normal", **options):
    model = models.build("conv2", (8, 8, 3), seed=0)
    init.initialize(model, rest, 0, **options)
    if patterns:
        patterns.apply(model, small.train.images, small.train.labels, normalise(small))
    return model


def normalise(small):
    # In the order in which a run computes it, as rounding counts.
    return lambda images: (images.astype(np.float32) / 255 - small.mean) / small.std


def assert_same(found, model):
    for name, kernel in kernels(model).items():
        np.testing.assert_allclose(found[name], kernel, 1e-3, 1e-5, err_msg=name)


def test_patterns_go_to_the_first_layers_and_the_rest_is_drawn(small, tmp_path):
    found = initialised(
        tmp_path, init="patches", patch_layers=1, rest="signed_constant", **PATTERNS
    )
    drawn = kernels(by_hand(small, rest="signed_constant"))
    for name, kernel in found.items():
        assert np.array_equal(kernel, drawn[name]) is (name != "conv1")
    layers = json.loads((tmp_path / "init.json").read_text())["layers"]
    assert [layer["layer"] for layer in layers] == ["conv1"]


@pytest.mark.parametrize(
    ("num_components", "select", "discriminative_from"),
    [(None, "size", None), (30, "entropy", 1)],
)
def test_every_choice_reaches_patches_init(num_components, select, discriminative_from):
    choices = {
        "cluster_space": "centred",
        "filter_space": "whitened",
        "select": select,
        "signs_only": True,
    }
    config = runs.Config(
        init="patches", double_from=2, num_components=num_components,
        discriminative_from=discriminative_from, seed=4, **choices
    )  # fmt: skip
    config = runs.resolve(config, 1000)
    found = patches_init(config, build_model(config, (8, 8, 3), 10))
    assert found == init.PatchesInit(
        20_000, 500, discriminative_from, seed=4, double_from=2,
        num_components=num_components or 27, variant=init.Variant(**choices),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, init.PatchesInit(20_000, 500)),
        ({"init": "simple_patches"}, init.SimpleInit(10_000)),
        (
            {"init": "simple_patches", "num_components": 9, "seed": 4},
            init.SimpleInit(10_000, num_components=9, seed=4),
        ),
    ],
)
def test_nothing_given_is_the_thesis(fields, expected):
    config = runs.resolve(runs.Config(**fields), 1000)
    found = patches_init(config, build_model(config, (8, 8, 3), 10))
    assert found == expected


def test_more_layers_than_the_model_has_are_refused(tmp_path):
    fields = {"init": "patches", "patch_layers": 3, **PATTERNS}
    with pytest.raises(
        InputError, match=r"the 2 convolutions of conv2.*patch_layers=3"
    ):
        initialised(tmp_path, **fields)


@pytest.mark.parametrize(
    ("fields", "allocation", "sparsity"),
    [
        ({}, "uniform", 0.8),
        ({"ramp_epochs": 1}, "uniform", 0.8),
        ({}, "erdos_renyi", 0.8),
        ({"method": "magnitude", "ramp_epochs": 1}, "uniform", 0.0),
    ],
)
def test_rescaling_follows_with_masks_of_the_whole_sparsity_or_those_to_train_with(
    small, tmp_path, capsys, fields, allocation, sparsity
):
    found = initialised(
        tmp_path, init="kaiming_normal", prune=0.8, rescale="unit_power",
        allocation=allocation, **fields,
    )  # fmt: skip
    model = by_hand(small, rest="kaiming_normal")
    allocate(model, sparsity, allocation)
    images, labels = small.train.images, small.train.labels
    factors = init.unit_power(model, images, labels, normalise(small), 0)
    assert_same(found, model)
    assert f"conv1 × {factors['conv1']:.3g}, conv2 ×" in capsys.readouterr().out


def test_whitened_patches_is_all_of_it_together_on_one_device_or_two(small, tmp_path):
    fields = {"init": "whitened_patches", **PATTERNS}
    found = initialised(tmp_path / "1", **fields)
    variant = init.Variant(cluster_space="whitened", filter_space="whitened")
    patterns = init.PatchesInit(1500, 100, variant=variant)
    model = by_hand(small, patterns, "signed_constant")
    images, labels = small.train.images, small.train.labels
    init.unit_power(model, images, labels, normalise(small), 0)
    assert_same(found, model)
    assert np.unique(np.abs(found["conv2"])).size > 1
    assert np.unique(np.abs(found["dense1"])).size == 1
    mirrored = initialised(tmp_path / "2", strategy="mirrored", **fields)
    for name, kernel in found.items():
        np.testing.assert_array_equal(kernel, mirrored[name])
