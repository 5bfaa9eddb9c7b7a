import dataclasses
import hashlib
import json

import pytest

from tfsupermask._validation import InputError
from tfsupermask.runs import Config, resolve
from tfsupermask.runs.config import removed_options

FAMILY = ("patch_layers", "rest", "cluster_space", "filter_space", "rescale")
CIFAR = {"dataset": "cifar10"}
FOLDER = {"dataset": "folder", "data_dir": "somewhere"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": "conv7"}, "'conv7'"),
        ({"dataset": "mnist"}, "'mnist'"),
        ({"prune": 1.0}, "prune=1.0"),
        ({"prune": -0.1}, "prune=-0.1"),
        ({"init": "zeros"}, "'zeros'"),
        ({"method": "magic"}, "'magic'"),
        ({"method": "stochastic", "allocation": "global"}, "allocation='global'"),
        ({"method": "stochastic", "ramp_epochs": 1}, "ramp_epochs=1"),
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
        ({"init": "simple_patches", "fan_correction": True}, "fan_correction=True"),
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
        ({"cluster_space": "zca"}, "'raw', 'centred', 'whitened'.*'zca'"),
        ({"filter_space": "zca"}, "'zca'"),
        ({"select": "best"}, "'entropy', 'size', 'random'.*'best'"),
        ({"rest": "patches"}, "rest='patches'"),
        ({"rescale": "lsuv"}, "'none', 'unit_power'.*'lsuv'"),
        ({"patch_layers": 0}, "patch_layers=0"),
        ({"test_fraction": 0.1}, "dataset='digits', test_fraction=0.1"),
        ({"flip": False}, "dataset='digits', flip=False"),
        ({"bad_images": "skip"}, "dataset='digits', bad_images='skip'"),
        ({**FOLDER, "bad_images": "keep"}, "bad_images='keep'"),
        ({**FOLDER, "test_fraction": 1.0}, "test_fraction=1.0"),
        ({"init": "partial_patches", "patch_layers": 1}, "patch_layers=1"),
        ({"init": "simple_patches", "patch_layers": 1}, "patch_layers=1"),
        ({"init": "whitened_patches", "patch_blocks": 1}, "patch_blocks=1"),
        ({"init": "glorot_normal", "rest": "glorot_normal"}, "rest='glorot_normal'"),
        ({"init": "simple_patches", "cluster_space": "raw"}, "cluster_space='raw'"),
        ({"init": "glorot_normal", "filter_space": "raw"}, "filter_space='raw'"),
        ({"init": "simple_patches", "select": "size"}, "select='size'"),
        ({"init": "simple_patches", "signs_only": False}, "signs_only=False"),
    ],
)
def test_refuses_wrong_and_contradictory_values(fields, message):
    with pytest.raises(InputError, match=message):
        Config(**fields).validate()


