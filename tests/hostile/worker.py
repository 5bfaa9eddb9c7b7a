"""Runs hostile inputs one after another and tells what each did, a JSON line each.

python -m tests.hostile.worker NAMES.json

The names are judged in their order. The honest inputs are read once before anything is
measured, and one that makes TensorFlow start its devices: what a program does when it
starts is not measured.
"""

import ctypes
import gc
import json
import os
import re
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from binaries import _tensorflow  # noqa: F401 - TensorFlow without its messages
from tests.hostile.inputs import INPUTS
from tests.hostile.judging import judge

_STARTS_DEVICES = "train --workdir in a file"
_SPARE = 4 << 30  # bytes of address space beyond the start: a bomb hits this, not us


def main(names_file):
    answers = os.fdopen(os.dup(1), "w")
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    names = json.loads(Path(names_file).read_text())
    for name, given in INPUTS.items():
        if "honest" in name or name == _STARTS_DEVICES:
            _run(given)
    resource.setrlimit(resource.RLIMIT_AS, (_status("VmSize") + _SPARE, -1))
    answers.write("{}\n")
    for name in names:
        answers.write(json.dumps({"name": name}) + "\n")
        answers.flush()
        answers.write(json.dumps(_run(INPUTS[name])) + "\n")
        answers.flush()


def _run(given):
    folder = Path(tempfile.mkdtemp(prefix="hostile."))
    try:
        call = given.make(folder)
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        held, start = _status("VmRSS"), time.perf_counter()
        timed = []

        def timed_call():
            try:
                call()
            finally:
                timed.append(time.perf_counter() - start)

        outcome = judge(given, timed_call, folder)
        return {
            "refused": outcome.refused,
            "words": _same_paths(outcome.words, folder),
            "faults": outcome.faults,
            "warned": [_same_paths(text, folder) for text in outcome.warned],
            "seconds": timed[0],
            "bytes": max(0, _status("VmHWM") - held),
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _same_paths(text, folder):
    """Returns a text with the same paths in every trial."""
    text = text.replace(str(folder), "FOLDER")
    return re.sub(rf"{tempfile.gettempdir()}/(\w+-)\w+", r"TEMPORARY/\1…", text)


def _status(field):
    text = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(rf"{field}:\s+(\d+)", text)[1])


if __name__ == "__main__":
    main(sys.argv[1])
