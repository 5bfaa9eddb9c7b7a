"""Command lines of the programs, run in this process."""

import runpy
import sys
from unittest import mock

from absl import app, flags

from tests.hostile.judging import ESCAPE, Input


def start(program, *arguments):
    """Runs a program as `python -m binaries.NAME` does; it ends by `SystemExit`."""
    app.define_help_flags()
    others = _take_flags()
    command = [program, *arguments]
    try:
        with mock.patch.object(sys, "argv", command):
            runpy.run_module(f"binaries.{program}", run_name="__main__")
    finally:
        _take_flags()
        for name, flag in others.items():
            flags.FLAGS[name] = flag
        flags.FLAGS.unparse_flags()


def _take_flags():
    """Removes the flags of all programs but absl's own, and returns them by name."""
    taken = {}
    for name in list(flags.FLAGS):
        if not flags.FLAGS.find_module_defining_flag(name, "").startswith("absl"):
            taken[name] = flags.FLAGS[name]
            delattr(flags.FLAGS, name)
    return taken


def command(program, *arguments):
    """Returns the maker of a command line; `{}` in it stands for the folder."""

    def make(folder):
        texts = [text.replace("{}", str(folder)) for text in arguments]
        return lambda: start(program, *texts)

    return make


def train(*arguments):
    return command("train", "--workdir={}/run", *arguments)


def one(flag, value):
    """Returns the maker of `train` with one flag."""
    return train(f"--{flag}={value}")


_SHOWN = {27: "␛", 7: "␇"}

_OUT_OF_RANGE = {
    "prune": ("-1", "1", "1e999", "nan", "half"),
    "epochs": ("0", "-1", "1.5", "1e9"),
    "image_size": ("0", "-8", "9.5"),
    "num_patches": ("0", "-5", "many"),
    "num_clusters": ("0",),
    "discriminative_from": ("0",),
    "patch_blocks": ("0",),
    "batch_size": ("0", "-1"),
    "learning_rate": ("-1", "inf", "nan"),
    "momentum": ("1", "-0.1"),
    "weight_decay": ("-1", "nan"),
    "seed": ("-1", "0.5"),
    "ramp_epochs": ("-1",),
    "stop_after_epoch": ("-1",),
    "limit_images": ("0",),
    "validation_images": ("0",),
    "num_components": ("0",),
    "double_from": ("0",),
    "patch_layers": ("0",),
    "rest": ("patches",),
    "cluster_space": ("zca",),
    "filter_space": ("zca",),
    "select": ("best",),
    "rescale": ("lsuv",),
    "method": ("magic",),
    "model": ("conv7", "", "../conv2", ESCAPE),
    "dataset": ("mnist", ESCAPE),
    "init": ("__import__",),
    "allocation": ("all",),
    "strategy": ("tpu",),
    "resume": ("perhaps",),
}
_RANGES = {
    f"train --{flag}={value.translate(_SHOWN)}": Input(one(flag, value), rf"{flag}")
    for flag, values in _OUT_OF_RANGE.items()
    for value in values
}
INPUTS = _RANGES | {
    "train --batch_size=2**70": Input(one("batch_size", 2**70), "batch_size"),
    "train --num_patches=10**30": Input(one("num_patches", 10**30), "num_patches"),
    "train --epochs=2**70": Input(one("epochs", 2**70), "epochs"),
    "train with an unknown flag": Input(train("--nosuch=1"), "nosuch"),
    "train with a stray argument": Input(train("conv6"), "must be flags.*conv6"),
    "train with a stray argument that commands the terminal": Input(
        train(ESCAPE), "must be flags"),
    "train with a flag that commands the terminal": Input(
        train(f"--{ESCAPE}=1"), "flag"),
    "train --dataset=folder without a folder": Input(
        train("--dataset=folder"), "data_dir"),
    "train --data_dir that is not there": Input(
        train("--dataset=folder", "--data_dir=/nowhere"), "does not exist"),
    "train --data_dir that commands the terminal": Input(
        train("--dataset=folder", f"--data_dir=/{ESCAPE}"), "does not exist"),
    "train --workdir in a file": Input(
        command("train", "--workdir=/dev/null/run"), "workdir"),
    "train --workdir of 5,000 characters": Input(
        command("train", f"--workdir={{}}/{'w' * 5000}"), "workdir"),
    "train --stop_after_epoch beyond --epochs": Input(
        train("--epochs=3", "--stop_after_epoch=5"), "stop_after_epoch"),
    "evaluate without --path": Input(command("evaluate"), "path"),
    "evaluate of nothing": Input(
        command("evaluate", "--path={}/nothing"), "run folder or an exported"),
    "evaluate of an empty folder": Input(
        command("evaluate", "--path={}"), "folder of a run"),
    "evaluate of a path that commands the terminal": Input(
        command("evaluate", f"--path=/{ESCAPE}"), "run folder or an exported"),
    "evaluate of /dev/zero": Input(
        command("evaluate", "--path=/dev/zero"), "folder of a run"),
    "predict without images": Input(
        command("predict", "--path={}"), "at least one image"),
    "predict --top=0": Input(command("predict", "--path={}", "--top=0", "x"), "top"),
    "predict by an empty folder": Input(
        command("predict", "--path={}", "x.png"), "SavedModel"),
    "export of nothing": Input(
        command("export", "--path={}", "--output={}/x.ticket"), "folder of a run"),
    "export to an unknown suffix": Input(
        command("export", "--path={}", "--output={}/x.exe"), "must end in"),
    "export to a name that commands the terminal": Input(
        command("export", "--path={}", f"--output={{}}/x.{ESCAPE}"), "must end in"),
    "export --precision=int1": Input(
        command("export", "--path={}", "--output={}/x.tflite", "--precision=int1"),
        "precision"),
    "export --precision that commands the terminal": Input(
        command("export", "--path={}", "--output={}/x", f"--precision={ESCAPE}"),
        "precision"),
    "report without a run": Input(command("report"), "at least one run"),
    "report of an empty folder": Input(command("report", "{}"), "folder of a run"),
    "report of a name with a zero byte": Input(
        command("report", "a\0b"), "folder of a run"),
    "report of /dev/zero": Input(command("report", "/dev/zero"), "folder of a run"),
}  # fmt: skip
