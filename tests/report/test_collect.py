import dataclasses
import json
import math
import shutil

import numpy as np
import pytest

from tfsupermask import data
from tfsupermask._validation import InputError
from tfsupermask.report import collect_run, render
from tfsupermask.report.collect import PICTURES
from tfsupermask.runs.metrics import understood
from tfsupermask.train import load_run

_DAMAGED = r"must be whole and of this program|(config|init|summary)\.json"


def test_a_finished_run(made, runs, digits):
    path, run = made["patches"], runs["patches"]
    summary = json.loads((path / "summary.json").read_text())
    assert (run.epoch, len(run.rows), run.name) == (3, 3, "patches")
    assert run.summary == summary
    assert run.last["test_top1"] == summary["test_top1"]
    assert run.train_seconds == pytest.approx(summary["train_seconds"])
    assert run.class_names == digits.class_names
    assert run.begun <= run.written
    assert run.init.layers[0].num_patches == 500
    assert set(run.pictures) == set(PICTURES)
    assert run.pictures["first_layer"].startswith(b"\x89PNG")
    assert set(run.filters) == {"kernel", "mask", "kernel_times_mask"}
    model = load_run(path).model
    for mask in run.masks:
        layer, _, _ = mask.name.partition("/")
        bits = model.get_layer(layer).mask.numpy().ravel() == 1
        np.testing.assert_array_equal(mask.bits, np.packbits(bits))
    assert run.num_kept / run.num_weights == pytest.approx(0.3, abs=1e-3)


def test_predictions_repeat_the_runs_own_accuracy(runs):
    unfinished = runs["kaiming"]
    assert (unfinished.epoch, len(unfinished.rows), unfinished.init) == (1, 1, None)
    assert unfinished.config.epochs == 3
    for run in runs.values():
        confusion = run.predictions.confusion
        accuracy = np.trace(confusion) / confusion.sum()
        assert accuracy == pytest.approx(run.last["test_top1"], rel=1e-5)
        assert run.no_predictions == ""


def test_files_that_are_not_there_yet(folder, load):
    for name in ("summary.json", "init.json"):
        (folder / name).unlink()
    shutil.rmtree(folder / "pictures")
    run = collect_run(folder, load=load)
    assert (run.epoch, len(run.rows), run.summary) == (3, 3, {})
    assert (run.init, run.pictures) == (None, {})
    (folder / "metrics.csv").unlink()
    run = collect_run(folder, load=load)
    assert (run.rows, run.last, run.train_seconds) == ([], {}, 0)


def test_what_is_newer_or_older_than_the_checkpoint_is_left_out(folder, load):
    (folder / "checkpoints" / "epoch_00003.npz").unlink()
    run = collect_run(folder, load=load)
    assert (run.epoch, [row["epoch"] for row in run.rows]) == (2, [1, 2])
    assert run.summary == {}


def test_images_that_cannot_be_had_or_are_others_are_done_without(made, digits):
    def load(*args, **options):
        raise data.DataNotFoundError("They are at /home/somebody.")

    with pytest.warns(UserWarning, match="could not be read. They are at") as caught:
        run = collect_run(made["patches"], load=load)
    assert len(caught) == 1
    assert run.predictions is None
    assert run.no_predictions == "The images of digits could not be read."
    images = digits.test.images.copy()
    images[0, 0, 0, 0] ^= 1
    test = data.Split(images, digits.test.labels)
    other = dataclasses.replace(digits, test=test)
    with pytest.warns(UserWarning, match="not the run's own"):
        run = collect_run(made["patches"], load=lambda *args, **options: other)
    assert run.predictions is None


def test_images_are_looked_for_where_it_is_said(made, digits):
    calls = []
    for place in (None, "there"):
        collect_run(
            made["patches"],
            place,
            lambda *args, **options: calls.append(args) or digits,
        )
    assert calls == [("digits", None, None), ("digits", "there", None)]


