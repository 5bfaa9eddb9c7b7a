"""Runs in processes of their own, each on a GPU or on some of the cores."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import tensorflow as tf

from tfsupermask._validation import check_integer, fail
from tfsupermask.runs import Config

WORKER = "tfsupermask.experiments.running.worker"


@dataclasses.dataclass(frozen=True)
class Place:
    """The cores that a process may use, and the GPU that it sees as CUDA names it."""

    cores: tuple[int, ...]
    gpu: str | None = None


def share_machine(processes: int | None = None) -> list[Place]:
    """Returns a place for each process; by default for one a GPU, 1 without any."""
    gpus, cores = _gpus(), sorted(os.sched_getaffinity(0))
    number = max(1, len(gpus)) if processes is None else processes
    if check_integer("processes", number, minimum=1) > len(cores):
        raise fail(
            f"`processes` must be at most {len(cores)}, the number of cores.",
            processes=number,
        )
    return [
        Place(tuple(cores[i::number]), gpus[i % len(gpus)] if gpus else None)
        for i in range(number)
    ]


def _gpus():
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible:
        return visible.split(",")
    return [str(n) for n, _ in enumerate(tf.config.list_physical_devices("GPU"))]


class RunProcess:
    """A run in a process of its own.

    It gets no signals of a terminal: whoever started it ends it, and if that one dies
    it ends by itself. Either way it saves first. What it prints is added to `log`.
    """

    def __init__(self, config: Config, place: Place, log: Path):
        self.place, self._log = place, log
        self._began = time.monotonic()
        environment = dict(os.environ, TF_FORCE_GPU_ALLOW_GROWTH="true")
        if place.gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = place.gpu
        with open(log, "ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", WORKER, json.dumps(dataclasses.asdict(config))],
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        os.sched_setaffinity(self._process.pid, place.cores)

    @property
    def seconds(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._began

    def wait(self, seconds: float) -> bool:
        """Waits for some seconds at most; returns whether the process has ended."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        self._process.stdin.close()
        return True

    def end(self) -> None:
        """Asks it to save and to end."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def why_failed(self) -> str | None:
        """Returns a sentence on why an ended process failed, `None` if it did not."""
        status = self._process.returncode
        if status == 0:
            return None
        if status < 0:
            return f"Ended by {signal.Signals(-status).name}; its log: {self._log}"
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"Ended with status {status}."
