import errno
import json
import os

import pytest

from tfsupermask._files import make_folder, write_atomically, write_json


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def write(file):
        file.write(b"half of the new")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, write)
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_an_error_of_the_disk_names_the_file(tmp_path):
    def write(file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match=r"No space left on device: '.*file'"):
        write_atomically(tmp_path / "file", write)


def test_what_lies_where_it_writes_aside_is_not_followed(tmp_path):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "a.partial").symlink_to(tmp_path / "precious")
    os.mkfifo(tmp_path / "b.partial")
    for name in "ab":
        write_atomically(tmp_path / name, lambda file: file.write(b"new"))
        assert (tmp_path / name).read_text() == "new"
        assert not (tmp_path / name).is_symlink()
    assert (tmp_path / "precious").read_text() == "precious"


def test_makes_folders_that_are_missing(tmp_path):
    for _ in range(2):
        make_folder(tmp_path / "a" / "b" / "c")
        assert (tmp_path / "a" / "b" / "c").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        make_folder(tmp_path / "file" / "x")


def test_json_round_trip(tmp_path):
    value = {"name": "ñandú", "numbers": [1, 0.5, None]}
    write_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text()) == value
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
