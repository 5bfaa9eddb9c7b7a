import errno
import json
import os

import pytest
import tensorflow as tf

from tfsupermask._files import (
    make_folder,
    write_atomically,
    write_folder,
    write_json,
    writing,
)


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


def test_a_folder_is_the_new_one_or_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "folder"

    def write(new, fails=False):
        new.mkdir()
        (new / str(fails)).touch()
        if fails:
            raise KeyboardInterrupt

    (tmp_path / "folder.partial" / "new").mkdir(parents=True)
    for there in ([], ["False"]):
        with pytest.raises(KeyboardInterrupt):
            write_folder(path, lambda new: write(new, fails=True))
        assert [each.name for each in path.glob("*")] == there
        write_folder(path, write)
        assert [each.name for each in path.iterdir()] == ["False"]
    replace = os.replace

    def refuse(source, target):
        if source.name == "new":
            raise OSError("refused")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="refused"):
        write_folder(path, write)
    assert [each.name for each in path.iterdir()] == ["False"]
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EIO])
def test_errors_of_tensorflow_are_errors_of_the_disk(tmp_path, code):
    error = tf.errors.UnknownError(None, None, f"a/b; {os.strerror(code)} [Op:SaveV2]")
    with pytest.raises(OSError, match="'a folder'") as caught, writing("a folder"):
        raise error
    assert caught.value.errno == code


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
