"""Run folders, and the reports and files that are made of them."""

import functools
import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from tests.hostile.judging import DEEP, ESCAPE, RAN, Input
from tests.hostile.pictures import sparse
from tests.hostile.saved import pickled
from tfsupermask.report import write_report
from tfsupermask.runs import Config
from tfsupermask.runs import checkpoint as checkpoints
from tfsupermask.runs.checkpoint import Checkpoint
from tfsupermask.runs.folder import RunFolder, claim
from tfsupermask.runs.metrics import columns, write_csv
from tfsupermask.train import load_run
from tfsupermask.train.build import build_model, named_variables

_CONFIG = Config(init="kaiming_normal", data_dir="/nowhere", dataset="folder",
    image_size=8, epochs=1, batch_size=2)  # fmt: skip

COLUMNS = columns("test")


@functools.cache
def _values():
    """Returns the variables of an honest run's model, by name."""
    model = build_model(_CONFIG, (8, 8, 3), 2)
    return {name: v.numpy() for name, v in named_variables(model).items()}


@functools.cache
def _honest():
    """Returns the folder of a small run as training leaves it."""
    root = Path(tempfile.mkdtemp(prefix="run."))
    folder, row = RunFolder(root), dict.fromkeys(columns("test"), 0.5) | {"epoch": 1}
    description = {
        "config": vars(_CONFIG),
        "data": {
            "sha256": "0" * 64,
            "image_shape": [8, 8, 3],
            "class_names": ["a", "b"],
            "mean": [0.5] * 3,
            "std": [0.2] * 3,
        },
    }
    folder.config.write_text(json.dumps(description))
    state = {"rows": [row], "init_seconds": 1.0}
    checkpoints.save(folder.checkpoints, Checkpoint(1, _values(), state))
    write_csv(folder.metrics, [row], "test")
    folder.summary.write_text(json.dumps({"epoch": 1}))
    return root


def run(change=lambda folder: None, read=load_run):
    """Returns the maker of a run's folder, changed, that `read` reads."""

    def make(folder):
        shutil.copytree(_honest(), folder, dirs_exist_ok=True)
        change(RunFolder(folder))
        return lambda: read(folder)

    return make


def config(**changes):
    return _edited("config", changes)


def images(**changes):
    return _edited("data", changes)


def _edited(section, changes):
    def change(folder):
        tree = json.loads(folder.config.read_text())
        tree[section].update(changes)
        folder.config.write_text(json.dumps(tree))

    return run(change)


def without(section, key):
    def change(folder):
        tree = json.loads(folder.config.read_text())
        del tree[section][key]
        folder.config.write_text(json.dumps(tree))

    return run(change)


def text(content, name="config", read=load_run):
    return run(lambda folder: getattr(folder, name).write_text(content), read)


def instead(put, name="config", read=load_run):
    def change(folder):
        getattr(folder, name).unlink(missing_ok=True)
        put(getattr(folder, name))

    return run(change, read)


def kernel(value, prefix="model"):
    """Returns the maker of a run whose checkpoint holds another first kernel.

    Args:
        value: The array; `None` leaves it out.
        prefix: What is before its name: the number of weights kept has another.
    """

    def change(folder):
        name = next(name for name in _values() if name.endswith("/kernel"))
        changed = _values() | {name.replace("model", prefix, 1): value}
        changed = {name: value for name, value in changed.items() if value is not None}
        checkpoints.save(folder.checkpoints, Checkpoint(1, changed, {"rows": []}))

    return run(change)


def only_pickle(folder):
    for path in folder.checkpoints.iterdir():
        path.unlink()
    path = folder.checkpoints / "epoch_00001.npz"
    path.write_bytes(pickled(folder.checkpoints / RAN))


def no_checkpoint(folder):
    shutil.rmtree(folder.checkpoints)


def report(folder):
    return write_report([folder], folder / "report.html")


def linked_partial(folder):
    """The place where a file is written aside is a link to another file."""
    victim = folder.root / "precious"
    victim.write_text("precious")
    (folder.root / "report.html.partial").symlink_to(victim)


def piped_partial(folder):
    os.mkfifo(folder.root / "report.html.partial")


class _Images:
    class_names, image_shape = ("a", "b"), (8, 8, 3)
    mean = std = np.ones(3, np.float32)


def go_on(folder):
    """Claims the folder as `train` does."""
    claim(RunFolder(folder), _CONFIG, _Images, "0" * 64)


METRICS = ",".join(COLUMNS) + "\n"
NO_RUN = "config.json"
FILES = "files must be whole and of this program"

