import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from binaries.tf_config import tf_config
from tfsupermask._validation import InputError

ROOT = Path(__file__).parents[2]


def worker(hosts, index, port=2301):
    return json.loads(tf_config(hosts, index, port))


def test_every_process_has_its_own_address():
    assert worker(["a", "b", "a"], 2) == {
        "cluster": {"worker": ["a:2301", "b:2301", "a:2302"]},
        "task": {"type": "worker", "index": 2},
    }


@pytest.mark.parametrize(
    ("hosts", "index", "message"),
    [
        (None, 0, "`hosts` must name.*hosts=None"),
        (["a", ""], 0, "`hosts` must name"),
        (["a:5000", "b"], 0, "without a port.*a:5000"),
        (["a", "b"], 2, r"`index` must be in \[0, 2\).*index=2"),
        (["a", "b"], -1, "index=-1"),
        (["a", "b"], None, "index=None"),
    ],
)
def test_refuses_what_names_no_process(hosts, index, message):
    with pytest.raises(InputError, match=message):
        tf_config(hosts, index, 2301)


@pytest.mark.parametrize(
    ("launcher", "environment"),
    [
        ("Slurm", {"SLURM_JOB_NODELIST": "n[0-1]", "SLURM_PROCID": "1"}),
        ("Kubernetes", {"JOB_COMPLETION_INDEX": "1"}),
    ],
)
def test_the_documents_lines_set_tf_config(launcher, environment, tmp_path):
    text = (ROOT / "docs" / "long_runs.md").read_text()
    section = text.split(f"### {launcher}")[1].split("###")[0]
    line = re.search(r"export TF_CONFIG=\$\(.*?\)[\"']?\n|export.*?\);", section, re.S)
    command = re.sub(r"\s*\\?\n\s*", " ", line[0]).rstrip("; ")
    # Stand-ins for the commands of a cluster's node.
    (tmp_path / "scontrol").write_text("#!/bin/sh\nprintf 'n0\\nn1\\n'\n")
    (tmp_path / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    for name in ("scontrol", "python"):
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", f"{command}; echo $TF_CONFIG"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", **environment},
    )
    found = json.loads(done.stdout)
    assert found["task"]["index"] == 1, done.stderr
    assert len(found["cluster"]["worker"]) == 2
