"""Starts Python as a user does, with the programs' own level of logging."""

import os
import subprocess
import sys


def start(*arguments, cwd, **environment):
    inherited = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env={**inherited, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    """Returns the exit status of a process, and what it wrote after its first line."""
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err.removeprefix("loading TensorFlow\n")


def call(*arguments, cwd):
    return finish(start(*arguments, cwd=cwd))
