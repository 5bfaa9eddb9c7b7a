import io
import zipfile

import numpy as np
import pytest

from tfsupermask._arrays import read_arrays, write_arrays
from tfsupermask._files import write_atomically
from tfsupermask._validation import InputError

ARRAYS = {
    "model/conv1/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
    "columns": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "number": np.array(3),
    "none": np.zeros((0, 2), np.int8),
    "half": np.array([np.nan, np.inf], np.float16),
}


@pytest.fixture
def path(tmp_path):
    write_atomically(tmp_path / "a.npz", lambda file: write_arrays(file, ARRAYS))
    return tmp_path / "a.npz"


def assert_same(found):
    assert found.keys() == ARRAYS.keys()
    for name, value in ARRAYS.items():
        np.testing.assert_array_equal(found[name], value, strict=True)


def test_round_trip(path):
    found = read_arrays(path)
    assert_same(found)
    found["number"][...] = 4  # arrays of one's own


def test_numpy_reads_what_is_written(path):
    with np.load(path, allow_pickle=False) as archive:
        assert_same(dict(archive))


def test_reads_what_numpy_wrote(tmp_path):
    np.savez(tmp_path / "a.npz", **ARRAYS)
    assert_same(read_arrays(tmp_path / "a.npz"))


def test_the_same_arrays_give_the_same_bytes(path):
    again = path.with_name("b.npz")
    write_atomically(again, lambda file: write_arrays(file, ARRAYS))
    assert again.read_bytes() == path.read_bytes()


def test_every_flipped_bit_and_every_cut_is_noticed(tmp_path):
    small = {"a": np.zeros(1, np.int8)}
    path = tmp_path / "a.npz"
    write_atomically(path, lambda file: write_arrays(file, small))
    whole = path.read_bytes()
    cut = [whole[:length] for length in range(len(whole))]
    flipped = [
        whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :]
        for place in range(len(whole))
    ]
    for content in (*cut, *flipped, whole + b"\0"):
        path.write_bytes(content)
        with pytest.raises(InputError):
            read_arrays(path)


def archive(*members, compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as out:
        for name, content in members:
            out.writestr(name, content)
    return file.getvalue()


def array(value):
    file = io.BytesIO()
    np.save(file, value, allow_pickle=True)
    return file.getvalue()


ZEROS = array(np.zeros(1000))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "whole archive"),
        (ZEROS, "whole archive"),
        (archive(("a.npy", b"no array")), "whole archive"),
        (archive(("a.npy", array(np.array([None])))), "of numbers"),
        (archive(("a.npy", ZEROS[:-8])), "bytes that its shape says"),
        (archive(("a.npy", ZEROS + b"12345678")), "bytes that its shape says"),
        (archive(("a.npy", ZEROS.replace(b"(1000,)", b"(-999,)"))), "of numbers"),
        (archive(("a.npy", ZEROS), compression=zipfile.ZIP_DEFLATED), "compressed"),
        (archive(("a.npy", ZEROS), ("a.npy", ZEROS)), "different names"),
    ],
)
def test_refuses(tmp_path, content, message):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_arrays(tmp_path / "a.npz")


def test_arrays_may_not_share_bytes(tmp_path):
    """Many that overlap would be a bomb of a file that is not compressed."""
    inner = archive(("b.npy", ZEROS))
    local, entry = inner.split(b"PK\x01\x02")[0], inner[inner.index(b"PK\x01\x02") :]
    entry = bytearray(entry[: entry.index(b"PK\x05\x06")])
    outer = archive(("a.npy", array(np.frombuffer(local, np.uint8))))
    entry[42:46] = outer.index(local).to_bytes(4, "little")
    end = outer.index(b"PK\x05\x06")
    start = outer.index(b"PK\x01\x02", outer.index(local) + len(local))
    tail = bytearray(outer[end:])
    tail[8:10] = tail[10:12] = (2).to_bytes(2, "little")
    tail[12:16] = (end - start + len(entry)).to_bytes(4, "little")
    (tmp_path / "a.npz").write_bytes(outer[:end] + entry + tail)
    with pytest.raises(InputError, match="no larger than the file"):
        read_arrays(tmp_path / "a.npz")
