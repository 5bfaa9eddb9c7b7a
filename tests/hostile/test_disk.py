import os

import pytest

from tests.hostile.crashes import crashes
from tests.hostile.disk import Disk, logged, write_state
from tfsupermask import _files


def states_after(root, act):
    """Returns what a crash could leave after each operation of `act`."""
    disk = Disk(root)
    with logged(root) as log:
        act()
    found = [list(disk.states())]
    for operation in log:
        disk.do(operation)
        found.append(list(disk.states()))
    return log, found


def contents_of(states, path):
    return {state.get(path) for state in states}


def test_a_whole_file_or_the_one_before(tmp_path):
    (tmp_path / "f").write_bytes(b"old")
    log, states = states_after(
        tmp_path,
        lambda: _files.write_atomically(tmp_path / "f", lambda f: f.write(b"new!")),
    )
    kinds = [operation.kind for operation in log]
    assert kinds == ["create", "write", "sync", "rename", "sync folder"]
    assert [contents_of(each, "f") for each in states] == [
        *[{b"old"}] * 4,
        {b"old", b"new!"},
        {b"new!"},
    ]
    assert contents_of(states[2], "f.partial") == {None, b"", b"ne", bytes(4), b"new!"}


def test_without_syncs_half_a_file_is_possible(tmp_path):
    """The model would notice if a file were not written aside, or not made to last."""
    (tmp_path / "f").write_bytes(b"old")

    def careless():
        with _files.open(tmp_path / "g", "wb") as file:
            file.write(b"new!")
        os.replace(tmp_path / "g", tmp_path / "f")

    _, states = states_after(tmp_path, careless)
    assert contents_of(states[-1], "f") == {b"old", b"", b"ne", bytes(4), b"new!"}


def test_a_folder_that_was_not_made_to_last_takes_its_files_along(tmp_path):
    def act():
        os.mkdir(tmp_path / "d")
        _files.write_atomically(tmp_path / "d" / "f", lambda f: f.write(b"x"))

    _, states = states_after(tmp_path, act)
    assert contents_of(states[-1], "d/f") == {None, b"x"}


def test_states_are_written(tmp_path):
    write_state({".": None, "d": None, "d/f": b"x"}, tmp_path)
    assert (tmp_path / "d" / "f").read_bytes() == b"x"


@pytest.mark.filterwarnings("ignore:Checkpoint")
@pytest.mark.parametrize("first", [False, True])
def test_every_crash_while_a_checkpoint_is_saved_is_recovered_from(first):
    found = crashes(first)
    assert found["tried"] > 100
    assert found["missed"] == 0


@pytest.mark.filterwarnings("ignore:Checkpoint")
@pytest.mark.parametrize("ignored", ["sync", "sync folder", "rename"])
def test_a_save_that_does_not_last_is_noticed(ignored):
    assert crashes(first=False, ignored=(ignored,))["missed"] > 0
