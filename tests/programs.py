"""Starts Python as a user does, with the programs' own level of logging."""

import contextlib
import io
import os
import subprocess
import sys
import warnings
from unittest import mock

import pytest

from tests.hostile import programs
from tfsupermask.train.interruption import Interruption

STARTS = "loading TensorFlow\n"


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
    return process.returncode, out, err.removeprefix(STARTS)


def call(*arguments, cwd):
    return finish(start(*arguments, cwd=cwd))


def call_here(module, *arguments, cwd):
    """Returns the same as `call("-m", ...)`, without the start of a process."""
    out, err = io.StringIO(), io.StringIO()
    with (
        Interruption(),  # puts handlers of signals back
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        warnings.catch_warnings(),
        mock.patch.object(warnings, "formatwarning", warnings.formatwarning),
    ):
        warnings.simplefilter("default")  # whatever pytest is told to leave out
        for category in (
            DeprecationWarning,
            PendingDeprecationWarning,
            ResourceWarning,
        ):
            warnings.simplefilter("ignore", category)
        warnings.filterwarnings("ignore", ".* found in sys.modules", RuntimeWarning)
        warnings.showwarning = lambda *said: err.write(
            warnings.formatwarning(*said[:4])
        )
        with pytest.raises(SystemExit) as ended:
            programs.start(module, *map(str, arguments))
    code = ended.value.code or 0
    if isinstance(code, str):
        print(code, file=err)
        code = 1
    return code, out.getvalue(), err.getvalue().removeprefix(STARTS)
