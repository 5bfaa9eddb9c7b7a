"""Decoded images in memory and in files that are used again."""

import errno
import os
import threading
import warnings

import cv2
import numpy as np
import pytest

from tfsupermask import _machine, data
from tfsupermask._validation import InputError
from tfsupermask.data import storage as storage_lib
from tfsupermask.data import stored as stored_lib
from tfsupermask.data.images import decode_square
from tfsupermask.data.storage import Storage, decoded, file_states
from tfsupermask.data.stored import StoredImages

SHAPE = (7, 4, 4, 3)
IMAGES = np.random.default_rng(0).integers(0, 256, SHAPE, np.uint8)
VALUES = [["", "grey"], *range(1, 7)]


@pytest.fixture
def decode():
    """Function that yields the images in blocks; it has `calls`."""

    def blocks():
        blocks.calls += 1
        for first in (0, 3, 6):
            yield IMAGES[first : first + 3], VALUES[first : first + 3]

    blocks.calls = 0
    return blocks


def hold(place, folder, decode, source="some"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return Storage(place, folder).hold(SHAPE, decode, source)


@pytest.mark.parametrize("place", ["auto", "memory", "disk"])
def test_images_and_values_are_the_same_wherever_they_are(place, tmp_path, decode):
    images, values = hold(place, tmp_path, decode)
    assert isinstance(images, StoredImages if place == "disk" else np.ndarray)
    np.testing.assert_array_equal(images[:], IMAGES)
    assert values == VALUES
    assert (place == "disk") == any(tmp_path.iterdir())


def test_a_file_is_used_again_also_for_the_memory(tmp_path, decode):
    with pytest.warns(UserWarning, match=r"decoded to '.*images', 336 bytes"):
        Storage("disk", tmp_path).hold(SHAPE, decode, "some")
    for place in ("disk", "memory", "auto"):
        images, values = hold(place, tmp_path, decode)
        np.testing.assert_array_equal(images[:], IMAGES)
        assert values == VALUES
    assert decode.calls == 1
    hold("disk", tmp_path, decode, "others")
    assert decode.calls == 2


def test_what_does_not_fit_goes_to_the_disk(tmp_path, decode, monkeypatch):
    monkeypatch.setattr(storage_lib, "available_memory", lambda: 2 * IMAGES.size - 1)
    assert isinstance(hold("auto", tmp_path, decode)[0], StoredImages)
    monkeypatch.setattr(storage_lib, "available_memory", lambda: 2 * IMAGES.size)
    assert isinstance(hold("auto", tmp_path, decode)[0], np.ndarray)


def test_images_of_unknown_source_are_used_once_and_leave_nothing(tmp_path, decode):
    for _ in range(2):
        images, values = hold("disk", tmp_path, decode, None)
        np.testing.assert_array_equal(images[:], IMAGES)
        assert images.remember("sum", lambda: 7) == 7
        assert values == VALUES
    assert decode.calls == 2
    assert not any(tmp_path.iterdir())


def test_a_folder_that_nobody_may_enter_is_no_matter_in_memory(tmp_path, monkeypatch):
    def stat(path, **_):
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", stat)
        images, values = hold("memory", tmp_path, lambda: [(IMAGES, VALUES)])
    np.testing.assert_array_equal(images, IMAGES)
    assert values == VALUES


def test_a_decoding_that_fails_leaves_no_file(tmp_path):
    def blocks():
        yield IMAGES[:3], VALUES[:3]
        raise InputError("an image is bad")

    with pytest.raises(InputError, match="an image is bad"):
        hold("disk", tmp_path, blocks)
    assert not list(tmp_path.glob("*.images*"))
    with pytest.raises(InputError, match="an image is bad"):
        hold("disk", tmp_path / "other", blocks, None)
    assert not any((tmp_path / "other").iterdir())


def test_a_disk_that_is_full_meanwhile_ends_the_decoding(tmp_path, monkeypatch):
    ended = []

    def blocks():
        try:
            yield IMAGES, VALUES
        finally:
            ended.append(True)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(storage_lib, "_write_blocks", lambda _, b: full(next(b)))
    with pytest.raises(OSError, match=r"No space left.*images") as caught:
        hold("disk", tmp_path, blocks)
    # Although the error's frames still hold what they were given.
    assert ended, caught
    assert not list(tmp_path.glob("*.images*"))


@pytest.mark.parametrize("place", ["disk", "memory"])
@pytest.mark.parametrize("size", [100, IMAGES.size, IMAGES.size + 3])
def test_a_file_that_was_cut_is_refused(size, place, tmp_path, decode):
    hold("disk", tmp_path, decode)
    (path,) = tmp_path.glob("*.images")
    with open(path, "r+b") as file:
        file.truncate(size)
    with pytest.raises(InputError, match=r"damaged; delete it.*\.images'"):
        hold(place, tmp_path, decode)
    path.unlink()
    np.testing.assert_array_equal(hold(place, tmp_path, decode)[0][:], IMAGES)


@pytest.mark.parametrize("package", [storage_lib, storage_lib.cv2])
def test_another_decoder_decodes_anew(package, tmp_path, decode, monkeypatch):
    hold("disk", tmp_path, decode)
    monkeypatch.setattr(package, "__version__", "another")
    hold("disk", tmp_path, decode)
    assert decode.calls == 2


def test_a_full_disk_is_said_before_anything_is_decoded(tmp_path, decode, monkeypatch):
    monkeypatch.setattr(storage_lib, "_SPARE_BYTES", 1 << 62)
    with pytest.raises(InputError, match=r"The images take 336 bytes.*cache_dir"):
        hold("disk", tmp_path, decode)
    assert not decode.calls


def test_processes_that_want_the_same_wait_for_the_first(tmp_path):
    begun, go_on, calls = threading.Event(), threading.Event(), []

    def slowly():
        calls.append(1)
        begun.set()
        assert go_on.wait(30)
        yield IMAGES, VALUES

    found = []
    first, second = (
        threading.Thread(target=lambda: found.append(hold("disk", tmp_path, slowly)))
        for _ in range(2)
    )
    first.start()
    assert begun.wait(30)
    second.start()
    go_on.set()
    for thread in (first, second):
        thread.join(30)
    assert len(calls) == 1
    for images, values in found:
        np.testing.assert_array_equal(images[:], IMAGES)
        assert values == VALUES


def test_refuses_another_place():
    with pytest.raises(InputError, match=r"`images_in` must be.*'ram'"):
        Storage("ram")


def test_the_cache_of_the_user_is_the_default(tmp_path, monkeypatch, decode):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    hold("disk", None, decode)
    assert len(list(tmp_path.glob("tfsupermask/*.images"))) == 1


def test_memory_needs_no_home(decode):
    """In a container the user may have none."""
    images, _ = hold("memory", "~nobody-of-this-name/cache", decode)
    np.testing.assert_array_equal(images, IMAGES)


def test_threads_decode_in_order_and_leave_black_what_is_missing():
    number = storage_lib._IMAGES_PER_BLOCK + 3

    def decode(item):
        return (None, "bad") if item == 1 else (np.full((2, 2, 3), item % 256), item)

    blocks = list(decoded(iter(range(number)), (2, 2, 3), decode))
    assert [len(block) for block, _ in blocks] == [number - 3, 3]
    images = np.concatenate([block for block, _ in blocks])
    expected = np.arange(number) % 256
    expected[1] = 0
    np.testing.assert_array_equal(images[:, 0, 0, 0], expected)
    assert blocks[0][1][:3] == [0, "bad", 2]


@pytest.mark.parametrize(
    "decode",
    [lambda encoded: (decode_square(encoded, 2)[0], 0), lambda encoded: (None, 0)],
    ids=["files", "decoded"],
)
def test_what_is_said_between_images_is_not_held_back(decode, monkeypatch, capfd):
    """The process may die before anybody passes it on."""
    encoded = cv2.imencode(".jpg", np.zeros((9, 9, 3), np.uint8))[1].tobytes()

    def items():
        for number in range(4):
            os.write(2, b"%d" % number)
            assert capfd.readouterr().err == str(number)
            yield encoded

    monkeypatch.setattr(stored_lib, "_BYTES_PER_BLOCK", 2 * 12)
    for number, _ in enumerate(decoded(items(), (2, 2, 3), decode)):
        os.write(2, b"block %d" % number)
        assert capfd.readouterr().err == f"block {number}"


def test_the_state_of_files_changes_with_them(tmp_path):
    path = tmp_path / "a"
    missing = file_states([path])
    path.write_bytes(b"12")
    before = file_states([path])
    path.write_bytes(b"123")
    assert len({str(state) for state in (missing, before, file_states([path]))}) == 3
    # A new file of the same size and time, as `cp -p` and archives make them.
    old, before = os.stat(path), file_states([path])
    path.write_bytes(b"321")
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
    assert file_states([path]) != before


def test_blocks_of_large_images_are_small(monkeypatch):
    monkeypatch.setattr(stored_lib, "_BYTES_PER_BLOCK", 2 * 12)
    blocks = decoded(range(5), (2, 2, 3), lambda item: (None, item))
    assert [values for _, values in blocks] == [[0, 1], [2, 3], [4]]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"meminfo": "MemTotal: 9 kB\nMemAvailable: 5 kB\n"}, 5 * 1024),
        (
            {
                "meminfo": "MemAvailable: 5 kB\n",
                "memory.max": "3000\n",
                "memory.current": "2500\n",
                "memory.stat": "anon 7\ninactive_file 400\n",
            },
            900,
        ),
        (
            {
                "meminfo": "MemAvailable: 5 kB\n",
                "memory.max": "max\n",
                "memory.current": "2500\n",
                "memory.stat": "inactive_file 400\n",
            },
            5 * 1024,
        ),
        (
            {
                "memory/memory.limit_in_bytes": "100",
                "memory/memory.usage_in_bytes": "120",
                "memory/memory.stat": "inactive_file 1\n",
            },
            0,
        ),
        ({}, 1 << 62),
    ],
)
def test_free_memory_is_the_least_of_machine_and_container(
    files, expected, tmp_path, monkeypatch
):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(_machine, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(_machine, "_CGROUP", tmp_path)
    assert _machine.available_memory() == expected


def test_facts_of_stored_images_come_from_one_pass_that_is_kept(tmp_path, reads):
    in_memory = data.load("digits")
    with pytest.warns(UserWarning, match="decoded to"):
        first = data.load("digits", images_in="disk", cache_dir=tmp_path)
    assert first.sha256 == in_memory.sha256
    assert sum(reads) == len(in_memory.train) + len(in_memory.test)
    reads.clear()
    again = data.load("digits", images_in="disk", cache_dir=tmp_path)
    np.testing.assert_array_equal(again.mean, in_memory.mean)
    np.testing.assert_array_equal(again.std, in_memory.std)
    assert again.sha256 == in_memory.sha256
    assert not reads
    part = data.limit(again, 20)
    assert part.sha256 == data.limit(in_memory, 20).sha256
