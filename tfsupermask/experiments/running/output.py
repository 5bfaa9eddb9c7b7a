"""The folder of a reproduction: where everything is, and which runs are done."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from tfsupermask._reading import DAMAGED
from tfsupermask.experiments.running.outcomes import Outcome, read_outcome
from tfsupermask.experiments.running.planning import PlannedRun
from tfsupermask.runs import Config
from tfsupermask.runs.folder import inside


@dataclasses.dataclass(frozen=True)
class OutputFolder:
    """The names of everything in the folder that `binaries.reproduce` writes.

    Attributes:
        root: The folder.

    Example:
        >>> from pathlib import Path
        >>> OutputFolder(Path("reproduction")).runs
        PosixPath('reproduction/runs')
    """

    root: Path

    runs = inside("runs", "A folder for each run.")
    logs = inside("logs", "A file for each run: what it printed.")
    failures = inside("failed", "A file for each run that failed: why.")
    tables = inside("tables", "Each experiment's numbers.")
    figures = inside("figures", "Pictures of those that have any.")
    index = inside("index.html", "The page with everything.")

    def run(self, job: PlannedRun) -> Path:
        """Returns the folder of a run."""
        return self.runs / job.name

    def config(self, job: PlannedRun) -> Config:
        """Returns the config of a run, with the folders that it writes and reads."""
        read = {flag: str(self.run(other)) for flag, other in job.needs}
        return dataclasses.replace(job.config, workdir=str(self.run(job)), **read)

    def log(self, job: PlannedRun) -> Path:
        """Returns the file that holds what a run printed."""
        return self.logs / f"{job.name}.txt"

    def failure(self, job: PlannedRun) -> Path:
        """Returns the file that says why a run failed; it is missing if it did not."""
        return self.failures / f"{job.name}.txt"

    def outcome(self, job: PlannedRun) -> Outcome | None:
        """Returns what a run reached, or `None` before the last of its epochs."""
        # Damaged files count as missing: the run writes them again.
        with contextlib.suppress(*DAMAGED):
            outcome = read_outcome(self.run(job))
            if outcome and len(outcome.rows) >= outcome.epoch >= job.epochs:
                return outcome
        return None

    def why_failed(self, job: PlannedRun) -> str | None:
        """Returns the recorded reason why a run failed, or `None`."""
        path = self.failure(job)
        return path.read_text().strip() if path.is_file() else None

    def failed(self, jobs: Sequence[PlannedRun]) -> list[str]:
        """Returns the names of those runs that failed, and were not done otherwise."""
        return [
            job.name for job in jobs if self.why_failed(job) and not self.outcome(job)
        ]
