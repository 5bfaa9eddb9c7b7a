import pickle
import tempfile
from unittest import mock

import pytest

from tests.hostile import saved
from tests.hostile.inputs import GROUPS, INPUTS
from tests.hostile.judging import ESCAPE, RAN, Input, judge


@pytest.mark.parametrize("name", INPUTS)
def test_does_no_harm(name, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    given = INPUTS[name]
    outcome = judge(given, given.make(tmp_path), tmp_path)
    assert not outcome.faults, outcome.words


def test_there_are_many():
    assert len(INPUTS) == sum(map(len, GROUPS.values())) >= 100
    assert all(bool(given.says) != bool(given.rule) for given in INPUTS.values())


def test_the_code_in_pickles_would_be_noticed(tmp_path):
    """If it were run: the inputs that hold it are no duds."""
    content = saved.bare_pickle(tmp_path / "x.npz")
    outcome = judge(Input(None), lambda: pickle.loads(content), tmp_path)
    assert outcome.faults == ("its code was run",)
    assert content in saved.pickled(tmp_path / "x.npz")


def refusing(text):
    return mock.Mock(side_effect=OSError(text))


@pytest.mark.parametrize(
    ("says", "make", "fault"),
    [
        (None, lambda root: (root / RAN).touch, "its code was run"),
        (None, lambda root: lambda: (root / "there").write_text(""), "gone or changed"),
        (None, lambda root: (root / "there").unlink, "gone or changed"),
        (None, lambda root: lambda: (root / "x").write_bytes(b"1" * 2**23), "MB"),
        (None, lambda root: lambda: print(ESCAPE), "control characters"),
        (None, lambda root: mock.Mock(side_effect=RecursionError), "a traceback"),
        (None, lambda root: refusing("no"), "refused"),
        ("no", lambda root: lambda: None, "taken for good"),
        ("no", lambda root: refusing("yes"), "another sentence"),
        ("no", lambda root: refusing("no\nno"), "control characters"),
        ("no", lambda root: refusing("no\x1b[2J"), "control characters"),
        ("no", lambda root: refusing("no" * 1000), "more than 1000 characters"),
    ],
)
def test_harm_is_noticed(says, make, fault, tmp_path):
    (tmp_path / "there").write_text("before")
    outcome = judge(Input(make, says), make(tmp_path), tmp_path)
    assert any(fault in found for found in outcome.faults), outcome