def test_a_run_evaluated_on_images_held_out(runs):
    run = runs["patches"]
    assert run.measured == run.last
    rows = understood(run.rows, "validation")
    # A summary that calls test what is validation.
    before = dataclasses.replace(run, rows=rows)
    assert before.summary["test_top1"] == before.measured["validation_top1"]
    assert "test_top1" not in before.measured
    summary = {"test_top1": 0.5, "validation_top1": before.last["validation_top1"]}
    assert dataclasses.replace(before, summary=summary).measured["test_top1"] == 0.5


@pytest.mark.parametrize("error", [data.DataNotFoundError, PermissionError])
def test_images_held_out_that_cannot_be_had(folder, error):
    def load(*args, **options):
        raise error("They are nowhere.")

    description = json.loads((folder / "config.json").read_text())
    description["config"]["validation_images"] = 50
    (folder / "config.json").write_text(json.dumps(description))
    with pytest.warns(UserWarning, match="goes without validation images"):
        assert "validation_top1" in collect_run(folder, load=load).measured


def test_what_is_no_run_is_refused(tmp_path):
    (tmp_path / "file x").write_text("x")
    (tmp_path / "empty x").mkdir()
    for name in ("nothing x", "empty x", "file x"):
        message = rf"`path` must be the folder of a run.*{name}'"
        with pytest.raises(InputError, match=message):
            collect_run(tmp_path / name)


@pytest.fixture(scope="module")
def loaded(made):
    return load_run(made["patches"])


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", "{"),
        ("config.json", '{"config": {}}'),
        ("config.json", '{"config": {"colour": "blue"}, "data": {}}'),
        ("config.json", "[]"),
        ("metrics.csv", "epoch,test_top1\n1,good\n"),
        ("metrics.csv", "a,b\n1,2\n"),
        ("metrics.csv", "epoch,test_top1\n1,2,3\n"),
        ("metrics.csv", "epoch,test_top1\n1,0.5\n"),
        ("summary.json", "12"),
        ("summary.json", "{}"),
        ("summary.json", '{"epoch": 3, "test_top1": "good"}'),
        ("summary.json", '{"epoch": 3, "init_seconds": 1e999}'),
        ("init.json", '{"layers": [{}], "skipped": {}}'),
        ("init.json", "null"),
        ("config.json", b"\xff\xfe"),
    ],
)
def test_damaged_files_are_refused_in_one_sentence(
    folder, load, loaded, monkeypatch, file, content
):
    if file != "config.json":  # the others are read once the run is loaded
        monkeypatch.setattr("tfsupermask.report.collect.load_run", lambda path: loaded)
    content = content if isinstance(content, bytes) else content.encode()
    (folder / file).write_bytes(content)
    with pytest.raises(InputError, match=_DAMAGED) as error:
        collect_run(folder, load=load)
    assert "\n" not in str(error.value)
    assert repr(str(folder))[1:-1] in str(error.value)


def write_metric(folder, row, name, value):
    table = (folder / "metrics.csv").read_text().splitlines()
    cells = table[row].split(",")
    cells[table[0].split(",").index(name)] = value
    table[row] = ",".join(cells)
    (folder / "metrics.csv").write_text("\n".join(table))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seconds", "inf"),
        ("epoch", "nan"),
        ("learning_rate", "nan"),
        ("train_loss", "inf"),
        ("test_loss", "nan"),
    ],
)
def test_other_numbers_of_epochs_are_finite(folder, load, name, value):
    write_metric(folder, 1, name, value)
    with pytest.raises(InputError, match=_DAMAGED):
        collect_run(folder, load=load)


@pytest.mark.parametrize("row", [1, -1])
def test_a_loss_that_is_infinite_is_no_reason_to_refuse_a_report(folder, load, row):
    write_metric(folder, row, "test_loss", "inf")
    if row == -1:  # as a run that ends with it leaves it
        summary = json.loads((folder / "summary.json").read_text())
        (folder / "summary.json").write_text(
            json.dumps({**summary, "test_loss": math.inf})
        )
    run = collect_run(folder, load=load)
    assert run.rows[min(row, 0)]["test_loss"] == math.inf
    page = render([run])
    assert "Cross-entropy" in page
    assert "inf" not in page[page.index("Cross-entropy") :].split("</svg>")[0]
