"""Whether memory, open files and threads stay constant in a long run.

    python -m trials.soak --epochs=50 --output=soak.json
    python -m trials.soak --quick

Runs Conv2 on small digits, and counts after every epoch the memory of the process, its
open files and its threads. The first fifth of the run fills caches and is ignored. Of
the rest, the medians of the first and the last quarter are compared: memory, which the
allocator handles by megabytes, must grow by less than 2 %, files and threads not at
all. The program ends with status 1 if they do.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import threading
from pathlib import Path

from binaries import _program, _tensorflow  # noqa: F401 before TensorFlow, silenced

# isort: split
from absl import flags
from matplotlib.figure import Figure

from benchmarks import _measure
from tests.small import small_digits
from tfsupermask import runs, train

_EPOCHS = flags.DEFINE_integer("epochs", 50, "Epochs to run.", 5)


def look():
    """Returns the memory, open files and threads of this process."""
    return {
        "bytes": _measure.resident_bytes(),
        "files": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),
        "Python's threads": threading.active_count(),
    }


def soak(epochs):
    """Returns a `look` after each epoch of a run."""
    looks = []
    with tempfile.TemporaryDirectory() as folder:
        config = runs.Config(
            workdir=str(Path(folder, "run")),
            init="kaiming_normal",
            epochs=epochs,
            batch_size=10,
            allocation="global",
        )
        with train.Job.open(config, small_digits(300)) as job:
            for _ in range(epochs):
                job.train_epoch()
                looks.append(look())
            job.finish()
    return looks


def draw(looks):
    """Returns a figure of memory against epochs."""
    figure = Figure(figsize=(6, 3))
    axes = figure.add_subplot(xlabel="epoch", ylabel="memory / MB", ylim=(0, None))
    axes.plot(
        range(1, len(looks) + 1), [each["bytes"] / 1e6 for each in looks], label="held"
    )
    axes.legend()
    return figure


def main():
    """Runs, prints a table of growth, fails if there is any."""
    print(_measure.describe(), flush=True)
    looks = soak(10 if _measure.QUICK.value else _EPOCHS.value)
    settled = looks[len(looks) // 5 :]
    quarter = len(settled) // 4
    first, last = (
        {name: statistics.median(each[name] for each in some) for name in some[0]}
        for some in (settled[:quarter], settled[-quarter:])
    )
    ends = {name: (first[name], last[name]) for name in first}
    rows = [
        [name, f"{before:,.0f}", f"{after:,.0f}", f"{after - before:+,.0f}"]
        for name, (before, after) in ends.items()
    ]
    start = len(looks) - len(settled) + 1
    heads = ["", f"from epoch {start}", f"to epoch {len(looks)}", "growth"]
    _measure.print_table(heads, rows)
    _measure.save({"looks": looks}, draw(looks))
    grown = [name for name in first if name != "bytes" and last[name] > first[name]]
    if last["bytes"] > 1.02 * first["bytes"]:
        grown.append("bytes")
    if grown:
        sys.exit(f"error: These must not grow in a long run. Received: {grown}")


if __name__ == "__main__":
    _program.start(main)
