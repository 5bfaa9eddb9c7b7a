import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from tfsupermask._validation import InputError
from tfsupermask.runs import Config, resolve
from tfsupermask.runs.config import removed_options

FAMILY = ("patch_layers", "rest", "cluster_space", "filter_space", "rescale")
CIFAR = {"dataset": "cifar10"}
FOLDER = {"dataset": "folder", "data_dir": "somewhere"}
FIXED = {"method": "fixed", "mask_from": "somewhere"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": "conv7"}, "'conv7'"),
        ({"dataset": "mnist"}, "'mnist'"),
        ({"width": 0.0}, r"greater than.*width=0\.0"),
        ({"width": 200.0}, r"at most 100.*width=200\.0"),
        ({"affine_norm": True}, "resnet50 and vgg16 only.*'conv2', affine_norm=True"),
        ({"model": "vgg16", "affine_norm": "yes"}, "affine_norm='yes'"),
        ({"whole_layers": ""}, "separated by commas.*whole_layers=''"),
        ({"whole_layers": "first,,last"}, "whole_layers='first,,last'"),
        ({"whole_layers": 1}, "whole_layers=1"),
        ({"pattern_images": " "}, "not be empty.*pattern_images=' '"),
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
        ({"workdir": "gs://a/run"}, "on this machine.*workdir='gs://a/run'"),
        ({"workdir": "runs/lr=[0.1]"}, r"without .*workdir='runs/lr=\[0\.1\]'"),
        ({"strategy": "tpu"}, "'tpu'"),
        ({"epochs": 3, "stop_after_epoch": 5}, "stop_after_epoch=5, epochs=3"),
        ({"deterministic": True, "jit_compile": True}, "jit_compile=True"),
        ({"init": "glorot_normal", "num_patches": 100}, "num_patches=100"),
        ({"init": "simple_patches", "num_clusters": 100}, "num_clusters=100"),
        ({"init": "simple_patches", "discriminative_from": 1}, "discriminative_from=1"),
        ({"select": "size", "discriminative_from": 1}, "select='size', discrim"),
        ({"select": "linear", "discriminative_from": 1}, "select='linear', discrim"),
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
        ({"select": "best"}, "'entropy', 'linear', 'size', 'random'.*'best'"),
        ({"rest": "patches"}, "rest='patches'"),
        ({"rescale": "lsuv"}, "'none', 'unit_power'.*'lsuv'"),
        ({"patch_layers": 0}, "patch_layers=0"),
        ({"test_fraction": 0.1}, "dataset='digits', test_fraction=0.1"),
        ({"flip": False}, "dataset='digits', flip=False"),
        ({"bad_images": "skip"}, "dataset='digits', bad_images='skip'"),
        ({"bad_images": "skip", "pattern_images": "all"}, "pattern_images='all'"),
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
        ({"method": "dense", "prune": 0.7}, "edge_popup.*method='dense', prune=0.7"),
        ({"method": "dense", "allocation": "global"}, "allocation='global'"),
        ({"method": "dense", "ramp_epochs": 2}, "ramp_epochs=2"),
        (
            {"method": "dense", "init": "glorot_normal", "fan_correction": True},
            "takes `prune`.*method='dense', fan_correction=True",
        ),
        ({"method": "fixed"}, r"needs `mask_from`, a run.*mask_from=None"),
        (FIXED | {"prune": 0.7}, "prune=0.7"),
        (FIXED | {"allocation": "erdos_renyi"}, "allocation='erdos_renyi'"),
        (FIXED | {"ramp_epochs": 2}, "ramp_epochs=2"),
        (FIXED | {"prune_rest": 1.0}, r"prune_rest=1\.0"),
        (FIXED | {"prune_rest": -0.1}, r"prune_rest=-0\.1"),
        (
            FIXED | {"init": "kaiming_normal"},
            "to `weights_from` 'init' only.*init='kaiming_normal', weights_from=None",
        ),
        (
            FIXED | {"init": "kaiming_normal", "weights_from": "there"},
            "init='kaiming_normal', weights_from='there'",
        ),
        (
            FIXED | {"init": "given", "weights_from": "init"},
            "must be one of patches, .*, as nothing gives weights.*init='given'",
        ),
        ({"init": "given"}, "as nothing gives weights.*init='given'"),
        ({"mask_from": "there"}, "`method` fixed only.*mask_from='there'"),
        ({"prune_rest": 0.2}, r"prune_rest=0\.2"),
        ({"weights_from": "init"}, "weights_from='init'"),
        ({"redraw_steps": 100}, "`method` iterand only.*redraw_steps=100"),
        ({"method": "iterand", "redraw_steps": 0}, "redraw_steps=0"),
        ({"dataset": ["digits"]}, r"must be one of 'digits', .*dataset=\['digits'\]"),
        ({"data_dir": 5}, "`data_dir` must be a text.*data_dir=5"),
        ({"workdir": 5}, "`workdir` must be a text.*workdir=5"),
        ({"jit_compile": "no"}, "one of False, True.*jit_compile='no'"),
        ({"ramp_epochs": None}, "ramp_epochs=None"),
        ({"optimizer": "rmsprop"}, "'sgd', 'adam'.*optimizer='rmsprop'"),
        ({"optimizer": "adam", "momentum": 0.9}, r"`optimizer` sgd.*momentum=0\.9"),
    ],
)
def test_refuses_wrong_and_contradictory_values(fields, message):
    with pytest.raises(InputError, match=message) as caught:
        Config(**fields).validate()
    assert str(caught.value).count(" Received: ") == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"stop_after_epoch": 0},
        {"model": "resnet18", "width": 100, "affine_norm": True},
        {"model": "vgg16", "affine_norm": True, "whole_layers": "block1_*, last"},
        {"method": "stochastic", "whole_layers": "first"},
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
        {"method": "dense", "init": "kaiming_normal", "optimizer": "adam"},
        {"method": "magnitude", "allocation": "global", "ramp_epochs": 1},
        {"method": "biprop", "allocation": "erdos_renyi"},
        {"method": "iterand", "redraw_steps": 1, "ramp_epochs": 2},
        FIXED,
        FIXED | {"init": "given", "rescale": "unit_power"},
        FIXED | {"weights_from": "elsewhere", "prune_rest": 0.2},
        FIXED | {"weights_from": "init", "init": "kaiming_normal"},
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
IN_FOUR_BLOCKS = {"init": "partial_patches", "patch_blocks": 4}
TINY = {"momentum": 0.875, "weight_decay": 1e-5, "batch_size": 256}
GIVEN = {"epochs": 3, "num_patches": 700, "learning_rate": 0.0}
OPEN = dict.fromkeys(("limit_images", "num_components", "double_from", *FAMILY))
DOUBLED = FOLDER | {"double_from": 3}
DRAWN = {"method": "stochastic"}
DENSE = {"learning_rate": 0.01, "redraw_steps": None}
DRAW = {"weights_from": "init"}
PATCHES = {"num_patches": 50_000, "num_clusters": 500}
ITERAND = {"method": "iterand", "redraw_steps": 20}
ADAM = {"optimizer": "adam"}
ADAMS = {"learning_rate": 2e-4, "momentum": None, "weight_decay": 0}


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
        # So do wide ones, and Conv8 with its 512 filters.
        (50_000, CIFAR | {"model": "conv8"}, LARGE),
        (1433, {"model": "conv8"}, {"num_patches": 22_928, "num_clusters": 1000}),
        # Images of 32 pixels leave maps of 4×4 and of 2×2 to the last convolutions.
        (1433, {"model": "resnet18"}, {"num_patches": 22_928}),
        (1433, {"model": "vgg16"}, {"num_patches": 5732}),
        (1433, {"model": "vgg16", "init": "simple_patches"}, {"num_patches": 5732}),
        (1433, {"model": "vgg16", "patch_layers": 2}, {"num_patches": 71_650}),
        (1433, {"model": "conv8", "patch_layers": 8}, {"num_patches": 22_928}),
        (1433, {"model": "conv8"} | IN_FOUR_BLOCKS, {"num_patches": 22_928}),
        (50_000, CIFAR | {"model": "conv6", "width": 2.0}, LARGE),
        (50_000, CIFAR | {"width": 1.001}, {"num_clusters": 501}),
        (50_000, CIFAR | {"width": 0.5}, {"num_patches": 50_000, "num_clusters": 500}),
        (50_000, CIFAR, {"patch_blocks": None}),
        (50_000, CIFAR | {"init": "partial_patches"}, {"patch_blocks": 1}),
        (50_000, CIFAR | {"init": "partial_patches"}, {"num_clusters": 500}),
        (50_000, CIFAR | DRAWN, {"learning_rate": 100, "weight_decay": 0}),
        (50_000, CIFAR | DRAWN | GIVEN, GIVEN),
        (1433, {"method": "signed"}, {"learning_rate": 0.1}),
        (50_000, CIFAR | GIVEN, GIVEN),
        # A small folder offers fewer patches, half as many if they are doubled.
        (40, FOLDER, {"num_patches": 2000, "image_size": 64}),
        (5, FOLDER, {"num_patches": 250, "num_clusters": 250}),
        (50_000, CIFAR | {"num_patches": 100}, {"num_clusters": 100}),
        (40, {"model": "resnet18"}, {"num_patches": 640, "num_clusters": 640}),
        (40, DOUBLED, {"num_patches": 1000}),
        (40, FOLDER | {"image_size": 8}, {"num_patches": 1440}),  # of 6×6 positions
        (40, FOLDER | {"image_size": 9, "patch_layers": 1}, {"num_patches": 1960}),
        (10_000, DOUBLED, {"num_patches": 50_000}),
        (40, DOUBLED | {"num_patches": 2000}, {"num_patches": 2000}),
        (1000, {}, OPEN),
        (1000, {"init": "partial_patches"}, dict.fromkeys(FAMILY)),
        (1000, {"init": "kaiming_normal"}, dict.fromkeys(FAMILY)),
        *[
            (50_000, dataset | {"method": method}, DENSE)
            for dataset in (CIFAR, FOLDER, {"dataset": "tiny_imagenet"})
            for method in ("dense", "magnitude", "magnitude_straight_through")
        ],
        (50_000, CIFAR | FIXED, DENSE | {"init": "given", "num_patches": None}),
        (50_000, CIFAR | FIXED | DRAW, DENSE | {"init": "patches"} | PATCHES),
        (50_000, CIFAR | {"method": "dense"} | GIVEN, GIVEN),
        (50_000, CIFAR | {"method": "biprop"}, {"learning_rate": 0.1}),
        (50_000, CIFAR | {"method": "iterand"}, {"redraw_steps": 300}),
        (50_000, CIFAR | ITERAND, ITERAND | {"learning_rate": 0.1}),
        (50_000, CIFAR, {"redraw_steps": None, "ramp_epochs": 0}),
        (50_000, CIFAR | ADAM, ADAMS),
        (50_000, CIFAR | ADAM | {"method": "dense"}, ADAMS),
        (50_000, CIFAR | ADAM | {"method": "stochastic"}, ADAMS),
        (50_000, ADAM | GIVEN, GIVEN | {"momentum": None}),
        # The sparsity rises over half of the epochs.
        (50_000, CIFAR | {"method": "magnitude"}, {"ramp_epochs": 50}),
        (1000, {"method": "magnitude_straight_through"}, {"ramp_epochs": 5}),
        (1000, {"method": "magnitude", "epochs": 3}, {"ramp_epochs": 1}),
        (1000, {"method": "magnitude", "epochs": 1}, {"ramp_epochs": 0}),
        (1000, {"method": "magnitude", "ramp_epochs": 9}, {"ramp_epochs": 9}),
        (1000, {"method": "dense"}, {"ramp_epochs": 0}),
    ],
)
def test_recipes(num_images, fields, expected):
    config = resolve(Config(**fields), num_images)
    assert {name: getattr(config, name) for name in expected} == expected
    assert resolve(config, num_images) == config
    assert Config.from_saved(dataclasses.asdict(config)) == config


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
        {"width": 0.5},
        {"affine_norm": True},
        {"whole_layers": "first"},
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
        {"optimizer": "adam"},
        {"method": "dense"},
        {"method": "fixed", "mask_from": "there"},
        {"method": "iterand", "redraw_steps": 20},
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
    fields = Config(model="conv6", prune=0.7, epochs=3).identity()
    assert (fields.pop("allocation"), fields.pop("ramp_epochs")) == ("uniform", 0)
    assert fields.pop("jit_compile") is False
    assert fields.pop("method") == "edge_popup"
    assert (fields.pop("test_fraction"), fields.pop("flip")) == (0.2, True)
    fields["ranking"] = "magnitude"
    for later in ("limit_images", "validation_images", "num_components", "double_from"):
        assert fields.pop(later) is None
    for later in ("whole_layers", "train_split", "test_split", "crop"):
        assert fields.pop(later) is None
    for later in ("warmup_epochs", "label_smoothing", "limit_test_images"):
        assert fields.pop(later) is None
    assert fields.pop("pattern_images") == "train"
    assert fields.pop("passes_per_epoch") == 1
    assert (fields.pop("width"), fields.pop("affine_norm")) == (1.0, False)
    for later in ("mask_from", "weights_from", "redraw_steps"):
        assert fields.pop(later) is None
    assert (fields.pop("prune_rest"), fields.pop("optimizer")) == (0, "sgd")
    for later in ("select", "signs_only", *FAMILY):
        assert fields.pop(later) is None
    text = json.dumps([fields, "some images"], sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    name = Config(model="conv6", prune=0.7, epochs=3).run_name("some images")
    assert name == f"conv6-digits-prune0.7-patches-seed0-{digest}"
    assert digest == "a9a764e6"
    assert name != Config(model="conv6", prune=0.7, epochs=3).run_name("others")


@pytest.mark.parametrize(
    ("fields", "start"),
    [
        ({"method": "dense"}, "conv2-digits-dense-patches-seed0-"),
        (FIXED, "conv2-digits-fixed-given-seed0-"),
        (FIXED | DRAW, "conv2-digits-fixed-patches-seed0-"),
        ({"method": "magnitude", "prune": 0.9}, "conv2-digits-prune0.9-patches-seed0-"),
        ({"method": "biprop"}, "conv2-digits-prune0.5-patches-seed0-"),
    ],
)
def test_names_say_what_is_removed_or_why_that_is_not_given(fields, start):
    assert resolve(Config(**fields), 1000).run_name("data").startswith(start)


@pytest.mark.parametrize(
    "field",
    [
        {"mask_from": "elsewhere"},
        {"prune_rest": 0.2},
        {"weights_from": "there"},
        {"weights_from": "init"},
    ],
)
def test_where_masks_and_weights_come_from_is_part_of_a_run(field):
    one, other = (resolve(Config(**FIXED | each), 1000) for each in ({}, field))
    assert one.identity() != other.identity()
    assert one.run_name("data") != other.run_name("data")


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


def test_an_option_that_never_had_an_effect_does_not_keep_a_run_from_loading():
    config = Config(select="size")
    before = {**config.identity(), "discriminative_from": 2}
    assert Config.from_saved(before) == config


def test_images_of_another_size_offer_fewer_patches():
    config = Config(model="vgg16", dataset="tfds:mnist")
    assert resolve(config, 60_000).num_patches == 100_000
    assert resolve(config, 60_000, side=28).num_patches == 60_000


def test_whole_numbers_name_the_same_run_as_fractions():
    whole = Config(prune=0, learning_rate=1, weight_decay=0, width=2)
    same = Config(prune=0.0, learning_rate=1.0, weight_decay=0.0, width=2.0)
    assert whole.run_name("") == same.run_name("")
    assert type(whole.prune) is float


def test_paths_and_numbers_of_numpy_are_those_of_json():
    values = {"workdir": Path("a/b"), "seed": np.int64(3), "flip": np.bool_(True)}
    config = Config(**values, width=np.float64(0.5)).validate()
    assert config == Config(workdir="a/b", seed=3, flip=True, width=0.5)
    saved = json.loads(json.dumps(dataclasses.asdict(config)))
    assert Config.from_saved(saved) == config
