"""The program that fills and checks the zoo, on a zoo of its own."""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from benchmarks import _markdown
from benchmarks import _zoo_tables as tables
from benchmarks import zoo as program
from tests import programs
from tests.zoo.common import make_entry
from tfsupermask import train, zoo
from tfsupermask._validation import InputError
from tfsupermask.export import Classifier
from tfsupermask.runs import Config, resolve
from tfsupermask.runs.metrics import columns, write_csv
from tfsupermask.zoo import index

ROOT = Path(__file__).parents[2]
COMMIT = "0123456789" * 4


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One epoch of conv2 on few digits, and its summary."""
    folder = tmp_path_factory.mktemp("zoo") / "run"
    config = Config(
        init="signed_constant",
        rescale="unit_power",
        limit_images=400,
        epochs=1,
        prune=0.6,
        mixed_precision=True,
        workdir=str(folder),
    )
    return folder, train.run(config)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty zoo."""
    monkeypatch.setattr(index, "FOLDER", tmp_path / "tickets")
    index.FOLDER.mkdir()
    index.write_index([])
    return index.FOLDER


def test_a_run_is_added_evaluated_and_checked(run, folder, capsys):
    path, summary = run
    program.add(str(path), "digits_s0", COMMIT)
    assert {each.name for each in folder.iterdir()} == {
        "index.json",
        "digits_s0.csv",
        "digits_s0.ticket",
    }
    entry = zoo.entry("digits_s0")
    for name in (
        "epoch",
        "train_top1",
        "test_top1",
        "test_top5",
        "machine",
        "versions",
    ):
        assert getattr(entry, name) == summary[name]
    assert entry.metrics.read_bytes() == (path / "metrics.csv").read_bytes()
    assert (entry.commit, entry.precision) == (COMMIT, "mixed_bfloat16")
    assert entry.config == train.load_run(path).config.identity()
    assert entry.command == (
        "python -m binaries.train --model=conv2 --dataset=digits --limit_images=400 "
        "--prune=0.6 --init=signed_constant --rescale=unit_power --epochs=1 --seed=0 "
        "--mixed_precision"
    )
    assert str(path.parent) not in (folder / "index.json").read_text()
    assert entry.bytes < 1.05 * 537_624  # its masks and little more
    images = train.load_images(Config.from_saved(entry.config))
    assert (
        train.evaluate_path(entry.ticket, images).means("")["top1"]
        == (summary["test_top1"])
    )

    before = (folder / "index.json").read_bytes(), entry.ticket.read_bytes()
    program.add(str(path), "digits_s0", COMMIT)  # again
    assert before == ((folder / "index.json").read_bytes(), entry.ticket.read_bytes())

    top1, top5 = (f"{summary[name]:.4f}" for name in ("test_top1", "test_top5"))
    flags = "binaries.evaluate", "--path=zoo:digits_s0"
    code, out, err = programs.call_here(*flags, cwd=ROOT)
    assert (code, err) == (0, "")
    assert out.startswith(f"digits, 364 test images: top-1 {top1}, top-5 {top5}, loss")
    assert program.check([entry], None, tolerance=0) == []
    assert capsys.readouterr().out == f"digits_s0: top-1 {top1}, top-5 {top5}\n"

    wrong = dataclasses.replace(entry, test_top1=entry.test_top1 - 1 / 364)
    index.write_index([wrong])
    code, out, err = programs.call_here("benchmarks.zoo", "--check", cwd=ROOT)
    assert code == 1
    expected = f"in the index top-1 {wrong.test_top1:.4f}, top-5 {top5}\n"
    assert out == f"digits_s0: top-1 {top1}, top-5 {top5}; {expected}"
    assert err.startswith("error: Every ticket must have the accuracy of the index")
    assert program.check(zoo.entries(), None, tolerance=0.003) == []
    assert program.check(zoo.entries(), None, tolerance=0.002) == ["digits_s0"]


def test_what_else_is_wrong_is_said(run, folder, capsys):
    program.add(str(run[0]), "digits_s0", COMMIT)
    entry = zoo.entry("digits_s0")
    other = dataclasses.replace(entry, images_sha256="0" * 64)
    assert program.check([other], None, 0) == []
    assert "these are not the images of the run" in capsys.readouterr().out
    damaged = dataclasses.replace(entry, sha256="0" * 64)
    assert program.check([damaged], None, 0) == ["digits_s0"]
    assert "must have the SHA-256 of the index" in capsys.readouterr().out


