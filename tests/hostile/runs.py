"""Run folders, and the reports and files that are made of them."""

import functools
import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from tests.hostile.judging import DEEP, ESCAPE, RAN, Input, refused
from tests.hostile.pictures import sparse, zero
from tests.hostile.saved import pickled
from tfsupermask.report import write_report
from tfsupermask.runs import Config
from tfsupermask.runs import checkpoint as checkpoints
from tfsupermask.runs.checkpoint import Checkpoint
from tfsupermask.runs.folder import RunFolder, claimed
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
    """Returns the maker of a run with other settings; `None` leaves one out."""
    return _edited("config", changes)


def images(**changes):
    return _edited("data", changes)


def _edited(section, changes):
    def change(folder):
        tree = json.loads(folder.config.read_text())
        tree[section].update(changes)
        kept = {k: v for k, v in tree[section].items() if v is not None}
        folder.config.write_text(json.dumps(tree | {section: kept}))

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


def report(folder):
    return write_report([folder], folder / "report.html")


def metrics(*rows):
    """Returns the maker of a report of a run with these rows of metrics."""
    return text("\n".join([",".join(COLUMNS), *rows]), "metrics", report)


def linked_partial(folder):
    """The place where a file is written aside is a link to another file."""
    victim = folder.root / "precious"
    victim.write_text("precious")
    (folder.root / "report.html.partial").symlink_to(victim)


class _Images:
    class_names, image_shape = ("a", "b"), (8, 8, 3)
    mean = std = np.ones(3, np.float32)
    sha256 = "0" * 64


def go_on(folder):
    """Claims the folder as `train` does."""
    with claimed(RunFolder(folder), _CONFIG, _Images):
        pass


REST = len(COLUMNS) - 1

INPUTS = {
    "an honest run": Input(run(), rule="loaded"),
    **refused("config.json", {
        "an empty config.json": text(""),
        "a config.json that is a list": text("[]"),
        "a config.json 100,000 deep": text(DEEP),
        "a config.json that is no Unicode":
            instead(lambda path: path.write_bytes(b"\xff\xfe")),
        "a config.json of 1 TB, all hole": instead(sparse),
        "a config with a field of nobody": config(__class__="evil"),
        "going on in a run whose config.json is 100,000 deep": text(DEEP, read=go_on),
        "going on in a run whose config.json is a number": text("3", read=go_on),
        "going on in a run whose config.json is empty": text("", read=go_on),
    }),
    **refused("folder of a run", {
        "a pipe called config.json": instead(os.mkfifo),
        "/dev/zero called config.json": instead(zero),
    }),
    "a config of model os.system": Input(config(model="os.system"), "`model` must be"),
    **refused("`prune` must be", {
        "a config of prune 1e999": config(prune=float("inf")),
        "a config of prune NaN": config(prune=float("nan")),
        "a config of prune '0.5'": config(prune="0.5"),
    }),
    "a config of width 1e999": Input(
        config(width=float("inf")), "`width` must be"),
    "a config of whole_layers []": Input(
        config(whole_layers=[]), "`whole_layers` must be"),
    "a config of affine_norm 'yes'": Input(
        config(affine_norm="yes"), "`affine_norm` must be"),
    "a config of seed 2**70": Input(
        config(seed=2**70), rule="any integer from 0 on is a seed"),
    "a config of seed -1": Input(config(seed=-1), "`seed` must be"),
    "a config of epochs []": Input(config(epochs=[]), "`epochs` must be"),
    "a config of dataset []": Input(config(dataset=[]), "`dataset` must be"),
    "a config of workdir 5": Input(config(workdir=5), "`workdir` must be"),
    "a config of data_dir {}": Input(config(data_dir={}), "`data_dir` must be"),
    "a config of mixed_precision 'no'": Input(
        config(mixed_precision="no"), "`mixed_precision` must be"),
    "a config of ramp_epochs null": Input(
        config(ramp_epochs=None), rule="what is null has its default"),
    "a config of epochs 2**70": Input(config(epochs=2**70), "`epochs` must be"),
    **refused("image_shape", {
        "a config without its images": images(image_shape=None),
        "images of 10⁹ × 10⁹": images(image_shape=[10**9, 10**9, 3]),
        "images of 2**70 pixels": images(image_shape=[2**70, 1, 3]),
        "images of -1 pixels": images(image_shape=[-1, 8, 3]),
        "images of texts": images(image_shape=["8", "8", "3"]),
    }),
    **refused("checkpoint", {
        "a config of width 100": config(width=100),
        "images of 4,000 × 4,000": images(image_shape=[4000, 4000, 3]),
        "100,000 class names": images(class_names=["c"] * 100_000),
        "a checkpoint that lacks a kernel": kernel(None),
        "a checkpoint whose kernel is a text": kernel(np.full((3, 3, 3, 64), "x")),
    }),
    "class names that are a number": Input(images(class_names=3), "class_names"),
    "class names that command the terminal": Input(
        images(class_names=[ESCAPE, "b"]), "control characters"),
    "a mean of NaN": Input(images(mean=[float("nan")] * 3), "mean"),
    "a std of 0": Input(images(std=[0.0] * 3), "std"),
    "a mean of 2**70 numbers' texts": Input(images(mean="9" * 100), "`mean`"),
    **refused("intact checkpoint", {
        "a run without checkpoints":
            run(lambda folder: shutil.rmtree(folder.checkpoints)),
        "a run whose only checkpoint is a pickle": run(only_pickle),
    }),
    "a checkpoint whose kernel has another shape": Input(
        kernel(np.zeros((9, 9, 9), np.float32)), "checkpoint must hold"),
    "a checkpoint whose kernel is NaN": Input(
        kernel(np.full((3, 3, 3, 64), np.nan, np.float32)),
        rule="values are as they are"),
    **refused("num_kept", {
        "a mask that keeps -1 weights": kernel(np.array(-1), "num_kept"),
        "a mask that keeps 2⁶² weights": kernel(np.array(2**62), "num_kept"),
    }),
    "a report of an honest run": Input(run(read=report), rule="written"),
    **refused("files must be whole and of this program", {
        "a report of metrics that are numbers of nobody":
            metrics("1e999,NaN,-1,2**70,x,,,,,,\n"),
        "a report of metrics that are all 1e999": metrics("1e999" + ",1e999" * REST),
        "a report of metrics that are all NaN": metrics("1" + ",NaN" * REST),
        "a report of a metric of 200,000 digits": metrics("9" * 200_000),
        "a report of metrics with a zero byte": metrics("1\0,"),
    }),
    "a report of a metric of 1e308 and one of -1e308": Input(
        metrics("1" + ",1e308" * REST, "2" + ",-1e308" * REST),
        rule="drawn: they are finite"),
    "a report of a pipe called metrics.csv": Input(
        instead(os.mkfifo, "metrics", report), rule="no file: no curves"),
    **refused("summary.json", {
        "a report of a summary.json 100,000 deep": text(DEEP, "summary", report),
        "a report of a summary.json that is a number": text("3", "summary", report),
    }),
    **refused("init.json", {
        "a report of an init.json that is a list": text("[]", "init_report", report),
        "a report of an init.json 100,000 deep": text(DEEP, "init_report", report),
    }),
    "a report written where a link leads to another file": Input(
        run(linked_partial, report), rule="the link is removed, not followed"),
    "a report written where a pipe waits": Input(
        run(lambda folder: os.mkfifo(folder.root / "report.html.partial"), report),
        rule="the pipe is removed, not opened"),
}  # fmt: skip
