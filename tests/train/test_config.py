import dataclasses
import hashlib
import json

import pytest

from tfsupermask._validation import InputError
from tfsupermask.train import Config, resolve


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": "conv7"}, "'conv7'"),
        ({"dataset": "mnist"}, "'mnist'"),
        ({"prune": 1.0}, "prune=1.0"),
        ({"prune": -0.1}, "prune=-0.1"),
        ({"init": "zeros"}, "'zeros'"),
        ({"ranking": "size"}, "'size'"),
        ({"epochs": 0}, "epochs=0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"learning_rate": float("nan")}, "learning_rate=nan"),
        ({"momentum": 1.0}, "momentum=1.0"),
        ({"weight_decay": -1e-4}, "weight_decay=-0.0001"),
        ({"seed": -1}, "seed=-1"),
        ({"strategy": "tpu"}, "'tpu'"),
        ({"epochs": 3, "stop_after_epoch": 5}, "stop_after_epoch=5, epochs=3"),
        ({"deterministic": True, "jit_compile": True}, "jit_compile=True"),
        ({"init": "glorot_normal", "num_patches": 100}, "num_patches=100"),
        ({"init": "simple_patches", "num_clusters": 100}, "num_clusters=100"),
        ({"init": "simple_patches", "discriminative_from": 1}, "discriminative_from=1"),
        ({"init": "patches", "fan_correction": True}, "fan_correction=True"),
        ({"init": "patches", "patch_blocks": 1}, "patch_blocks=1"),
        ({"init": "partial_patches", "patch_blocks": 0}, "patch_blocks=0"),
        ({"dataset": "cifar10", "image_size": 64}, "image_size=64"),
        ({"dataset": "folder"}, "data_dir=None"),
        ({"allocation": "random"}, "'random'"),
        ({"ramp_epochs": -1}, "ramp_epochs=-1"),
        ({"epochs": 5, "ramp_epochs": 5}, "ramp_epochs=5, epochs=5"),
        ({"stop_after_epoch": -1}, "stop_after_epoch=-1"),
        ({"limit_images": 0}, "limit_images=0"),
        ({"num_components": 0}, "num_components=0"),
        ({"init": "glorot_normal", "num_components": 64}, "num_components=64"),
        ({"double_from": 0}, "double_from=0"),
        ({"init": "simple_patches", "double_from": 2}, "double_from=2"),
        ({"init": "kaiming_normal", "double_from": 2}, "double_from=2"),
    ],
)
def test_refuses_wrong_and_contradictory_values(fields, message):
    with pytest.raises(InputError, match=message):
        Config(**fields).validate()


@pytest.mark.parametrize(
    "fields",
    [
        {"stop_after_epoch": 0},
        {"limit_images": 1},
        {"init": "patches", "num_components": 1, "double_from": 1},
        {"init": "partial_patches", "num_components": 64, "double_from": 10},
        {"init": "simple_patches", "num_components": 64},
    ],
)
def test_takes_the_ends_of_ranges_and_what_applies(fields):
    config = Config(**fields)
    assert config.validate() is config


@pytest.mark.parametrize(
    ("dataset", "init", "expected"),
    [
        ("cifar10", "patches", (100, 128, 0.1, 0.9, 1e-4, 50_000, 500)),
        ("cifar100", "simple_patches", (100, 128, 0.1, 0.9, 1e-4, 10_000, None)),
        ("cifar10", "kaiming_normal", (100, 128, 0.1, 0.9, 1e-4, None, None)),
        ("digits", "patches", (10, 64, 0.1, 0.9, 1e-4, 20_000, 500)),
    ],
)
def test_recipe_fills_in_what_is_not_given(dataset, init, expected):
    config = resolve(Config(dataset=dataset, init=init), 50_000)
    assert expected == (
        config.epochs,
        config.batch_size,
        config.learning_rate,
        config.momentum,
        config.weight_decay,
        config.num_patches,
        config.num_clusters,
    )


def test_deep_models_have_enough_clusters_for_their_filters():
    config = resolve(Config(model="resnet18", dataset="cifar10"), 50_000)
    assert (config.num_patches, config.num_clusters) == (100_000, 1000)


