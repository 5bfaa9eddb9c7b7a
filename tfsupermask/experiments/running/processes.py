"""Runs in separate processes, each on one GPU or on some of the cores."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tfsupermask._on_use import OnUse
from tfsupermask._validation import check_integer, fail
from tfsupermask.runs import Config

tf = OnUse("tensorflow")
WORKER = "tfsupermask.experiments.running.worker"


@dataclasses.dataclass(frozen=True)
class Slot:
    """The cores that a process may use, and CUDA's name of its GPU."""

    cores: tuple[int, ...]
    gpu: str | None = None


def share_machine(processes: int | None = None) -> list[Slot]:
    """Returns a slot for each process; by default one for each GPU, or one in all."""
    gpus, cores = _gpus(), sorted(os.sched_getaffinity(0))
    at_most = min(len(gpus), len(cores))
    number = max(1, at_most) if processes is None else processes
    if check_integer("processes", number, minimum=1) > len(cores):
        raise fail(
            f"`processes` must be at most {len(cores)}, the number of cores.",
            processes=number,
        )
    return [
        Slot(tuple(cores[i::number]), gpus[i % len(gpus)] if gpus else None)
        for i in range(number)
    ]


def _gpus():
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible:
        return visible.split(",")
    return [str(n) for n, _ in enumerate(tf.config.list_physical_devices("GPU"))]


@contextlib.contextmanager
def _on(cores):
    """Meanwhile this thread runs on some cores, as processes do that it starts."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class RunProcess:
    """A run in a separate process, which appends what it prints to `log`.

    It gets no signals of the terminal. It saves and ends when `end` is called, or when
    the process that started it dies.
    """

    def __init__(self, config: Config, slot: Slot, log: Path):
        self.slot, self._log = slot, log
        self._began = time.monotonic()
        environment = dict(os.environ, TF_FORCE_GPU_ALLOW_GROWTH="true")
        environment.pop("TF_CONFIG", None)  # each machine has its own runs
        if slot.gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = slot.gpu
        with open(log, "ab") as file, _on(slot.cores):
            self._process = subprocess.Popen(
                [sys.executable, "-m", WORKER, json.dumps(dataclasses.asdict(config))],
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )

    @property
    def seconds(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._began

    def wait(self, seconds: float) -> bool:
        """Waits at most some seconds; returns whether the process has ended."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        self._process.stdin.close()
        return True

    def end(self) -> None:
        """Asks the process to save and to end."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def why_failed(self) -> str | None:
        """Returns why an ended process failed, as a sentence, or `None`."""
        status = self._process.returncode
        if status == 0:
            return None
        if status < 0:
            return f"Ended by {signal.Signals(-status).name}; its log: {self._log}"
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"Ended with status {status}."
