"""Runs whose epochs are evaluated on training images held out."""

import contextlib
import dataclasses
import io
import json
import shutil
import types

import numpy as np
import pytest
import tensorflow as tf

from tests.train.common import run
from tfsupermask import data, report, runs, train
from tfsupermask.export import Classifier
from tfsupermask.runs import checkpoint as checkpoints
from tfsupermask.runs.metrics import read_csv
from tfsupermask.train import pictures

FIELDS = {"init": "kaiming_normal", "batch_size": 32, "epochs": 1}
HELD_OUT = {**FIELDS, "validation_images": 50, "limit_images": 64}


@pytest.fixture(scope="module")
def made(tmp_path_factory, small):
    """A run that is initialised first, then trained, and all that it told."""
    workdir, said = tmp_path_factory.mktemp("runs") / "made", io.StringIO()
    drawn, draw_curves = [], pictures.draw_curves
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.setattr(
            pictures,
            "draw_curves",
            lambda *args: drawn.append(draw_curves(*args)) or drawn[-1],
        )
        begun = run(workdir, stop_after_epoch=0, **HELD_OUT)
        summary = run(workdir, **HELD_OUT)
    (curves,) = drawn
    return types.SimpleNamespace(
        workdir=workdir,
        begun=begun,
        summary=summary,
        said=said.getvalue(),
        curves=curves,
        row=read_csv(workdir / "metrics.csv", "validation")[0],
    )


def test_summary_tells_validation_and_test_apart(made, small):
    workdir, summary, row = made.workdir, made.summary, made.row
    assert json.loads((workdir / "summary.json").read_text()) == summary
    for name in ("loss", "top1", "top5"):
        assert summary[f"validation_{name}"] == row[f"validation_{name}"]
        assert summary[f"train_{name}"] == row[f"train_{name}"]
    images = ("train_images", "validation_images", "test_images")
    assert [summary[name] for name in images] == [64, 50, 99]
    for path in (workdir, workdir / "saved_model"):
        totals = train.evaluate_path(path, small)
        assert totals.images == 99
        for name, value in totals.means("test_").items():
            assert summary[name] == pytest.approx(value, rel=1e-5)
    held = data.hold_out(small, 50).validation
    held = train.evaluate(Classifier(workdir / "saved_model").logits, held)
    assert held.images == 50
    for name, value in held.means("validation_").items():
        assert summary[name] == pytest.approx(value, rel=1e-5)
    assert summary["validation_loss"] != pytest.approx(summary["test_loss"], rel=1e-3)


def test_before_the_first_epoch_nothing_is_evaluated(made):
    names = [name for name in made.begun if name.startswith(("validation_", "test_"))]
    found = {name: made.begun[name] for name in names}
    assert found == {"validation_images": 50, "test_images": 99}


def test_without_images_held_out_there_is_no_validation(tmp_path, capsys):
    summary = run(tmp_path, **FIELDS, limit_images=64)
    assert not [name for name in summary if name.startswith("validation_")]
    (row,) = read_csv(tmp_path / "metrics.csv", "test")
    assert summary["test_top1"] == row["test_top1"]
    assert summary["test_images"] == 99
    said = capsys.readouterr().out
    assert f"  test {row['test_top1']:.4f}  " in said
    assert "validation" not in said
    assert {"test/loss", "test/top1", "test/top5"} <= scalar_tags(tmp_path)


def test_lines_call_images_by_their_name(made):
    summary, said = made.summary, made.said
    validation, test = summary["validation_top1"], summary["test_top1"]
    (line,) = [line for line in said.splitlines() if line.startswith("epoch 1/1")]
    assert f"  validation {validation:.4f}  " in line
    assert "test" not in line
    last = said[said.index("\ntest top-1") :].splitlines()[1:4]
    assert last[0] == f"test top-1 {test:.4f}, top-5 {summary['test_top5']:.4f}"
    assert last[1].startswith(f"validation top-1 {validation:.4f}, top-5 ")
    assert last[2].startswith("after 1 of 1 epochs")


def test_test_images_wait_for_the_end(tmp_path, capsys):
    fields = {**HELD_OUT, "epochs": 2}
    begun = run(tmp_path, **fields, stop_after_epoch=1)
    assert begun["validation_top1"] > 0
    assert "test_top1" not in begun
    assert "\nvalidation top-1" in capsys.readouterr().out
    collected = report.collect_run(tmp_path)
    assert "test_top1" not in collected.measured
    assert "Test top-1" in report.render([collected])
    assert "test_top1" in run(tmp_path, **fields)


