"""Command lines of the programs, run in this process."""

import runpy
import sys
from unittest import mock

from absl import app, flags

from tests.hostile.judging import ESCAPE, Input


def start(module, *arguments):
    """Runs a program as `python -m MODULE` does; it ends by `SystemExit`."""
    app.define_help_flags()
    others = _take_flags()
    try:
        with mock.patch.object(sys, "argv", [module, *arguments]):
            runpy.run_module(module, run_name="__main__")
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


def command(line):
    """Returns the maker of a command line; `DIR` in it stands for the folder."""

    def make(folder):
        return lambda: start(*f"binaries.{line}".replace("DIR", str(folder)).split())

    return make


def train(arguments):
    return command(f"train --workdir=DIR/run {arguments}")


# Flags, and what none of them may be.
OUT_OF_RANGE = {
    "prune": "-1 1 1e999 nan half",
    "epochs": "0 -1 1.5 1e9",
    "image_size": "0 -8 9.5",
    "num_patches": "0 -5 many",
    "num_clusters discriminative_from patch_blocks limit_images validation_images": "0",
    "num_components double_from patch_layers": "0",
    "batch_size": "0 -1",
    "learning_rate": "-1 inf nan",
    "momentum": "1 -0.1",
    "weight_decay": "-1 nan",
    "seed": "-1 0.5",
    "ramp_epochs stop_after_epoch": "-1",
    "rest": "patches",
    "cluster_space filter_space": "zca",
    "select": "best",
    "rescale": "lsuv",
    "method": "magic",
    "width": "0 -1 inf nan 1e9",
    "affine_norm": "perhaps",
    "whole_layers": ", first,,last",
    "model": f"conv7 ../conv2 {ESCAPE}",
    "dataset": f"mnist {ESCAPE}",
    "init": "__import__",
    "allocation": "all",
    "strategy": "tpu",
    "resume": "perhaps",
}

# By name: what follows `train`, and what the refusal says.
TRAIN = {
    "--batch_size=2**70": (f"--batch_size={2**70}", "batch_size"),
    "--num_patches=10**30": (f"--num_patches={10**30}", "num_patches"),
    "--epochs=2**70": (f"--epochs={2**70}", "epochs"),
    "with an unknown flag": ("--nosuch=1", "nosuch"),
    "with a stray argument": ("conv6", "must be flags.*conv6"),
    "with a stray argument that commands the terminal": (ESCAPE, "must be flags"),
    "with a flag that commands the terminal": (f"--{ESCAPE}=1", "flag"),
    "--dataset=folder without a folder": ("--dataset=folder", "data_dir"),
    "--data_dir that is not there": (
        "--dataset=folder --data_dir=/nowhere", "does not exist"),
    "--data_dir that commands the terminal": (
        f"--dataset=folder --data_dir=/{ESCAPE}", "must be text that"),
    "--workdir in a file": ("--workdir=/dev/null/run", "workdir"),
    "--workdir of 5,000 characters": (f"--workdir=DIR/{'w' * 5000}", "workdir"),
    "--stop_after_epoch beyond --epochs": (
        "--epochs=3 --stop_after_epoch=5", "stop_after_epoch"),
}  # fmt: skip
_NO_PATH = "a run folder, an exported model or"
OTHERS = {
    "evaluate without --path": ("evaluate", "path"),
    "evaluate of nothing": ("evaluate --path=DIR/nothing", _NO_PATH),
    "evaluate of an empty folder": ("evaluate --path=DIR", _NO_PATH),
    "evaluate of a path that commands the terminal": (
        f"evaluate --path=/{ESCAPE}", "must be text that"),
    "evaluate of /dev/zero": ("evaluate --path=/dev/zero", _NO_PATH),
    "predict without images": ("predict --path=DIR", "at least one image"),
    "predict --top=0": ("predict --path=DIR --top=0 x", "top"),
    "predict by an empty folder": ("predict --path=DIR x.png", _NO_PATH),
    "export of nothing": (
        "export --path=DIR --output=DIR/x.ticket", _NO_PATH),
    "export to an unknown suffix": (
        "export --path=DIR --output=DIR/x.exe", "must end in"),
    "export to a name that commands the terminal": (
        f"export --path=DIR --output=DIR/x.{ESCAPE}", "must be text that"),
    "export --precision=int1": (
        "export --path=DIR --output=DIR/x.tflite --precision=int1", "precision"),
    "export --precision that commands the terminal": (
        f"export --path=DIR --output=DIR/x --precision={ESCAPE}", "precision"),
    "report without a run": ("report", "at least one run"),
    "report of an empty folder": ("report DIR", _NO_PATH),
    "report of a name with a zero byte": ("report a\0b", _NO_PATH),
    "report of /dev/zero": ("report /dev/zero", _NO_PATH),
}  # fmt: skip

_SHOWN = {27: "␛", 7: "␇"}
INPUTS = {
    f"train --{flag}={value.translate(_SHOWN)}": Input(train(f"--{flag}={value}"), flag)
    for names, values in OUT_OF_RANGE.items()
    for flag in names.split()
    for value in values.split()
}
INPUTS |= {"train --model=": Input(train("--model="), "model")}
INPUTS |= {
    f"train {key}": Input(train(what), says) for key, (what, says) in TRAIN.items()
}
INPUTS |= {key: Input(command(line), says) for key, (line, says) in OTHERS.items()}