def test_tiny_imagenet_has_the_thesis_recipe():
    config = resolve(Config(model="resnet18", dataset="tiny_imagenet"), 100_000)
    assert (config.learning_rate, config.momentum) == (0.256, 0.875)
    assert (config.weight_decay, config.batch_size) == (1e-5, 256)
    assert (config.num_patches, config.num_clusters) == (100_000, 1000)


def test_partial_patches_sets_one_block_by_default():
    config = resolve(Config(dataset="cifar10", init="partial_patches"), 50_000)
    assert (config.patch_blocks, config.num_clusters) == (1, 500)
    assert resolve(Config(dataset="cifar10"), 50_000).patch_blocks is None


def test_recipe_leaves_given_values_alone():
    given = Config(dataset="cifar10", epochs=3, num_patches=700, learning_rate=0.0)
    resolved = resolve(given, 50_000)
    assert (resolved.epochs, resolved.num_patches) == (3, 700)
    assert resolved.learning_rate == 0.0


def test_default_number_of_patches_is_what_a_small_folder_offers():
    config = Config(dataset="folder", data_dir="somewhere")
    assert resolve(config, 40).num_patches == 2000
    assert resolve(config, 40).image_size == 64


def test_default_number_of_patches_leaves_room_to_double_it():
    config = Config(dataset="folder", data_dir="somewhere", double_from=3)
    assert resolve(config, 40).num_patches == 1000
    assert resolve(config, 10_000).num_patches == 50_000
    given = dataclasses.replace(config, num_patches=2000)
    assert resolve(given, 40).num_patches == 2000


def test_recipe_leaves_the_fields_of_experiments_open():
    config = resolve(Config(), 1000)
    fields = config.limit_images, config.num_components, config.double_from
    assert fields == (None, None, None)


def test_resolving_still_refuses_contradictions_with_the_recipe():
    with pytest.raises(InputError, match="stop_after_epoch=11, epochs=10"):
        resolve(Config(stop_after_epoch=11), 1000)
    with pytest.raises(InputError, match="ramp_epochs=10, epochs=10"):
        resolve(Config(ramp_epochs=10), 1000)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"seed": 1}, False),
        ({"prune": 0.6}, False),
        ({"mixed_precision": True}, False),
        ({"jit_compile": True}, False),
        ({"epochs": 11}, False),
        ({"allocation": "global"}, False),
        ({"ramp_epochs": 2}, False),
        ({"limit_images": 500}, False),
        ({"num_components": 64}, False),
        ({"double_from": 2}, False),
        ({"data_dir": "elsewhere"}, True),
        ({"strategy": "mirrored"}, True),
        ({"deterministic": True}, True),
        ({"stop_after_epoch": 2}, True),
        ({"stop_after_epoch": 0}, True),
        ({"workdir": "elsewhere", "resume": False}, True),
    ],
)
def test_a_run_is_what_determines_its_result(change, same):
    config = resolve(Config(), 1000)
    changed = dataclasses.replace(config, **change)
    assert (config.identity() == changed.identity()) is same
    assert (config.run_name("data") == changed.run_name("data")) is same


def test_runs_from_before_some_fields_keep_their_names():
    fields = Config(model="conv6", prune=0.7, epochs=3).identity()
    assert (fields.pop("allocation"), fields.pop("ramp_epochs")) == ("uniform", 0)
    assert fields.pop("jit_compile") is False
    for later in ("limit_images", "num_components", "double_from"):
        assert fields.pop(later) is None
    text = json.dumps([fields, "some images"], sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    name = Config(model="conv6", prune=0.7, epochs=3).run_name("some images")
    assert name == f"conv6-digits-prune0.7-patches-seed0-{digest}"
    assert digest == "a9a764e6"


def test_run_name_is_readable_and_depends_on_the_images():
    config = resolve(Config(model="conv6", prune=0.7), 1000)
    name = config.run_name("some images")
    assert name.startswith("conv6-digits-prune0.7-patches-seed0-")
    assert name != config.run_name("other images")
