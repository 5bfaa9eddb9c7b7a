"""Which images a run, and a ticket of it, are evaluated on."""

import dataclasses
import json

import cv2
import pytest

from tests.programs import call_here
from tfsupermask import data, runs, train
from tfsupermask.export import export_model


def write_images(folder, first, last):
    digits = data.load("digits").train
    for label in range(10):
        images = digits.images[digits.labels == label][first:last]
        for number, image in enumerate(images, start=first):
            path = folder / str(label) / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imencode(".png", image[::4, ::4])[1].tofile(path)


@pytest.fixture(scope="module")
def evaluate(tmp_path_factory):
    """Returns a function that evaluates with some flags beside a run and its ticket."""
    folder = tmp_path_factory.mktemp("evaluate")
    write_images(folder / "images", 0, 10)
    write_images(folder / "fewer", 10, 12)
    config = runs.Config(
        workdir=str(folder / "run"), dataset="folder", data_dir=str(folder / "images"),
        image_size=8, init="kaiming_normal", epochs=1, batch_size=10,
        test_fraction=0.5, limit_images=40,
    )  # fmt: skip
    train.run(config)
    run = train.load_run(folder / "run")
    facts = run.mean, run.std, run.class_names
    recipe = dataclasses.asdict(run.config)
    export_model(run.model, folder / "m.ticket", *facts, recipe=recipe)
    export_model(run.model, folder / "odd.ticket", *facts, recipe={"dataset": 5})

    def evaluate(flags):
        return call_here("binaries.evaluate", *flags.split(), cwd=folder)[1:]

    evaluate.folder = folder
    return evaluate


def test_they_are_the_runs_test_images_whatever_it_was_trained_on(evaluate):
    calls = [
        "--path=run",
        "--path=m.ticket --data_dir=images",
        "--path=run --data_dir=fewer",
        "--path=run --data_dir=images --test_fraction=0.2",
        "--path=odd.ticket",
    ]
    run, ticket, fewer, fifth, odd = map(evaluate, calls)
    assert run[0].startswith("folder, 50 test images: top-1 ")
    assert run == ticket
    assert fewer[0].startswith("folder, 10 test images: top-1 ")
    assert fifth[0].startswith("folder, 20 test images: top-1 ")
    assert {said[1] for said in (run, ticket, fewer)} == {odd[0]} == {""}
    assert "trained on some of the test images" in fifth[1]
    (line,) = odd[1].splitlines()
    assert line.startswith("error: `dataset` must be one of ")
    assert "dataset=5" in line

    write_images(evaluate.folder / "images", 20, 30)
    more = "", " --test_fraction=0.5", f" --data_dir={evaluate.folder / 'images'}/"
    grown, given, there = (evaluate(f"--path=run{flags}") for flags in more)
    assert grown == there
    assert grown[0] == given[0]
    assert grown[0].startswith("folder, 100 test images: top-1 ")
    assert "trained on some of the test images" in grown[1]
    assert "trained on some of the test images" in given[1]

    description = json.loads((evaluate.folder / "run" / "config.json").read_text())
    description["config"]["limit_test_images"] = 10
    (evaluate.folder / "run" / "config.json").write_text(json.dumps(description))
    assert evaluate("--path=run")[0].startswith("folder, 10 test images: ")
    assert evaluate("--path=run --data_dir=images") == grown