INPUTS = {
    "an honest run": Input(run(), rule="loaded"),
    "an empty config.json": Input(text(""), NO_RUN),
    "a config.json that is a list": Input(text("[]"), NO_RUN),
    "a config.json 100,000 deep": Input(text(DEEP), NO_RUN),
    "a config.json that is no Unicode": Input(
        instead(lambda path: path.write_bytes(b"\xff\xfe")), NO_RUN),
    "a config.json of 1 TB, all hole": Input(instead(sparse), NO_RUN),
    "a pipe called config.json": Input(instead(os.mkfifo), "folder of a run"),
    "/dev/zero called config.json": Input(
        instead(lambda path: path.symlink_to("/dev/zero")), "folder of a run"),
    "a config with a field of nobody": Input(config(__class__="evil"), NO_RUN),
    "a config without its images": Input(
        without("data", "image_shape"), "image_shape"),
    "a config of model os.system": Input(config(model="os.system"), "`model` must be"),
    "a config of prune 1e999": Input(config(prune=float("inf")), "`prune` must be"),
    "a config of prune NaN": Input(config(prune=float("nan")), "`prune` must be"),
    "a config of prune '0.5'": Input(config(prune="0.5"), "`prune` must be"),
    "a config of seed 2**70": Input(
        config(seed=2**70), rule="any integer from 0 on is a seed"),
    "a config of seed -1": Input(config(seed=-1), "`seed` must be"),
    "a config of epochs []": Input(config(epochs=[]), "`epochs` must be"),
    "a config of epochs 2**70": Input(config(epochs=2**70), "`epochs` must be"),
    "images of 10⁹ × 10⁹": Input(images(image_shape=[10**9, 10**9, 3]), "image_shape"),
    "images of 4,000 × 4,000": Input(images(image_shape=[4000, 4000, 3]),
        "checkpoint"),
    "images of 2**70 pixels": Input(images(image_shape=[2**70, 1, 3]), "image_shape"),
    "images of -1 pixels": Input(images(image_shape=[-1, 8, 3]), "image_shape"),
    "images of texts": Input(images(image_shape=["8", "8", "3"]), "image_shape"),
    "class names that are a number": Input(images(class_names=3), "class_names"),
    "class names that command the terminal": Input(
        images(class_names=[ESCAPE, "b"]), "control characters"),
    "100,000 class names": Input(images(class_names=["c"] * 100_000), "checkpoint"),
    "a mean of NaN": Input(images(mean=[float("nan")] * 3), "mean"),
    "a std of 0": Input(images(std=[0.0] * 3), "std"),
    "a mean of 2**70 numbers' texts": Input(images(mean="9" * 100), "`mean`"),
    "a run without checkpoints": Input(run(no_checkpoint), "intact checkpoint"),
    "a run whose only checkpoint is a pickle": Input(
        run(only_pickle), "intact checkpoint"),
    "a checkpoint that lacks a kernel": Input(
        kernel(None), "checkpoint"),
    "a checkpoint whose kernel has another shape": Input(
        kernel(np.zeros((9, 9, 9), np.float32)), "checkpoint must hold"),
    "a checkpoint whose kernel is a text": Input(
        kernel(np.full((3, 3, 3, 64), "x")), "checkpoint"),
    "a checkpoint whose kernel is NaN": Input(
        kernel(np.full((3, 3, 3, 64), np.nan, np.float32)),
        rule="values are as they are"),
    "a mask that keeps -1 weights": Input(kernel(
        np.array(-1), "num_kept"), "num_kept"),
    "a mask that keeps 2⁶² weights": Input(kernel(
        np.array(2**62), "num_kept"), "num_kept"),
    "going on in a run whose config.json is 100,000 deep": Input(
        text(DEEP, read=go_on), NO_RUN),
    "going on in a run whose config.json is a number": Input(
        text("3", read=go_on), NO_RUN),
    "going on in a run whose config.json is empty": Input(
        text("", read=go_on), NO_RUN),
    "a report of an honest run": Input(run(read=report), rule="written"),
    "a report of metrics that are numbers of nobody": Input(
        text(METRICS + "1e999,NaN,-1,2**70,x,,,,,,\n", "metrics", report), FILES),
    "a report of metrics that are all 1e999": Input(
        text(METRICS + ",".join(["1e999"] * len(COLUMNS)), "metrics", report),
        FILES),
    "a report of metrics that are all NaN": Input(
        text(METRICS + ",".join(["1"] + ["NaN"] * (len(COLUMNS) - 1)), "metrics",
            report), FILES),
    "a report of a metric of 1e308 and one of -1e308": Input(
        text(METRICS + "\n".join(",".join([str(n)] + [x] * (len(COLUMNS) - 1))
            for n, x in ((1, "1e308"), (2, "-1e308"))), "metrics", report),
        rule="drawn: they are finite"),
    "a report of a metric of 200,000 digits": Input(
        text(METRICS + "9" * 200_000, "metrics", report), FILES),
    "a report of metrics with a zero byte": Input(
        text(METRICS + "1\0,", "metrics", report), FILES),
    "a report of a pipe called metrics.csv": Input(
        instead(os.mkfifo, "metrics", report), rule="no file: no curves"),
    "a report of a summary.json 100,000 deep": Input(
        text(DEEP, "summary", report), "summary.json"),
    "a report of a summary.json that is a number": Input(
        text("3", "summary", report), "summary.json"),
    "a report of an init.json that is a list": Input(
        text("[]", "init_report", report), "init.json"),
    "a report of an init.json 100,000 deep": Input(
        text(DEEP, "init_report", report), "init.json"),
    "a report written where a link leads to another file": Input(
        run(linked_partial, report), rule="the link is removed, not followed"),
    "a report written where a pipe waits": Input(
        run(piped_partial, report), rule="the pipe is removed, not opened"),
}  # fmt: skip
