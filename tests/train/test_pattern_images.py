"""Runs whose patterns come from images without labels."""

import dataclasses

import cv2
import numpy as np
import pytest

from tests.train.common import PATTERNS, advance, assert_same_result, run
from tfsupermask import data, runs, train
from tfsupermask._reading import read_json
from tfsupermask._validation import InputError

FEW = {**PATTERNS, "width": 0.25, "limit_images": 64, "stop_after_epoch": 0}


@pytest.fixture(autouse=True)
def every_run_loads_them():
    """Here runs load what they name, or get it from the test."""


def patterns(workdir):
    report = read_json(runs.RunFolder(workdir).init_report)
    return [layer["image"] for layer in report["layers"]]


def test_patterns_from_all_images_need_no_labels(tmp_path):
    digits = data.load("digits")
    few = data.limit(digits, 64)
    given = dataclasses.replace(few, unlabelled=digits.train.images)
    advance(tmp_path / "few", **FEW)
    advance(tmp_path / "all", **FEW, pattern_images="all")
    train.run(runs.Config(workdir=str(tmp_path / "given"), **FEW), dataset=given)
    assert max(map(max, patterns(tmp_path / "few"))) < 64
    assert max(map(max, patterns(tmp_path / "all"))) >= 64
    assert_same_result(tmp_path / "all", tmp_path / "given")


def test_a_folder_and_an_array_give_the_same_patterns(tmp_path):
    digits = data.load("digits")
    images = digits.test.images[:80]
    for number, image in enumerate(images):
        path = tmp_path / "images" / str(number % 3) / f"{number:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image[..., ::-1])
    advance(tmp_path / "folder", **FEW, pattern_images=str(tmp_path / "images"))
    config = runs.Config(workdir=str(tmp_path / "array"), **FEW)
    by_path = [images[start::3] for start in range(3)]
    given = dataclasses.replace(digits, unlabelled=np.concatenate(by_path))
    train.run(config, dataset=given)
    assert patterns(tmp_path / "folder") == patterns(tmp_path / "array")
    resolved = train.load_run(tmp_path / "array").config
    assert (resolved.select, resolved.pattern_images) == ("random", "given")
    assert resolved.dataset == "given"
    (tmp_path / "images").rename(tmp_path / "moved")
    config = train.load_run(tmp_path / "folder").config
    assert len(train.load_images(config, patterns=False).test) == 364
    moved = {**vars(config), "pattern_images": str(tmp_path / "moved")}
    assert advance(**moved) == 0


def test_runs_without_patterns_take_the_same_images(tmp_path):
    few = data.limit(data.load("digits"), 64)
    given = dataclasses.replace(few, unlabelled=few.test.images)
    fields = {"width": 0.25, "batch_size": 32, "epochs": 1, "stop_after_epoch": 0}
    for name, others in {
        "random": {"init": "kaiming_normal"},
        "fixed": {"method": "fixed", "mask_from": str(tmp_path / "random")},
    }.items():
        config = runs.Config(workdir=str(tmp_path / name), **fields, **others)
        train.run(config, dataset=given)
        assert train.load_run(tmp_path / name).config.pattern_images == "train"
    with pytest.raises(InputError, match=r"left out.*pattern_images='all'"):
        train.load_images(
            runs.Config(pattern_images="all"), load=lambda *_, **__: given
        )


def test_bad_files_of_a_folder_may_be_skipped_whatever_the_dataset(tmp_path):
    for name in "ab":
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "c.png").write_bytes(b"no image")
    config = runs.Config(pattern_images=str(tmp_path))
    with pytest.raises(InputError, match="--bad_images=skip"):
        train.load_images(config)
    with pytest.warns(UserWarning, match="skipped"):
        images = train.load_images(dataclasses.replace(config, bad_images="skip"))
    assert len(images.unlabelled) == 2


def test_refuses_what_needs_labels_and_folders_without_images(tmp_path):
    for fields in (
        {"select": "entropy"},
        {"select": "linear"},
        {"discriminative_from": 2},
    ):
        with pytest.raises(InputError, match="needs labels"):
            runs.Config(pattern_images="all", **fields).validate()
        with pytest.raises(InputError, match="needs labels"):
            runs.resolve(runs.Config(pattern_images="given", **fields), 100)
    with pytest.raises(InputError, match="must hold images"):
        run(tmp_path / "run", **FEW, pattern_images=str(tmp_path))
    for nowhere in (str(tmp_path / "nowhere"), "given"):
        with pytest.raises(InputError, match="train, all or a folder"):
            run(tmp_path / "run", **FEW, pattern_images=nowhere)
    assert not (tmp_path / "run").exists()
