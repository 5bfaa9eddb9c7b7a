import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DATA_DIR = os.environ.get("TFSUPERMASK_DATA_DIR")


def measure(*flags):
    """Returns the colour and the rank of each rule's filters."""
    command = [sys.executable, "-m", "benchmarks.selection", *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    _, _, *rows = (line.strip("| ").split("|") for line in done.stdout.splitlines())
    return {rule.strip(): tuple(map(float, cell.split(","))) for rule, cell in rows}


def test_grey_images_give_filters_without_colour():
    found = measure("--quick")
    assert list(found) == ["high entropy", "low entropy", "linear", "largest", "any"]
    for colour, rank in found.values():
        assert colour == 0
        assert 1 < rank <= 9


@pytest.mark.skipif(not DATA_DIR, reason="needs TFSUPERMASK_DATA_DIR")
def test_clusters_of_all_classes_have_little_colour():
    found = measure("--number=25", f"--data_dir={DATA_DIR}")
    assert found["high entropy"][0] < 0.2 < found["any"][0] < found["low entropy"][0]
