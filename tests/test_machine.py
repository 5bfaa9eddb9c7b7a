import os
import platform
import subprocess

import pytest

from tfsupermask import _machine

INTEL = "processor\t: 0\nmodel name\t: Some CPU: 2.1 GHz \n\nmodel name\t: Another\n"


@pytest.mark.parametrize(
    ("cpuinfo", "told", "expected"),
    [
        (INTEL, "x86_64", "Some CPU: 2.1 GHz"),
        ("processor\t: 0\nBogoMIPS\t: 50\n", "aarch64", "aarch64"),
        ("", "", "some_architecture"),
        (None, "arm", "arm"),
    ],
)
def test_processor_is_named_as_far_as_it_tells(
    monkeypatch, tmp_path, cpuinfo, told, expected
):
    path = tmp_path / "cpuinfo"
    if cpuinfo is not None:
        path.write_text(cpuinfo)
    monkeypatch.setattr(_machine, "_CPUINFO", path)
    monkeypatch.setattr(platform, "processor", lambda: told)
    monkeypatch.setattr(platform, "machine", lambda: "some_architecture")
    assert _machine.processor() == expected


def test_only_cores_that_may_be_used_count(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {1, 2, 7})
    assert _machine.num_cores() == 3


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A git checkout with a commit of one file; the package is said to be in it."""

    def git(*arguments):
        who = ["-c", "user.name=n", "-c", "user.email=e"]
        command = ["git", "-C", str(tmp_path), *who, *arguments]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    (tmp_path / "file.py").write_text("1")
    git("init")
    git("add", "file.py")
    git("commit", "-m", "one")
    monkeypatch.setattr(_machine, "_CHECKOUT", tmp_path)
    return tmp_path, git


def test_the_commit_is_the_checkouts(checkout, monkeypatch):
    root, git = checkout
    head = git("rev-parse", "HEAD")
    assert len(head) == 40
    git("tag", "-a", "v1", "-m", "v1")
    (root / "new.txt").write_text("not of the commit")
    monkeypatch.setenv("GIT_DIR", "/elsewhere")
    assert _machine.commit() == head
    (root / "file.py").write_text("2")
    assert _machine.commit() == f"{head}+"


def test_without_a_checkout_there_is_no_commit(checkout, monkeypatch):
    root, _ = checkout
    inside = root / "site-packages"
    inside.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(_machine, "_CHECKOUT", inside)
        assert _machine.commit() is None
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(inside))
        assert _machine.commit() is None
