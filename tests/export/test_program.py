"""The program, and that each of its outputs evaluates and predicts alike."""

import re

import cv2
import pytest

from tests.programs import call, call_here
from tfsupermask import data, runs, train
from tfsupermask.export import export_model
from tfsupermask.tickets import load_ticket, save_ticket


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a run of one epoch on few, small digits, kept as class folders."""
    folder = tmp_path_factory.mktemp("exports")
    digits = data.load("digits")
    for split, count in ((digits.train, 300), (digits.test, 60)):
        place = folder / "images" / ("train" if split is digits.train else "test")
        for index in range(count):
            target = place / f"digit {split.labels[index]}" / f"{index}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(target), split.images[index][2::4, 2::4, ::-1])
    train.run(
        runs.Config(
            workdir=str(folder / "run"),
            dataset="folder",
            data_dir=str(folder / "images"),
            image_size=8,
            init="kaiming_normal",
            epochs=1,
            batch_size=32,
        )
    )
    return folder


def test_every_format_has_the_runs_accuracy(folder):
    run = train.load_run(folder / "run")
    dataset = data.load("folder", str(folder / "images"), 8)
    expected = train.evaluate_path(folder / "run", dataset).means("")
    for name in ("model", "m.keras", "m.tflite", "m.onnx", "m.ticket"):
        path = export_model(
            run.model, folder / name, run.mean, run.std, run.class_names
        )
        means = train.evaluate_path(path, dataset).means("")
        assert means == pytest.approx(expected, rel=1e-4), name


def test_exports_weighs_evaluates_and_predicts(folder):
    (folder / "m8.tflite").write_bytes(b"older")
    to = "--path=run", "--output=m8.tflite", "--precision=int8"
    code, out, err = call_here("binaries.export", *to, cwd=folder)
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0] == "m8.tflite: conv2 after epoch 1"
    assert lines[3].startswith("m8.tflite ")
    assert any(line.startswith("masks alone") for line in lines)
    image = next((folder / "images" / "test" / "digit 3").iterdir())
    calls = [
        ("evaluate", "--path=run"),
        ("evaluate", "--path=m8.tflite", "--dataset=folder", "--data_dir=images"),
        ("predict", "--path=m8.tflite", "--top=10", image),
    ]
    results = [call_here(f"binaries.{name}", *to, cwd=folder) for name, *to in calls]
    for code, _, err in results:
        assert code == 0, err
    whole, eight_bits, prediction = [out for _, out, _ in results]
    assert "60 test images: top-1 0." in whole
    top1 = [float(out.split("top-1 ")[1].split(",")[0]) for out in (whole, eight_bits)]
    assert abs(top1[0] - top1[1]) < 0.06
    assert prediction.startswith(f"{image}: digit ")
    assert {f"digit {n}" for n in range(10)} == set(
        re.findall(r"digit \d", prediction.removeprefix(f"{image}: "))
    )


def test_a_ticket_says_how_it_was_made_but_not_where(folder):
    to = "--path=run", "--output=exported.ticket"
    code, _, err = call_here("binaries.export", *to, cwd=folder)
    assert code == 0, err
    recipe = load_ticket(folder / "exported.ticket").recipe
    assert recipe == train.load_run(folder / "run").config.identity()
    assert str(folder) not in str(recipe)
    to = "--path=exported.ticket", "--output=from_ticket.tflite", "--precision=int8"
    code, _, err = call_here("binaries.export", *to, cwd=folder)
    assert code == 1
    assert "`dataset` 'folder' needs `data_dir`" in err
    code, _, err = call_here("binaries.export", *to, "--data_dir=images", cwd=folder)
    assert code == 0, err


def test_tickets_of_ones_own(folder, tmp_path):
    """With names of the classes alone, or a recipe that names no images."""
    model = train.load_run(folder / "run").model
    names = [f"class {index}" for index in range(10)]
    save_ticket(model, tmp_path / "names.ticket", class_names=names)

    def export(*flags):
        return call_here("binaries.export", *flags, cwd=tmp_path)

    for name in "m.onnx", "again.ticket":
        code, _, err = export("--path=names.ticket", f"--output={name}")
        assert code == 0, err
    assert (tmp_path / "m.onnx").exists()
    assert load_ticket(tmp_path / "again.ticket").class_names == tuple(names)
    for recipe in ({"seed": 0}, {"made": "by me"}):
        save_ticket(model, tmp_path / "own.ticket", recipe=recipe)
        flags = "--path=own.ticket", "--output=m.tflite", "--precision=int8"
        code, _, err = export(*flags)
        assert (code, "a ticket with the recipe of its run" in err) == (1, True)


def test_bad_combinations_end_with_one_sentence_and_help_helps(folder):
    run = ("--path=run", "--output=m.onnx")
    calls = [(*run, "--precision=int8"), (*run, "--data_dir=images"), ("--help",)]
    *bad, (_, out, _) = [
        call("-m", "binaries.export", *flags, cwd=folder) for flags in calls
    ]
    said = ("precision='int8'", "`--data_dir` is for --precision=int8")
    for (code, printed, err), received in zip(bad, said, strict=True):
        assert (code, printed) == (1, "")
        (line,) = err.splitlines()
        assert line.startswith("error: ")
        assert received in line
    for text in ("--output", ".tflite, .onnx or .ticket", "--precision", "bfloat16"):
        assert text in out
