import os
import subprocess
import sys

import pytest

from tfsupermask._validation import InputError
from tfsupermask.runs.folder import LOCK, locked

HOLD = (
    "import pathlib, sys, time; from tfsupermask.runs.folder import locked\n"
    "with locked(pathlib.Path(sys.argv[1])): print('in', flush=True); time.sleep(60)"
)


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "in\n"
        yield process
        process.kill()


def test_a_lock_lasts_as_long_as_its_process(holder, tmp_path):
    with pytest.raises(InputError, match=f"process='{holder.pid}@"), locked(tmp_path):
        pytest.fail("let in")
    holder.kill()
    holder.wait()
    for _ in range(2):
        with locked(tmp_path):
            assert (tmp_path / LOCK).read_text().startswith(f"{os.getpid()}@")
