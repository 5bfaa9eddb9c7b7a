"""Runs the part of a plan that is not done yet."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tqdm import tqdm

from tfsupermask._files import make_folder, write_atomically
from tfsupermask._text import BAR, counted, duration
from tfsupermask._validation import fail
from tfsupermask.experiments.running.output import OutputFolder
from tfsupermask.experiments.running.planning import PlannedRun
from tfsupermask.experiments.running.processes import RunProcess, share_machine
from tfsupermask.runs import RunFolder
from tfsupermask.train.interruption import Interruption

_POLL_SECONDS = 0.5


def run_planned(
    jobs: Sequence[PlannedRun], folder: OutputFolder, processes: int | None = None
) -> None:
    """Runs what is not done yet; records a run that fails and goes on with the next.

    Interrupted runs go on where they stopped. With GPUs each process has one; without
    them each has its share of the cores.

    Args:
        jobs: The result of `tfsupermask.experiments.plan`.
        folder: Where to write; made if missing.
        processes: Number of runs at a time, at least 1. Defaults to the number of GPUs,
            or 1 without any.

    Raises:
        InputError: `processes` is out of range, or the folder has an index.html of
            something else.
        Interrupted: SIGTERM or Ctrl-C came. The runs in progress were saved.

    Example:
        >>> from pathlib import Path
        >>> scope = Scope(datasets=("digits",), epochs=1, seeds=1)
        >>> jobs = plan([find("figure", "4.2")], scope)
        >>> run_planned(jobs, OutputFolder(Path("reproduction")))
        0 runs, 0 done; 0 to do in reproduction, about 0.0 s one after another
    """
    slots = share_machine(processes)
    if folder.index.exists() and not folder.tables.is_dir():
        raise fail(
            "`output` must be new or hold a reproduction; its index.html is of "
            "something else.",
            output=str(folder.root),
        )
    for path in (folder.runs, folder.logs, folder.failures):
        make_folder(path)
    left = [job for job in jobs if folder.outcome(job) is None]
    running: dict[PlannedRun, RunProcess] = {}
    with Interruption(), _Progress(jobs, left, folder) as progress:
        try:
            while left or running:
                job = _ready(left, running) if slots else None
                if job is None:
                    _reap(running, slots, progress)
                    continue
                left.remove(job)
                if undone := [o.name for _, o in job.needs if not folder.outcome(o)]:
                    progress.failed(job, f"It needs {undone[0]}, which is not done.")
                    continue
                process = RunProcess(folder.config(job), slots.pop(0), folder.log(job))
                running[job] = process
        finally:
            for process in running.values():
                process.end()
            for process in running.values():
                while not process.wait(_POLL_SECONDS):
                    pass


def _ready(left, running):
    """Returns the first run that waits for no other one, `None` if there is none."""
    coming = {job.name for job in [*left, *running]}
    return next(
        (job for job in left if coming.isdisjoint(o.name for _, o in job.needs)), None
    )


def _reap(running, slots, progress):
    """Waits a little, removes ended processes and takes their slots back."""
    for job, process in list(running.items()):
        if process.wait(_POLL_SECONDS / len(running)):
            del running[job]
            slots.append(process.slot)
            progress.ended(job, process)
    progress.show(running)


class _Progress:
    """A bar in estimated seconds, and a line for each run that ends."""

    def __init__(self, jobs, left, folder):
        self._folder, self._count = folder, len(jobs)
        self._start = time.monotonic()
        self._left = {job: self._seconds_left(job) for job in left}
        self._total = sum(self._left.values())
        print(
            f"{counted(len(jobs), 'run')}, {len(jobs) - len(left)} done; "
            f"{len(left)} to do in {folder.root}, about {duration(self._total)} one "
            "after another"
        )

    def __enter__(self):
        self._bar = tqdm(
            total=round(self._total),
            bar_format=BAR,
            smoothing=0,
            leave=False,
            disable=None,
        )
        return self

    def __exit__(self, *exception):
        self._bar.close()

    def ended(self, job, process):
        """Records how a run ended, and prints it."""
        reason, outcome = process.why_failed(), self._folder.outcome(job)
        if reason is None and outcome is None:
            reason = "It ended, but its summary.json says less than was asked for."
        if reason is None:
            self._folder.failure(job).unlink(missing_ok=True)
            self._say(job, _reached(outcome.summary), process.seconds)
        else:
            self.failed(job, reason, process.seconds)

    def failed(self, job, reason, seconds=0.0):
        """Records why a run failed, and prints it."""
        text = f"{reason}\n".encode()
        write_atomically(self._folder.failure(job), lambda file: file.write(text))
        self._say(job, f"FAILED: {reason}", seconds)

    def _say(self, job, reached, seconds):
        del self._left[job]
        time_left = ""
        left = sum(self._left.values())
        if left and (done := self._total - left) >= 1:
            elapsed = time.monotonic() - self._start
            time_left = f", {duration(elapsed * left / done)} left"
        tqdm.write(
            f"[{self._ended}] {job.name}: {reached} ({duration(seconds)}{time_left})"
        )

    @property
    def _ended(self):
        return f"{self._count - len(self._left)}/{self._count}"

    def show(self, running):
        """Moves the bar by the epochs that the running runs have done."""
        self._left |= {job: self._seconds_left(job) for job in running}
        self._bar.n = round(self._total - sum(self._left.values()))
        self._bar.set_postfix_str(f"{self._ended} runs", refresh=False)
        self._bar.refresh()

    def _seconds_left(self, job):
        """Returns the estimated seconds of what a run has not done yet."""
        metrics = RunFolder(self._folder.run(job)).metrics
        lines = metrics.read_bytes().splitlines() if metrics.is_file() else ()
        done = min(len(lines[1:]), job.epochs)
        return job.estimated_seconds - job.training_seconds(done)


def _reached(summary):
    if "test_top1" not in summary:
        return "initialised"
    return f"test top-1 {summary['test_top1']:.4f}, top-5 {summary['test_top5']:.4f}"
