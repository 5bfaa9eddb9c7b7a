import math

import pytest

from tfsupermask._files import write_json
from tfsupermask.experiments import OutputFolder, Scope, plan
from tfsupermask.experiments.telling.collecting import collect
from tfsupermask.runs import RunFolder
from tfsupermask.runs.metrics import columns, write_csv


def summary_of(job, accuracy, **more):
    """What a finished run says of itself."""
    summary = {
        "epoch": job.epochs,
        "epochs": job.config.epochs,
        "init_seconds": 90.0,
        "machine": {"processor": "Abacus 9", "cores": 4},
        "versions": {"python": "3.11.1", "tensorflow": "2.21.0"},
    }
    if job.epochs:
        summary |= {**accuracies(accuracy), "train_seconds": 30.0}
    return {name: value for name, value in (summary | more).items() if value is not ...}


def accuracies(top1, part=1):
    return {"test_top1": top1 * part, "test_top5": min(1.0, top1 + 0.25) * part}


def rows_of(job, accuracy):
    """Curves that come up to an accuracy."""
    rows = []
    for epoch in range(1, job.epochs + 1):
        part = 1 - math.exp(-5 * epoch / job.epochs)
        row = {"epoch": epoch, "train_loss": 2.3 * (1 - part * accuracy)}
        rows.append(
            dict.fromkeys(columns("test"), 0.0) | row | accuracies(accuracy, part)
        )
    return rows


def finish(folder, job, accuracy, **more):
    """Writes what a finished run leaves; `more` replaces, `...` leaves out."""
    run = RunFolder(folder.run(job))
    run.root.mkdir(parents=True)
    write_json(run.summary, summary_of(job, accuracy, **more))
    write_csv(run.metrics, rows_of(job, accuracy), "test")
    if "patches" in job.config.init:
        layers = [{"mean_entropy": 5 + layer / 10} for layer in range(6)]
        write_json(run.init_report, {"layers": layers})


class FakeOutput:
    """A folder that says that runs are done, which nobody has run."""

    def __init__(self, root):
        self.folder = OutputFolder(root)

    def finish(self, experiment, scope, accuracy, **more):
        """Finishes every run to which `accuracy(config)` gives a number."""
        for job in plan([experiment], scope):
            value = accuracy(job.config)
            if value is not None and not self.folder.run(job).exists():
                finish(self.folder, job, value, **more)

    def collect(self, experiment, scope):
        """What an experiment's runs are said to have reached."""
        return collect(experiment, scope, self.folder)

    def fail(self, experiment, scope, seed, reason):
        """Records that an experiment's runs of a seed failed; returns their names."""
        self.folder.failures.mkdir(parents=True, exist_ok=True)
        jobs = [j for j in plan([experiment], scope) if j.config.seed == seed]
        for job in jobs:
            self.folder.failure(job).write_text(f"{reason}\n")
        return [job.name for job in jobs]


@pytest.fixture(scope="session")
def make_fake():
    return FakeOutput


@pytest.fixture
def fake(tmp_path):
    return FakeOutput(tmp_path / "output")


@pytest.fixture
def short():
    """Two epochs of everything."""
    return Scope(epochs=2)
