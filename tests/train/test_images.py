import json

import numpy as np
import pytest

from tests.train.common import PATTERNS, run
from tfsupermask import data, runs, train
from tfsupermask._validation import InputError
from tfsupermask.train.load import load_images

FIELDS = {**PATTERNS, "epochs": 1}


def test_trains_on_a_part_of_the_images(small, tmp_path):
    limited = runs.Config(**FIELDS, limit_images=70)
    images = load_images(limited).train
    assert np.bincount(images.labels).tolist() == [7] * 10
    summary = run(tmp_path, **FIELDS, limit_images=70)
    description = json.loads((tmp_path / "config.json").read_text())
    part = data.limit(small, 70)
    assert description["config"]["limit_images"] == 70
    assert description["data"]["sha256"] == part.sha256
    np.testing.assert_array_equal(np.float32(description["data"]["mean"]), part.mean)
    layers = json.loads((tmp_path / "init.json").read_text())["layers"]
    assert max(image for layer in layers for image in layer["image"]) < 70
    totals = train.evaluate_path(tmp_path, small)
    assert totals.images == 99
    assert totals.means("test_")["test_top1"] == summary["test_top1"]
    for other in (None, 71):
        with pytest.raises(InputError, match="limit_images=70"):
            run(tmp_path, **FIELDS, limit_images=other)


def test_chooses_by_images_held_out(small, tmp_path):
    fields = {"validation_images": 50, "limit_images": 70}
    summary = run(tmp_path, **FIELDS, **fields)
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


@pytest.mark.parametrize(
    ("limit_images", "message"),
    [
        (40, r"each of 40 images.*num_patches=2000"),
        (321, r"the 320 training images.*limit_images=321"),
    ],
)
def test_refuses_numbers_of_images(tmp_path, limit_images, message):
    fields = {**FIELDS, "num_patches": 2000, "limit_images": limit_images}
    with pytest.raises(InputError, match=message):
        run(tmp_path / "run", **fields)
    assert (tmp_path / "run").exists() is (limit_images == 40)


def test_small_images_offer_as_many_patches_as_the_default_takes(tmp_path):
    fields = {**FIELDS, "num_patches": None, "limit_images": 40}
    run(tmp_path, **fields, stop_after_epoch=0)
    assert train.load_run(tmp_path).config.num_patches == 40 * 6 * 6


def test_images_come_from_where_they_are_asked_for(small, monkeypatch):
    asked = []

    def load(*arguments, **options):
        asked.append((*arguments, options))
        return small

    places = {"images_in": "auto", "cache_dir": None}
    options = {"test_fraction": 0.2, "flip": True, "bad_images": "fail"}
    options |= {"limit_images": None, "limit_test_images": None, **places}

    config = runs.Config(dataset="folder", data_dir="there", image_size=8)
    assert load_images(config, load=load) is small
    assert load_images(config, "elsewhere", load) is small
    monkeypatch.setattr(data, "load", load)
    assert load_images(runs.Config()) is small
    assert asked == [
        ("folder", "there", 8, options),
        ("folder", "elsewhere", 8, options),
        ("digits", None, None, places),
    ]
