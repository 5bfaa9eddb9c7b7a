"""Copies of Tiny-ImageNet that want to do harm: by names, sizes and checksums."""

import os
import struct
import tracemalloc
import zipfile

import cv2
import numpy as np
import pytest

from tests.data import tiny
from tests.data.tiny import BAD, BOXES, UNDECODABLE, A
from tfsupermask import data
from tfsupermask._validation import InputError
from tfsupermask.data.tiny_imagenet import members as members_lib


def test_hostile_names_are_reported_and_never_used(tmp_path):
    names = [
        "../../escaped.txt",
        f"{tmp_path}/absolute.txt",
        f"{tiny.PREFIX}../escaped.txt",
        tiny.train_path(A, 77),  # Outside of the dataset's folder.
        f"{tiny.PREFIX}train/../{tiny.train_path(A, 78)}",
        f"{tiny.PREFIX}train/{A}/images/../../{A}_79.JPEG",
        f"{tiny.PREFIX}{tiny.train_path(A, 80)}\n",
    ]
    folder = tmp_path / "data"
    folder.mkdir()
    tiny.write_zip(
        folder, tiny.make_files(), [(name, tiny.encode(5)) for name in names]
    )
    before = tiny.tree(tmp_path)
    dataset, message = tiny.load_with_warning(folder)
    assert len(dataset.train) == 9
    assert "files or class folders that do not belong: " in message
    assert tiny.tree(tmp_path) == before
    assert not (tmp_path.parent / "escaped.txt").exists()


@pytest.mark.parametrize("name", ["val/images/val_0.JPEG", BAD])
def test_a_bomb_that_understates_its_size_is_not_inflated(name, tmp_path):
    files = tiny.make_files()
    content = bytes(2**27 + 12345)
    files[name] = content
    path = tiny.write_zip(tmp_path, files)
    # Both headers claim 1000 bytes.
    size = struct.pack("<I", len(content))
    archive = path.read_bytes()
    assert archive.count(size) == 2
    path.write_bytes(archive.replace(size, struct.pack("<I", 1000)))
    tracemalloc.start()
    _, message = tiny.load_with_warning(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert f"images that cannot be decoded: 1 ('{name}')" in message
    assert peak < 2**23


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_reads_no_other_compression(method, tmp_path):
    """zipfile inflates these whole, however little is asked for."""
    files = tiny.make_files()
    files.pop(BAD)
    with zipfile.ZipFile(tiny.write_zip(tmp_path, files), "a", method) as archive:
        archive.writestr(tiny.PREFIX + BAD, tiny.encode(5))
    assert UNDECODABLE in tiny.load_with_warning(tmp_path)[1]


def test_an_image_that_claims_many_pixels_is_not_decoded(monkeypatch, tmp_path):
    files = tiny.make_files()
    encoded = bytearray(files[BAD])
    start = encoded.index(b"\xff\xc0") + 5
    encoded[start : start + 4] = struct.pack(">HH", 65_000, 65_000)
    files[BAD] = bytes(encoded)
    tiny.write_zip(tmp_path, files)
    decode, decoded = cv2.imdecode, []
    monkeypatch.setattr(
        cv2, "imdecode", lambda buf, flag: decoded.append(len(buf)) or decode(buf, flag)
    )
    assert (
        f"another size than 64×64: 1 ('{BAD}')" in tiny.load_with_warning(tmp_path)[1]
    )
    assert len(decoded) == 14


@pytest.mark.parametrize("missing", [1, 2, 100])
def test_a_cut_image_is_refused_whatever_opencv_makes_of_it(monkeypatch, missing):
    """Some versions fill what is missing with grey."""
    image = np.full((64, 64, 3), (1, 2, 3), np.uint8)
    monkeypatch.setattr(cv2, "imdecode", lambda buffer, flag: image)
    encoded = tiny.encode(0)
    decoded = members_lib.decode_image(encoded + b"trailing")
    np.testing.assert_array_equal(decoded, image[..., ::-1])
    with pytest.raises(members_lib.UnusableImageError, match="cannot be decoded"):
        members_lib.decode_image(encoded[:-missing])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (BAD, UNDECODABLE),
        (BOXES, f"text files that cannot be read: 1 ('{BOXES}')"),
        ("wnids.txt", None),
    ],
)
def test_a_member_with_a_wrong_checksum_is_left_out_or_refused(name, message, tmp_path):
    path = tiny.write_zip(tmp_path, tiny.make_files())
    with zipfile.ZipFile(path) as archive:
        crc = struct.pack("<I", archive.getinfo(tiny.PREFIX + name).CRC)
    path.write_bytes(path.read_bytes().replace(crc, b"\1\2\3\4"))
    if message:
        assert message in tiny.load_with_warning(tmp_path)[1]
        return
    with pytest.raises(InputError, match=r"is damaged: 'wnids\.txt' cannot"):
        data.load("tiny_imagenet", tmp_path)


def test_what_is_no_file_is_not_opened(tmp_path):
    files = tiny.make_files()
    del files[BAD]
    root = tiny.write_folder(tmp_path, files)
    os.mkfifo(root / BAD)
    (root / "train" / A / "images" / f"{A}_5.JPEG").symlink_to("nowhere")
    message = tiny.load_with_warning(tmp_path)[1]
    assert "images that cannot be decoded: 2 (" in message
