import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tfsupermask import data, init, runs, train

ROOT = Path(__file__).parents[2]
NAMES = [
    "Kaiming normal",
    "signed constant",
    "PatchesInit",
    "PatchesInit, unit power",
    "centred",
    "whitened",
    "whitened, unit power",
    "whitened first layer, rest signed constant, unit power",
]
WHITENED = {
    "init": "patches",
    "cluster_space": "whitened",
    "filter_space": "whitened",
    "rest": "kaiming_normal",
    "num_patches": 2000,
    "num_clusters": 200,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("diversity") / "new"
    flags = ["--quick", "--model=conv2", f"--output={folder}"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.diversity", *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "diversity.md").read_text().splitlines()[-1] in done.stdout
    return folder


@pytest.fixture
def layers(folder):
    return json.loads((folder / "diversity.json").read_text())["layers"]


def test_all_initialisations_are_measured(layers):
    assert list(layers) == NAMES
    for each in layers.values():
        assert [layer["layer"] for layer in each] == ["conv1", "conv2"]


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("signed constant", {"init": "signed_constant"}),
        ("whitened, unit power", {**WHITENED, "rescale": "unit_power"}),
    ],
)
def test_the_figures_are_those_of_a_run(layers, tmp_path, name, fields):
    where = {"workdir": str(tmp_path), "strategy": "single"}
    with train.Job.open(runs.Config(model="conv2", **where, **fields)):
        pass
    run = train.load_run(tmp_path)
    images = data.limit(data.load("digits"), 50).train.images
    found = init.diagnose(run.model, images, run.normalise)
    for layer, expected in zip(layers[name], found[:2], strict=True):
        assert layer.pop("layer") == expected.layer
        for figure, value in layer.items():
            assert value == pytest.approx(getattr(expected, figure), rel=1e-3), figure


def test_unit_power_changes_the_scale_alone(layers):
    for name in ("PatchesInit", "whitened"):
        rescaled = layers[f"{name}, unit power"]
        for before, after in zip(layers[name], rescaled, strict=True):
            assert after["output_scale"] == pytest.approx(1, abs=0.1)
            assert before.pop("output_scale") < 0.7
            del after["output_scale"], before["layer"], after["layer"]
            assert after == pytest.approx(before, rel=1e-3)


def test_whitening_is_what_makes_filters_differ(layers):
    def last(name):
        return layers[name][-1]

    assert last("centred")["cosine"] > 3 * last("whitened")["cosine"]
    assert last("PatchesInit")["output_rank"] < last("whitened")["output_rank"] / 1.5


@pytest.mark.parametrize(("name", "least"), [("diversity", 0.01), ("filters", 0.05)])
def test_both_halves_of_a_picture_show_something(folder, name, least):
    path = folder / f"{name}.png"
    picture = cv2.imread(str(path))
    height, width, _ = picture.shape
    assert min(height, width) > 600
    for half in (picture[: height // 2], picture[height // 2 :]):
        coloured = np.ptp(half.astype(int), axis=2) > 40  # titles and axes are not
        assert coloured.mean() > least
    assert path.stat().st_size < 250_000


def test_first_input_has_the_shares_of_the_images(folder):
    first = json.loads((folder / "diversity.json").read_text())["inputs"][0]
    dataset = data.load("digits")
    images = data.limit(dataset, 50).train.images
    maps = (np.float64(images) / 255 - dataset.mean) / dataset.std
    windows = np.lib.stride_tricks.sliding_window_view(maps, (3, 3), axis=(1, 2))
    patches = windows.reshape(-1, 27)
    mean = np.square(patches.mean(0)).sum() / np.square(patches).sum(1).mean()
    variances = np.linalg.svd(patches - patches.mean(0), compute_uv=False) ** 2
    assert (first["layer"], first["values"]) == ("conv1", 27)
    assert first["mean"] == pytest.approx(mean, rel=1e-3)
    assert first["leading"] == pytest.approx(variances[:5].sum() / variances.sum())
