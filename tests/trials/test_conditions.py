import subprocess
import sys
from pathlib import Path

from trials.conditions import Condition, Shell, conditions

ROOT = Path(__file__).parents[2]


def test_there_are_enough_and_some_are_within(tmp_path):
    assert len(dict(conditions())) == len(list(conditions())) > 150
    done = subprocess.run(
        [sys.executable, "-m", "trials.conditions", "--only=tf_config --help, s"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("\n4 conditions, 0 outside\n")


def test_what_is_outside_is_found(tmp_path):
    shell = Shell(tmp_path, "echo there > there")
    for condition, fault in {
        Condition("echo 'Traceback' >&2; exit 1", "x"): "a traceback",
        Condition("echo error: y >&2; exit 1", "x"): "not the one sentence",
        Condition("echo y >&2; exit 1", "y"): "no sentence",
        Condition("exit 1", "x"): "not the one sentence",
        Condition("echo error: x >&2", "x"): "status 0, not 1",
        Condition("exit 1"): "status 1, not 0",
        Condition("echo x >&2"): "says something",
        Condition("touch a.partial", None, ("*",)): "leaves 'a.partial'",
        Condition("touch b"): "leaves 'b'",
        Condition("touch $TMPDIR/c"): "leaves 'c' in TMPDIR",
        Condition("echo > $MADE/there"): "what existed is lost or changed",
    }.items():
        assert fault in shell.judge(condition)[1], condition
    (tmp_path / "other").mkdir()
    assert Shell(tmp_path / "other", "true").judge(Condition("echo x"))[1] == []
