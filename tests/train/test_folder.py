import dataclasses
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.train.common import run
from tfsupermask import data, runs, train
from tfsupermask._validation import InputError
from tfsupermask.train.load import load_images


@pytest.fixture(scope="module")
def every_run_loads_them():
    """Here runs load what they name."""


@pytest.fixture
def folder(tmp_path):
    """Two classes of training, validation and test images, and a bad one."""
    for value, name in enumerate(("train", "Valid", "test")):
        for number in range(20 if name == "train" else 4):
            path = tmp_path / "images" / name / "ab"[number % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image = np.full((8, 8, 3), 50 * value + number, np.uint8)
            cv2.imencode(".png", image)[1].tofile(path)
    (tmp_path / "images" / "train" / "a" / "bad.png").touch()
    images = {
        "dataset": "folder",
        "data_dir": str(tmp_path / "images"),
        "image_size": 8,
    }
    images |= {"bad_images": "skip", "flip": False}
    return images | {"init": "kaiming_normal", "epochs": 1}


@pytest.mark.filterwarnings("ignore:.*skipped")
def test_chooses_by_the_validation_images_of_a_folder(folder, tmp_path):
    summary = run(tmp_path / "run", **folder)
    images = [summary[f"{name}_images"] for name in ("train", "validation", "test")]
    assert images == [20, 4, 4]
    assert run(tmp_path / "run", **folder) == summary
    config = train.load_run(tmp_path / "run").config
    assert (config.validation_images, config.batch_size) == (4, 20)
    assert (config.bad_images, config.flip) == ("skip", False)
    again = load_images(config)
    assert [len(again.train), len(again.validation)] == [20, 4]
    assert again.horizontal_flip is False
    with pytest.raises(InputError, match=r"of its own.*validation_images=3, found=4"):
        run(tmp_path / "other", **folder, validation_images=3)


@pytest.mark.filterwarnings("ignore:.*skipped")
@pytest.mark.parametrize("limit_images", [20, 5])
def test_a_run_finds_its_own_part_of_a_folder_again(folder, tmp_path, limit_images):
    bad = Path(folder["data_dir"], "train", "a", "bad.png")
    bad.rename(bad.with_name("-.png"))  # before all others
    with train.Job.open(
        runs.Config(**folder, limit_images=limit_images, workdir=str(tmp_path / "run"))
    ) as job:
        first = job.dataset
    again = load_images(train.load_run(tmp_path / "run").config)
    assert again.sha256 == first.sha256
    assert len(again.train) == limit_images
    assert np.ptp(np.bincount(again.train.labels)) <= 1


@pytest.mark.filterwarnings("ignore:.*skipped")
def test_validation_images_are_held_out_of_all(folder):
    shutil.rmtree(Path(folder["data_dir"], "Valid"))
    config = runs.Config(**folder, validation_images=4, limit_images=10)
    part = load_images(config)
    whole = load_images(dataclasses.replace(config, limit_images=None))
    assert [len(part.train), len(part.validation)] == [10, 4]
    np.testing.assert_array_equal(part.validation.images, whole.validation.images)


@pytest.mark.filterwarnings("ignore:.*skipped")
def test_of_a_folder_no_more_is_read_than_asked_for(folder, monkeypatch):
    with pytest.raises(InputError, match=r"the 20 training .*limit_images=21"):
        load_images(runs.Config(**folder, limit_images=21))  # of good images
    Path(folder["data_dir"], "train", "a", "bad.png").unlink()
    config = runs.Config(**{**folder, "bad_images": "fail"})
    expected = data.limit(load_images(config), 5)
    read, decode = [], cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", lambda *all: read.append(1) or decode(*all))
    part = load_images(dataclasses.replace(config, limit_images=5))
    assert len(read) == 5 + 4 + 4
    assert part.sha256 == expected.sha256
    with pytest.raises(InputError, match=r"the 20 training .*limit_images=21"):
        load_images(dataclasses.replace(config, limit_images=21))