@pytest.mark.parametrize(
    "fields",
    [
        {"stop_after_epoch": 0},
        {"method": "signed", "allocation": "global", "ramp_epochs": 1},
        {"method": "edge_popup_by_score", "allocation": "global"},
        {"limit_images": 1},
        {"init": "patches", "num_components": 1, "double_from": 1},
        {"init": "partial_patches", "num_components": 64, "double_from": 10},
        {"init": "simple_patches", "num_components": 64},
        {"init": "patches", "patch_layers": 1, "signs_only": True},
        {"init": "kaiming_uniform", "fan_correction": True},
        {"init": "partial_patches", "cluster_space": "raw", "select": "random"},
        {"init": "simple_patches", "rest": "kaiming_normal", "rescale": "unit_power"},
        {"init": "whitened_patches", "filter_space": "centred", "double_from": 2},
        {"init": "signed_constant", "rescale": "unit_power"},
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


@pytest.mark.parametrize(
    ("num_images", "batch_size"),
    [(1, 1), (2, 2), (3, 2), (71, 70), (72, 72), (127, 126), (128, 128), (500, 128)],
)
def test_a_batch_has_at_most_all_images(num_images, batch_size):
    config = Config(**FOLDER, init="kaiming_normal")
    assert resolve(config, num_images).batch_size == batch_size
    given = dataclasses.replace(config, batch_size=200)
    assert resolve(given, num_images).batch_size == 200  # refused later


LARGE = {"num_patches": 100_000, "num_clusters": 1000}
TINY = {"momentum": 0.875, "weight_decay": 1e-5, "batch_size": 256}
GIVEN = {"epochs": 3, "num_patches": 700, "learning_rate": 0.0}
OPEN = dict.fromkeys(("limit_images", "num_components", "double_from", *FAMILY))
DOUBLED = FOLDER | {"double_from": 3}
DRAWN = {"method": "stochastic"}


@pytest.mark.parametrize(
    ("num_images", "fields", "expected"),
    [
        # Deep models have enough clusters for their filters.
        (50_000, CIFAR | {"model": "resnet18"}, LARGE),
        (
            100_000,
            {"model": "resnet18", "dataset": "tiny_imagenet"},
            LARGE | TINY | {"learning_rate": 0.256},
        ),
        (50_000, CIFAR, {"patch_blocks": None}),
        (50_000, CIFAR | {"init": "partial_patches"}, {"patch_blocks": 1}),
        (50_000, CIFAR | {"init": "partial_patches"}, {"num_clusters": 500}),
        (50_000, CIFAR | DRAWN, {"learning_rate": 100, "weight_decay": 0}),
        (50_000, CIFAR | DRAWN | GIVEN, GIVEN),
        (1433, {"method": "signed"}, {"learning_rate": 0.1}),
        (50_000, CIFAR | GIVEN, GIVEN),
        # A small folder offers fewer patches, half as many if they are doubled.
        (40, FOLDER, {"num_patches": 2000, "image_size": 64}),
        (40, DOUBLED, {"num_patches": 1000}),
        (10_000, DOUBLED, {"num_patches": 50_000}),
        (40, DOUBLED | {"num_patches": 2000}, {"num_patches": 2000}),
        (1000, {}, OPEN),
        (1000, {"init": "partial_patches"}, dict.fromkeys(FAMILY)),
        (1000, {"init": "kaiming_normal"}, dict.fromkeys(FAMILY)),
    ],
)
def test_recipes(num_images, fields, expected):
    config = resolve(Config(**fields), num_images)
    assert {name: getattr(config, name) for name in expected} == expected


def test_whitened_patches_stands_for_a_choice_that_can_be_overridden():
    given = Config(model="conv4", dataset="cifar10", init="whitened_patches")
    config = resolve(given, 50_000)
    expected = (None, "signed_constant", "whitened", "whitened", "unit_power")
    assert tuple(getattr(config, name) for name in FAMILY) == expected
    assert (config.num_patches, config.num_clusters) == (50_000, 500)
    others = {
        "patch_layers": 3,
        "rest": "glorot_normal",
        "cluster_space": "raw",
        "filter_space": "centred",
        "rescale": "none",
    }
    config = resolve(dataclasses.replace(given, **others), 50_000)
    assert {name: getattr(config, name) for name in FAMILY} == others


def test_resolving_still_refuses_contradictions_with_the_recipe():
    with pytest.raises(InputError, match="stop_after_epoch=11, epochs=10"):
        resolve(Config(stop_after_epoch=11), 1000)
    with pytest.raises(InputError, match="ramp_epochs=10, epochs=10"):
        resolve(Config(ramp_epochs=10), 1000)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"prune": 0.6},
        {"mixed_precision": True},
        {"jit_compile": True},
        {"epochs": 11},
        {"allocation": "global"},
        {"ramp_epochs": 2},
        {"method": "stochastic"},
        {"limit_images": 500},
        {"validation_images": 500},
        {"num_components": 64},
        {"double_from": 2},
        {"patch_layers": 1},
        {"rest": "kaiming_normal"},
        {"cluster_space": "whitened"},
        {"filter_space": "centred"},
        {"select": "random"},
        {"signs_only": True},
        {"rescale": "unit_power"},
        {"test_fraction": 0.1},
        {"flip": False},
        {},
    ],
    ids=str,
)
def test_a_run_is_what_determines_its_result(change):
    config = resolve(Config(), 1000)
    elsewhere = {"data_dir": "there", "workdir": "there", "strategy": "mirrored"}
    now = {"deterministic": True, "stop_after_epoch": 2, "resume": False}
    now["bad_images"] = "skip"
    changed = dataclasses.replace(config, **elsewhere, **now, **change)
    assert (config.identity() == changed.identity()) is (not change)
    assert (config.run_name("data") == changed.run_name("data")) is (not change)


def test_runs_from_before_some_fields_keep_their_names():
    fields = without_later(Config(model="conv6", prune=0.7, epochs=3).identity())
    assert not {"method", "mask_from", "limit_images", "flip"} & fields.keys()
    fields["ranking"] = "magnitude"
    text = json.dumps([fields, "some images"], sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    name = Config(model="conv6", prune=0.7, epochs=3).run_name("some images")
    assert name == f"conv6-digits-prune0.7-patches-seed0-{digest}"
    assert digest == "a9a764e6"
    assert name != Config(model="conv6", prune=0.7, epochs=3).run_name("others")


@pytest.mark.parametrize("method", ["edge_popup", "edge_popup_by_score", "signed"])
def test_configurations_of_before_are_read_and_keep_their_names(method):
    config = Config(method=method, prune=0.7)
    ranking = "score" if method == "edge_popup_by_score" else "magnitude"
    method = "edge_popup" if ranking == "score" else method
    before = {**config.identity(), "method": method, "ranking": ranking}
    assert Config.from_saved(before) == config
    if method == "edge_popup":
        del before["method"]
    text = json.dumps([without_later(before), "some images"], sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    assert config.run_name("some images").endswith(digest)
    with pytest.raises(InputError, match=r"this program's fields.*\['colour'\]"):
        Config.from_saved({**before, "colour": "blue"})


@pytest.mark.parametrize(
    "field",
    [{"pattern_fraction": 0.5}, {"pattern_scale": "xavier"}, {"fan_correction": True}],
)
def test_options_that_were_removed_are_left_out(field):
    before = {"pattern_fraction": None, "pattern_scale": None, "fan_correction": False}
    config = resolve(Config(model="conv6", prune=0.7), 1000)
    assert Config.from_saved({**config.identity(), **before}) == config
    assert Config.from_saved({**config.identity(), **before, **field}) == config
    used = {} if field == {"pattern_scale": "xavier"} else field
    assert removed_options({**config.identity(), **before, **field}) == used


# What a configuration consisted of when runs got their names.
FIRST = [
    "model",
    "dataset",
    "image_size",
    "prune",
    "ranking",
    "init",
    "fan_correction",
    "num_patches",
    "num_clusters",
    "discriminative_from",
    "patch_blocks",
    "epochs",
    "batch_size",
    "learning_rate",
    "momentum",
    "weight_decay",
    "seed",
    "mixed_precision",
]


def without_later(fields):
    return {
        name: value
        for name, value in fields.items()
        if name in FIRST or value != getattr(Config, name)
    }
