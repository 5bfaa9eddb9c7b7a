"""Which images a run, and a ticket of it, are evaluated on."""

import dataclasses
import json
from pathlib import Path

import cv2
import pytest

from tests import programs
from tfsupermask import data, runs, train
from tfsupermask.export import export_model

ROOT = Path(__file__).parents[2]
# All calls in one process, as its start is most of the time.
EVALUATE = """
import contextlib, io, json, sys, warnings
from absl import flags
from binaries import evaluate
said = []
for argv in json.load(open("calls.json")):
    for name in flags.FLAGS:
        flags.FLAGS[name].unparse()
        flags.FLAGS[name].using_default_value = True
        flags.FLAGS[name].value = flags.FLAGS[name].default
    flags.FLAGS(["evaluate", *argv])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with contextlib.redirect_stdout(io.StringIO()) as out:
            try:
                evaluate.main()
            except evaluate._program.InputError as error:
                print(error)
    said.append([out.getvalue(), " ".join(str(each.message) for each in caught)])
json.dump(said, open("said.json", "w"))
"""


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

    def evaluate(*calls):
        (folder / "calls.json").write_text(json.dumps([call.split() for call in calls]))
        code, _, err = programs.finish(
            programs.start("-P", "-c", EVALUATE, cwd=folder, PYTHONPATH=str(ROOT))
        )
        assert code == 0, err
        return json.loads((folder / "said.json").read_text())

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
    run, ticket, fewer, fifth, odd = evaluate(*calls)
    assert run[0].startswith("folder, 50 test images: top-1 ")
    assert run == ticket
    assert fewer[0].startswith("folder, 10 test images: top-1 ")
    assert fifth[0].startswith("folder, 20 test images: top-1 ")
    assert odd[0].startswith("`dataset` must be one of ")
    assert "dataset=5" in odd[0]
    assert {said[1] for said in (run, ticket, fewer, fifth, odd)} == {""}

    write_images(evaluate.folder / "images", 20, 30)
    grown, given = evaluate("--path=run", "--path=run --test_fraction=0.5")
    assert grown[0] == given[0]
    assert grown[0].startswith("folder, 100 test images: top-1 ")
    assert "trained on some of the test images" in grown[1]
    assert not given[1]
