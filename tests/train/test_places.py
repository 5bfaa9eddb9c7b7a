"""Runs whose images stay in a file, and runs whose images come from Python."""

import dataclasses
import json

import numpy as np
import pytest

from tests.train.common import (
    PATTERNS,
    advance,
    assert_same_result,
    run,
    stop_within_the_first_epoch,
)
from tfsupermask import data, runs, train
from tfsupermask._validation import InputError

SMALL = {**PATTERNS, "width": 0.25, "epochs": 1}
SMALL |= {"limit_images": 320, "limit_test_images": 40}


@pytest.fixture(autouse=True)
def every_run_loads_them():
    """Here runs load what they name."""


@pytest.mark.filterwarnings("ignore:The images are decoded")
def test_patterns_and_training_are_the_same_from_memory_and_disk(tmp_path, monkeypatch):
    places = {"images_in": "disk", "cache_dir": str(tmp_path / "cache")}
    advance(tmp_path / "memory", **SMALL)
    run(tmp_path / "disk", **SMALL, **places)
    assert_same_result(tmp_path / "memory", tmp_path / "disk")
    stop_within_the_first_epoch(monkeypatch, tmp_path / "again", **SMALL, **places)
    # It goes on from memory: where images are is no part of what a run is.
    advance(tmp_path / "again", strategy="mirrored", **SMALL)
    assert_same_result(tmp_path / "memory", tmp_path / "again")


def test_a_run_takes_images_from_python(tmp_path):
    digits = data.load("digits")
    config = runs.Config(
        workdir=str(tmp_path / "given"),
        init="kaiming_normal",
        batch_size=32,
        epochs=1,
        limit_images=64,
        width=0.25,
    )
    images = [
        (split.images[..., 0], split.labels) for split in (digits.train, digits.test)
    ]
    summary = train.run(config, dataset=images)
    assert summary["test_images"] == len(digits.test)
    description = json.loads((tmp_path / "given/config.json").read_text())
    assert description["config"]["dataset"] == "given"
    loaded = train.load_run(tmp_path / "given")
    assert loaded.class_names == tuple("0123456789")
    with pytest.raises(InputError, match="come from Python"):
        train.load_images(loaded.config)
    config = dataclasses.replace(config, workdir=str(tmp_path / "named"))
    train.run(config, dataset=digits)
    description = json.loads((tmp_path / "named/config.json").read_text())
    assert description["config"]["dataset"] == "digits"


def test_given_images_that_may_be_mirrored_make_another_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    digits = data.load("digits")
    images = [(s.images[:16], s.labels[:16]) for s in (digits.train, digits.test)]
    fields = {"init": "kaiming_normal", "width": 0.25, "batch_size": 8, "epochs": 1}
    config = runs.Config(**fields, stop_after_epoch=0)
    train.run(config, dataset=images)
    train.run(dataclasses.replace(config, flip=False), dataset=images)
    train.run(config, dataset=data.from_examples(*images, flip=False))
    found = [train.load_run(path).config.flip for path in (tmp_path / "runs").iterdir()]
    assert sorted(found) == [False, True]


def test_resized_crops_smoothed_labels_and_a_warmup_train(tmp_path):
    options = {"crop": "resized", "label_smoothing": 0.1, "warmup_epochs": 1}
    fields = {"init": "kaiming_normal", "batch_size": 32, "limit_images": 64}
    summary = run(tmp_path, **fields, **options, epochs=2, width=0.25)
    assert np.isfinite(summary["train_loss"])
    rows = (tmp_path / "metrics.csv").read_text().splitlines()
    rate = rows[0].split(",").index("learning_rate")
    assert float(rows[1].split(",")[rate]) == pytest.approx(0.1)
    assert float(rows[2].split(",")[rate]) == pytest.approx(0, abs=1e-6)


@pytest.mark.filterwarnings("ignore:The images are decoded")
def test_images_from_python_are_where_the_config_says(tmp_path):
    digits = data.load("digits")
    split = digits.train.images[:40], digits.train.labels[:40]
    places = {"images_in": "disk", "cache_dir": str(tmp_path / "cache")}
    fields = {"init": "kaiming_normal", "width": 0.25, "batch_size": 8, "epochs": 1}
    configs = [
        runs.Config(workdir=str(tmp_path / name), **fields, **where)
        for name, where in (("memory", {}), ("disk", places))
    ]
    for config in configs:
        train.run(config, dataset=(split, split, split))
    assert_same_result(tmp_path / "memory", tmp_path / "disk")
    assert (tmp_path / "cache").is_dir()


@pytest.mark.parametrize(
    ("given", "message"),
    [(7, "'int'"), ("digits", "'str'"), ({"train": 1}, "'dict'"), ((1,), "length=1")],
)
def test_refuses_what_are_no_images(given, message):
    with pytest.raises(InputError, match=rf"`dataset` must be a `Dataset`.*{message}"):
        train.run(runs.Config(), dataset=given)


def test_a_name_that_does_not_say_all_is_not_kept(tmp_path):
    digits = data.load("digits")
    some = dataclasses.replace(digits, train=digits.train[:16], test=digits.test[:8])
    for name, expected in (("folder", "given"), ("tfds:mnist", "given")):
        config = runs.Config(
            workdir=str(tmp_path / name.replace(":", "-")),
            init="kaiming_normal",
            width=0.25,
            batch_size=8,
            epochs=1,
            stop_after_epoch=0,
        )
        train.run(config, dataset=dataclasses.replace(some, name=name))
        assert train.load_run(config.workdir).config.dataset == expected
    config = dataclasses.replace(
        config, dataset="tfds:mnist", workdir=str(tmp_path / "named")
    )
    train.run(config, dataset=dataclasses.replace(some, name="tfds:mnist"))
    assert train.load_run(config.workdir).config.dataset == "tfds:mnist"