def test_programs_take_tickets_of_the_zoo(run, folder, tmp_path):
    program.add(str(run[0]), "digits_s0", COMMIT)
    flags = "--path=zoo:digits_s0", f"--output={tmp_path}/m.keras"
    code, out, err = programs.call_here("binaries.export", *flags, cwd=ROOT)
    assert (code, err) == (0, "")
    assert out.startswith(f"{tmp_path}/m.keras: conv2 of digits_s0.ticket\n")
    image = tmp_path / "image.png"
    cv2.imwrite(str(image), np.zeros((32, 32, 3), np.uint8))
    flags = "--path=zoo:digits_s0", "--top=1", str(image)
    code, out, err = programs.call_here("binaries.predict", *flags, cwd=ROOT)
    assert (code, err) == (0, "")
    classifier = Classifier(tmp_path / "m.keras")
    (row,) = classifier.probabilities(np.zeros((1, 32, 32, 3), np.uint8))
    assert out == f"{image}: {row.argmax()} {row.max():.4f}\n"


@pytest.mark.parametrize(
    ("change", "name", "commit", "message"),
    [
        ({}, "Digits/0", COMMIT, "--name.*Digits/0"),
        ({}, "digits", None, "--commit"),
        ({"commit": f"{COMMIT}+"}, "digits", None, "--commit.*without later changes"),
        ({}, "digits", "0123456", "--commit.*'0123456'"),
        ({"epochs": 2}, "digits", COMMIT, "--add.*is over"),
        (None, "digits", COMMIT, "--add.*is over"),
        ({}, "taken", COMMIT, "--name.*another run"),
    ],
)
def test_what_cannot_be_added_changes_nothing(
    run, folder, monkeypatch, change, name, commit, message
):
    index.write_index([make_entry(folder, "taken")])
    before = {path: path.read_bytes() for path in folder.iterdir()}

    def outcome(path):
        summary = {**run[1], "commit": None, **(change or {})}
        return None if change is None else tables.Outcome(summary, [], None)

    monkeypatch.setattr(program, "read_outcome", outcome)
    with pytest.raises(InputError, match=message):
        program.add(str(run[0]), name, commit)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    "given", [{}, {"check": True, "table": True}, {"add": "x", "check": True}]
)
def test_one_thing_at_a_time(folder, given):
    flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver(**given), pytest.raises(InputError, match="Give one of"):
        program.main()
    with (
        flagsaver.flagsaver(add="x"),
        pytest.raises(InputError, match="--add and --name belong together"),
    ):
        program.main()


RUNS = {
    "signed_constant": {"init": "signed_constant"},
    "patches": {"init": "patches"},
    "glorot_normal": {"init": "glorot_normal"},
    "whitened": {"init": "whitened_patches"},
    "signed_unit": {"init": "signed_constant", "rescale": "unit_power"},
}
TASKS = {
    "conv2": "Conv2 on CIFAR-10",
    "conv6": "Conv6 on CIFAR-10",
    "conv6_cifar100": "Conv6 on CIFAR-100",
}
SPARSE = {"prune": 0.9, "allocation": "erdos_renyi"}


def trained(entry, name, seed, curve, model="conv2", dataset="cifar10", **fields):
    """The entry of another run, with these test accuracies by epoch, in percent."""
    config = Config(
        model=model, dataset=dataset, mixed_precision=True, seed=seed, **fields
    )
    rows = [
        dict.fromkeys(columns("test"), 0.0) | {"epoch": n, "test_top1": top1 / 100}
        for n, top1 in enumerate(curve, start=1)
    ]
    config = resolve(config, 50_000).identity()
    entry = dataclasses.replace(entry, name=f"{model}_{name}_s{seed}", config=config)
    write_csv(entry.metrics, rows, "test")
    return entry


@pytest.fixture
def entries(folder):
    entry = make_entry(folder, "some")
    return [
        trained(entry, "signed_constant", 0, [40, 75.42], **RUNS["signed_constant"]),
        trained(entry, "patches", 0, [45, 70], **RUNS["patches"]),
        trained(entry, "patches", 1, [46, 71], **RUNS["patches"]),
        trained(entry, "patches", 2, [99, 99], **RUNS["patches"]),
        trained(entry, "glorot_normal", 0, [30, 68.5], **RUNS["glorot_normal"]),
        trained(entry, "glorot_normal", 1, [33, 68], **RUNS["glorot_normal"]),
        trained(entry, "whitened", 0, [50, 72], **RUNS["whitened"]),
        trained(entry, "whitened_90", 0, [50, 72], **RUNS["whitened"], **SPARSE),
        trained(entry, "control_90", 0, [30, 73], **RUNS["signed_unit"], **SPARSE),
        trained(entry, "glorot_normal", 0, [9, 80], "conv6", **RUNS["glorot_normal"]),
        trained(entry, "patches", 0, [1, 2], "conv6", "cifar100", **RUNS["patches"]),
    ]


def cells_of(text):
    """The cells of a Markdown table below its head, with one space about each bar."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    return [" | ".join(line) for line in (cells[0], *cells[2:])]


def test_ours_stand_beside_the_others_and_the_controls(entries):
    head, *rows = cells_of(tables.long_block(entries))
    assert head == (
        "network | weights | ticket | removed | test top-1 / % | thesis | "
        "published | lead after epoch 1 | lead after the last"
    )
    expected = """\
