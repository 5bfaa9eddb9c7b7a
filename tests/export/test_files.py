import os
import zipfile

import pytest

from tfsupermask._validation import InputError
from tfsupermask.export.files import add_class_names, export_file, read_class_names


def test_a_whole_file_takes_the_place_of_an_older_one(tmp_path):
    path = tmp_path / "a" / "b" / "model.x"
    for content in (b"old" * 100, b"new"):
        assert (
            export_file(path, lambda path, new=content: path.write_bytes(new)) == path
        )
        assert path.read_bytes() == content

    def fail_half_way(aside):
        aside.write_bytes(b"half")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        export_file(path, fail_half_way)
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]
    with pytest.raises(InputError, match="not a folder"):
        export_file(tmp_path, lambda path: pytest.fail("began"))


@pytest.mark.parametrize("start", [b"", b"flatbuffer" * 1000])
def test_class_names_are_found_behind_anything(tmp_path, start):
    names = ("a", "ü\nb", '"', "")
    (tmp_path / "file").write_bytes(start)
    add_class_names(tmp_path / "file", names)
    assert (tmp_path / "file").read_bytes().startswith(start)
    assert read_class_names(tmp_path / "file") == names
    with zipfile.ZipFile(tmp_path / "file") as archive:
        (entry,) = archive.infolist()
    assert entry.date_time == (1980, 1, 1, 0, 0, 0)  # the same bytes whenever


def test_class_names_join_an_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "archive", "w") as archive:
        archive.writestr("other", "kept")
    add_class_names(tmp_path / "archive", ["a"])
    with zipfile.ZipFile(tmp_path / "archive") as archive:
        assert archive.read("other") == b"kept"
    assert read_class_names(tmp_path / "archive") == ("a",)


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, os.strerror(28)),
        InputError(
            "The model must … reason='a/b; No space left on device [Op:SaveV2]'"
        ),
        RuntimeError("h5py: No space left on device"),
    ],
)
def test_a_full_disk_is_no_fault_of_the_model(tmp_path, error):
    def write(path):
        raise error

    with pytest.raises(OSError, match=r"No space left .*model\.onnx'") as caught:
        export_file(tmp_path / "a.onnx", write)
    assert caught.value.errno == 28
    assert not any(tmp_path.iterdir())
    with pytest.raises(ZeroDivisionError):
        export_file(tmp_path / "a.onnx", lambda path: 1 / 0)
