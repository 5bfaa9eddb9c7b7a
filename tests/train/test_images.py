import json

import numpy as np
import pytest

from tfsupermask import data, runs, train
from tfsupermask._validation import InputError
from tfsupermask.runs.folder import fingerprint
from tfsupermask.train.load import load_images

FIELDS = {"batch_size": 32, "epochs": 1, "num_patches": 1000, "num_clusters": 80}


def run(workdir, **fields):
    return train.run(runs.Config(workdir=str(workdir), **{**FIELDS, **fields}))


def test_trains_on_a_part_of_the_images(small, tmp_path):
    limited = runs.Config(**FIELDS, limit_images=70)
    images = load_images(limited).train
    assert np.bincount(images.labels).tolist() == [7] * 10
    summary = run(tmp_path, limit_images=70)
    description = json.loads((tmp_path / "config.json").read_text())
    part = data.limit(small, 70)
    assert description["config"]["limit_images"] == 70
    assert description["data"]["sha256"] == fingerprint(part)
    np.testing.assert_array_equal(np.float32(description["data"]["mean"]), part.mean)
    assert max(image_numbers(tmp_path)) < 70
    totals = train.evaluate_path(tmp_path, small)
    assert totals.images == 99
    assert totals.means("test_")["test_top1"] == summary["test_top1"]
    for other in (None, 71):
        with pytest.raises(InputError, match="limit_images=70"):
            run(tmp_path, limit_images=other)


def test_chooses_by_images_held_out(small, tmp_path):
    fields = {"validation_images": 50, "limit_images": 70}
    summary = run(tmp_path, **fields)
    assert (summary["train_images"], summary["validation_images"]) == (70, 50)
    held = data.hold_out(small, 50)
    loaded = load_images(runs.Config(**FIELDS, **fields))
    np.testing.assert_array_equal(loaded.validation.images, held.validation.images)
    np.testing.assert_array_equal(
        loaded.train.images, data.limit(held, 70).train.images
    )
    model = train.load_run(tmp_path)
    totals = train.evaluate(
        lambda images: model.model(model.normalise(images)), loaded.validation
    )
    assert totals.means("")["top1"] == summary["validation_top1"]


def image_numbers(workdir):
    """Which images the patterns of a run come from."""
    layers = json.loads((workdir / "init.json").read_text())["layers"]
    return {image for layer in layers for image in layer["image"]}


def test_default_number_of_patches_is_what_the_images_left_could_offer(tmp_path):
    with pytest.raises(InputError, match=r"each of 40 images.*num_patches=2000"):
        run(tmp_path, limit_images=40, num_patches=None)


def test_more_images_than_there_are_make_no_folder(tmp_path):
    with pytest.raises(InputError, match=r"the 320 training images.*limit_images=321"):
        run(tmp_path / "run", limit_images=321)
    assert not (tmp_path / "run").exists()


def test_images_come_from_where_they_are_asked_for(small, monkeypatch):
    asked = []

    def load(*arguments):
        asked.append(arguments)
        return small

    config = runs.Config(dataset="folder", data_dir="there", image_size=8)
    assert load_images(config, load=load) is small
    assert load_images(config, "elsewhere", load) is small
    monkeypatch.setattr(data, "load", load)
    assert load_images(runs.Config()) is small
    assert asked == [
        ("folder", "there", 8),
        ("folder", "elsewhere", 8),
        ("digits", None, None),
    ]