conv2 | `signed_constant` | `conv2_signed_constant_s0` | 50 % | 75.42 | – | 77.7 | – | –
conv2 | `glorot_normal` | `conv2_glorot_normal_s0`, `…_s1` | 50 % | 68.25 ± 0.35 | 67.3 | – | – | –
conv2 | `patches` | `conv2_patches_s0`, `…_s1`, `…_s2` | 50 % | 80.00 ± 16.46 | 70.7 | – | +14.00 | +2.25
conv2 | `whitened_patches` | `conv2_whitened_s0` | 50 % | 72.00 | – | – | – | –
conv2 | `signed_constant`, `unit_power` | `conv2_control_90_s0` | 90 %, Erdős–Rényi | 73.00 | – | – | – | –
conv2 | `whitened_patches` | `conv2_whitened_90_s0` | 90 %, Erdős–Rényi | 72.00 | – | – | +20.00 | −1.00
conv6 | `glorot_normal` | `conv6_glorot_normal_s0` | 50 % | 80.00 | 79.6 | – | – | –
conv6_cifar100 | `patches` | `conv6_patches_s0` | 50 % | 2.00 | 47.7 | – | – | –"""  # noqa: E501
    for short, long in TASKS.items():
        expected = expected.replace(f"{short} |", f"{long} |")
    assert rows == expected.splitlines()


def test_what_is_planned_and_not_there_is_named(entries):
    text = tables.long_block(entries)
    assert text.splitlines()[-1].startswith(
        "Not there yet, of 28 planned runs: Conv2: `whitened_90_er_s0`, "
    )
    there = []
    for number, name in enumerate(tables.PLANNED):
        entries[0].metrics.with_stem(name).write_bytes(entries[0].metrics.read_bytes())
        config = {**entries[0].config, "seed": number}
        there.append(dataclasses.replace(entries[0], name=name, config=config))
    assert "All 28 planned runs are there." in tables.long_block(there)
    assert "Machine of 11 runs: Abacus 9, 4 cores; commit 1111111111, " in text


def test_the_short_table_has_a_column_a_network(entries):
    head, *rows = cells_of(tables.short_block(entries))
    assert head == " | ".join(["weights", "removed", *TASKS.values()])
    assert rows[:3] == [
        "`signed_constant` | 50 % | 75.4 (published 77.7) | – | –",
        "`glorot_normal` | 50 % | 68.2 ± 0.4 (thesis 67.3) | 80.0 (thesis 79.6) | –",
        "`patches` | 50 % | 80.0 ± 16.5 (thesis 70.7) | – | 2.0 (thesis 47.7)",
    ]


def test_every_run_has_its_line_and_every_network_its_panel(entries):
    figure = tables.draw(entries)
    lines = {axis.get_title(): axis.get_lines() for axis in figure.axes}
    assert list(lines) == list(TASKS.values())
    assert [len(each) for each in lines.values()] == [9, 1, 1]
    np.testing.assert_allclose(
        lines["Conv6 on CIFAR-10"][0].get_xydata(), [[1, 9], [2, 80]]
    )


def test_the_names_of_the_lines_fit_into_the_picture(entries):
    figure = tables.draw(entries[:9])
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert "whitened_patches, 90 % removed, Erdős–Rényi" in [
        text.get_text() for text in legend.get_texts()
    ]
    names = legend.get_window_extent()
    assert figure.bbox.x0 <= names.x0 < names.x1 <= figure.bbox.x1


def test_the_pages_are_written_in_place(entries, tmp_path):
    (tmp_path / "docs/pictures").mkdir(parents=True)
    pages = tmp_path / "docs/results.md", tmp_path / "README.md"
    for page in pages:
        page.write_text("é\n<!-- zoo:begin -->\nold\n<!-- zoo:end -->\nafter\n")
    tables.write_tables(entries, tmp_path)
    picture = tmp_path / "docs" / tables.PICTURE
    before = [path.read_bytes() for path in (*pages, picture)]
    assert cv2.imread(str(picture)).shape[0] > 300
    for page, block in zip(
        pages, (tables.long_block(entries), tables.short_block(entries)), strict=True
    ):
        expected = f"é\n<!-- zoo:begin -->\n\n{block}\n\n<!-- zoo:end -->\nafter\n"
        assert page.read_text() == expected
    tables.write_tables(entries, tmp_path)
    assert [path.read_bytes() for path in (*pages, picture)] == before
    pages[0].write_text("no marks")
    with pytest.raises(InputError, match="zoo:begin"):
        _markdown.rewrite_block(pages[0], "zoo", "text")
    assert pages[0].read_text() == "no marks"


def test_the_projects_pages_hold_the_tables_of_its_zoo():
    entries = zoo.entries()
    assert tables.long_block(entries) in (ROOT / "docs/results.md").read_text("utf-8")
    assert tables.short_block(entries) in (ROOT / "README.md").read_text("utf-8")
