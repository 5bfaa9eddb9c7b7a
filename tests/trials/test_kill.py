import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_killed_runs_end_as_if_nothing_had_happened():
    done = subprocess.run(
        [sys.executable, "-m", "trials.kill", "--quick", "--jobs=1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NOT AS UNDISTURBED" not in done.stdout
    assert done.stdout.count("caught: ") == 2