@pytest.mark.parametrize(
    ("validation_images", "name"), [(None, "test"), (50, "validation")]
)
def test_the_warning_does_too(small, validation_images, name, tmp_path, capsys):
    config = runs.Config(
        **FIELDS, validation_images=validation_images, workdir=str(tmp_path)
    )
    with train.Job.open(config, small) as job:
        job.loop.evaluate = lambda *_: train.Totals(1.0, 1.0, 5.0, 8.0)
        job.train_epoch()
    said = " ".join(capsys.readouterr().out.split())
    message = f"still at chance after epoch 1: {name} accuracy 0.1250, most frequent"
    assert message in said


@pytest.mark.parametrize("classes", [2, 1])
def test_few_test_images_are_not_always_at_chance(small, classes, tmp_path, capsys):
    test = data.Split(small.test.images[:8], small.test.labels[:8] % classes)
    few = dataclasses.replace(small, test=test)
    with train.Job.open(runs.Config(**FIELDS, workdir=str(tmp_path)), few) as job:
        job.loop.evaluate = lambda *_: train.Totals(1.0, 8.0, 8.0, 8.0)
        job.train_epoch()
    assert "at chance" not in capsys.readouterr().out


def scalar_tags(workdir):
    files = (workdir / "events").iterdir()
    return {
        value.tag
        for file in files
        for event in tf.compat.v1.train.summary_iterator(str(file))
        for value in event.summary.value
    }


def test_events_do_too(made):
    tags = scalar_tags(made.workdir)
    assert {"validation/loss", "validation/top1", "validation/top5"} <= tags
    assert not [tag for tag in tags if tag.startswith("test/")]


def test_pictures_do_too(made):
    row, (loss, accuracy, _) = made.row, made.curves.axes
    names = {line.get_label(): line.get_ydata()[0] for line in loss.lines}
    assert names == {"train": row["train_loss"], "validation": row["validation_loss"]}
    (legend,) = made.curves.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        *("train", "validation"),
        *("top-1", "top-5"),
    ]
    entries = [(e.get_color(), e.get_linestyle()) for e in legend.get_lines()]
    splits, tops = entries[:2], entries[2:]
    looks = [(line.get_color(), line.get_linestyle()) for line in accuracy.lines]
    assert looks == [(colour, dash) for colour, _ in splits for _, dash in tops]
    assert [line.get_color() for line in loss.lines] == [colour for colour, _ in splits]
    assert len({*splits, *tops}) == 4


def test_a_report_does_too(made, small):
    summary = made.summary
    told = report.collect_run(made.workdir, load=lambda *args, **options: small)
    for name in ("test_top1", "validation_top1"):
        assert told.measured[name] == summary[name]
    assert told.predictions.confusion.sum() == 50
    right = np.trace(told.predictions.confusion)
    assert right == round(50 * summary["validation_top1"])


def test_fingerprint_covers_the_test_images():
    images = np.zeros((4, 8, 8, 3), np.uint8)
    split = data.Split(images, np.array([0, 1, 0, 1]))
    dataset = data.Dataset("made", split, split, ("a", "b"), False)
    other = images.copy()
    other[3, 7, 7, 2] = 1
    found = {
        dataclasses.replace(dataset, validation=validation).sha256
        for validation in (
            None,
            split,
            data.Split(other, split.labels),
            data.Split(images, np.array([0, 1, 1, 0])),
        )
    }
    assert len(found) == 4
    assert dataset.sha256 in found


def test_a_run_of_version_0_1_goes_on(made, small, tmp_path):
    """Its epochs were evaluated on images held out, in columns named `test_*`."""
    workdir = shutil.copytree(made.workdir, tmp_path / "old")

    def renamed(row):
        return {name.replace("validation_", "test_"): row[name] for name in row}

    (path,) = sorted((workdir / "checkpoints").iterdir())[-1:]
    saved = checkpoints.restore_latest(workdir / "checkpoints")
    state = {**saved.state, "rows": [renamed(row) for row in saved.state["rows"]]}
    checkpoints.save(path.parent, dataclasses.replace(saved, state=state))
    metrics = workdir / "metrics.csv"
    metrics.write_text(metrics.read_text().replace("validation_", "test_"))
    assert read_csv(metrics, "validation") == [made.row]
    told = report.collect_run(workdir, load=lambda *args, **options: small)
    assert told.measured["validation_top1"] == made.summary["validation_top1"]
    assert run(workdir, **HELD_OUT) == made.summary
    assert "validation_top1" in metrics.read_text()
