import functools
import http.server
import logging
import os
import shutil
import struct
import threading
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import requests
import tensorflow_datasets as tfds

from tfsupermask import data
from tfsupermask._validation import InputError
from tfsupermask.data.tiny_imagenet import decoding as decoding_lib
from tfsupermask.data.tiny_imagenet import tiny_imagenet_dataset_builder

REAL_DATA = os.environ.get("TFSUPERMASK_DATA_DIR")
PREFIX = "tiny-imagenet-200/"
# Not in the order of their names: the labels are those of this order.
A, B, C = WNIDS = ("n00000003", "n00000001", "n00000002")
WORDS = {A: "crane, a machine", B: "goldfish, Carassius auratus", C: "crane"}
# The order of numbers is not that of names.
NUMBERS = (0, 2, 10)


def encode(seed, shape=(64, 64, 3)):
    """A JPEG that no other seed gives."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (4, 4, *shape[2:]), np.uint8)
    return cv2.imencode(".jpg", cv2.resize(small, shape[1::-1]))[1].tobytes()


def train_path(wnid, number):
    return f"train/{wnid}/images/{wnid}_{number}.JPEG"


def make_files():
    """Three classes, each with 3 images to train on and 2 to validate on."""
    files = {
        "wnids.txt": "".join(f"{wnid}\n" for wnid in WNIDS).encode(),
        "words.txt": "".join(f"{w}\t{WORDS[w]}\n" for w in sorted(WORDS)).encode(),
    }
    for label, wnid in enumerate(sorted(WNIDS)):
        lines = []
        for number in NUMBERS:
            files[train_path(wnid, number)] = encode(100 * label + number)
            lines.append(f"{wnid}_{number}.JPEG\t{number}\t16\t31\t63\n")
        files[f"train/{wnid}/{wnid}_boxes.txt"] = "".join(lines).encode()
    lines = []
    for number in range(6):
        files[f"val/images/val_{number}.JPEG"] = encode(1000 + number)
        lines.append(f"val_{number}.JPEG\t{WNIDS[number % 3]}\t0\t0\t63\t63\n")
    files["val/val_annotations.txt"] = "".join(lines).encode()
    files["test/images/test_0.JPEG"] = encode(2000)
    return files


def write_zip(root, files, others=()):
    path = root / "tiny-imagenet-200.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir(PREFIX)
        for name, content in files.items():
            archive.writestr(PREFIX + name, content)
        for name, content in others:
            archive.writestr(name, content)
    return path


def write_folder(root, files):
    for name, content in files.items():
        path = root / PREFIX / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root / PREFIX


@pytest.fixture(params=[write_zip, write_folder], ids=["zip", "folder"])
def write(request):
    return request.param


def load(root):
    """Loads without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return data.load("tiny_imagenet", root)


def load_with_warning(root):
    """Loads with exactly one warning, on one line; returns its text too."""
    with pytest.warns(UserWarning, match="is not as the official") as caught:
        dataset = data.load("tiny_imagenet", root)
    assert len(caught) == 1
    message = str(caught[0].message)
    assert "\n" not in message
    assert repr(str(root))[:-1] in message
    return dataset, message


def pixels(encoded):
    return cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB)


def assert_holds(split, files, paths):
    np.testing.assert_array_equal(split.images, [pixels(files[p]) for p in paths])


def tree(folder):
    return sorted(
        (str(path.relative_to(folder)), path.is_file() and path.read_bytes())
        for path in folder.rglob("*")
    )


def assert_equal(one, other):
    for a, b in ((one.train, other.train), (one.test, other.test)):
        np.testing.assert_array_equal(a.images, b.images)
        np.testing.assert_array_equal(a.labels, b.labels)
    assert one.class_names == other.class_names


def test_reads_a_whole_copy_and_writes_nothing(write, tmp_path, caplog):
    files = make_files()
    write(tmp_path, files)
    os.chmod(tmp_path, 0o555)
    before = tree(tmp_path)
    with caplog.at_level(logging.INFO):
        dataset = load(tmp_path)
    assert dataset.name == "tiny_imagenet"
    assert dataset.image_shape == (64, 64, 3)
    assert dataset.horizontal_flip is True
    assert dataset.crop_padding == 8
    assert dataset.class_names == (f"crane ({A})", "goldfish", f"crane ({C})")
    assert dataset.train.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert dataset.test.labels.tolist() == [0, 0, 1, 1, 2, 2]
    paths = [train_path(wnid, number) for wnid in WNIDS for number in NUMBERS]
    assert_holds(dataset.train, files, paths)
    order = (0, 3, 1, 4, 2, 5)
    assert_holds(dataset.test, files, [f"val/images/val_{i}.JPEG" for i in order])
    assert "9 of the official 100,000 train images" in caplog.text
    assert "6 of the official 10,000 validation images" in caplog.text
    assert tree(tmp_path) == before
    assert_equal(load(tmp_path), dataset)


def test_prefers_the_zip_to_the_folder(tmp_path):
    write_zip(tmp_path, make_files())
    files = make_files()
    del files[train_path(A, 0)]
    write_folder(tmp_path, files)
    assert len(load(tmp_path).train) == 9


def test_repeats_grayscale_in_the_channels(write, tmp_path):
    files = make_files()
    files[train_path(A, 0)] = grey = encode(7, (64, 64))
    write(tmp_path, files)
    image = load(tmp_path).train.images[0]
    expected = cv2.imdecode(np.frombuffer(grey, np.uint8), cv2.IMREAD_UNCHANGED)
    assert expected.shape == (64, 64)
    np.testing.assert_array_equal(image, np.repeat(expected[..., None], 3, axis=2))


def test_ignores_what_macos_leaves(write, tmp_path):
    files = make_files()
    for name in (".DS_Store", "train/.DS_Store", f"train/{A}/images/._x.JPEG"):
        files[name] = b"x"
    files[f"__MACOSX/{train_path(A, 0)}"] = b"x"
    write(tmp_path, files)
    assert len(load(tmp_path).train) == 9


def edit_lines(name, edit):
    def damage(files):
        lines = files[name].decode().splitlines()
        files[name] = "\n".join(edit(lines)).encode()

    return damage


def replace(name, content):
    return lambda files: files.update({name: content})


def extra_class(files):
    for number in range(5):
        files[train_path("n99999999", number)] = encode(number)


def cut(files):
    files[train_path(B, 2)] = files[train_path(B, 2)][:-100]


def cut_little(files):
    files[train_path(B, 2)] = files[train_path(B, 2)][:-2]


def lose_train_class(files):
    for number in NUMBERS:
        del files[train_path(A, number)]
    del files[f"train/{A}/{A}_boxes.txt"]


VAL = "val/val_annotations.txt"
BOXES = f"train/{B}/{B}_boxes.txt"
UNDECODABLE = f"images that cannot be decoded: 1 ('{train_path(B, 2)}')"
DAMAGES = {
    "extra class": (
        extra_class,
        "files or class folders that do not belong: 1 ('train/n99999999')",
        (9, 6),
    ),
    "stray files": (
        lambda files: files.update({"notes.md": b"x", "val/images/val_x.JPEG": b"x"}),
        "do not belong: 2 ('notes.md', 'val/images/val_x.JPEG')",
        (9, 6),
    ),
    "number that is none": (
        replace(train_path(B, "٣"), encode(3)),
        f"do not belong: 1 ('{train_path(B, '٣')}')",
        (9, 6),
    ),
    "class without training images": (
        lose_train_class,
        f"classes without training images: 1 ('{A}')",
        (6, 6),
    ),
    "class without validation images": (
        edit_lines(VAL, lambda lines: [line for line in lines if C not in line]),
        f"classes without validation images: 1 ('{C}')",
        (9, 4),
    ),
    "cut": (cut, UNDECODABLE, (8, 6)),
    "cut a little": (cut_little, UNDECODABLE, (8, 6)),
    "empty": (replace(train_path(B, 2), b""), UNDECODABLE, (8, 6)),
    "text": (replace(train_path(B, 2), b"no image" * 99), UNDECODABLE, (8, 6)),
    "png": (
        replace(
            train_path(B, 2),
            cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1].tobytes(),
        ),
        UNDECODABLE,
        (8, 6),
    ),
    "another size": (
        replace("val/images/val_1.JPEG", encode(0, (64, 63, 3))),
        "images of another size than 64×64: 1 ('val/images/val_1.JPEG')",
        (9, 5),
    ),
    "train box missing": (
        edit_lines(BOXES, lambda lines: lines[1:]),
        f"training images without a box: 1 ('{train_path(B, 0)}')",
        (9, 6),
    ),
    "box file missing": (
        lambda files: files.pop(BOXES),
        "training images without a box: 3 (",
        (9, 6),
    ),
    "box outside": (
        edit_lines(BOXES, lambda lines: [lines[0].replace("63", "64"), *lines[1:]]),
        f"annotations that cannot be used: 1 ('{B}_0.JPEG\\t0\\t16\\t31\\t64')",
        (9, 6),
    ),
    "box turned over": (
        edit_lines(BOXES, lambda lines: [lines[0].replace("16", "64"), *lines[1:]]),
        "annotations that cannot be used: 1 (",
        (9, 6),
    ),
    "label missing": (
        edit_lines(VAL, lambda lines: lines[1:]),
        "validation images without a label: 1 ('val/images/val_0.JPEG')",
        (9, 5),
    ),
    "label of no class": (
        edit_lines(VAL, lambda lines: [lines[0].replace(A, "n7"), *lines[1:]]),
        "annotations that cannot be used: 1 (",
        (9, 5),
    ),
    "two labels": (
        edit_lines(VAL, lambda lines: [*lines, lines[0].replace(A, B)]),
        "annotations that cannot be used: 1 (",
        (9, 6),
    ),
    "images gone": (
        lambda files: [files.pop(f"val/images/val_{i}.JPEG") for i in (0, 1)],
        "annotations of images that are not there: 2 ('val/images/val_0.JPEG', ",
        (9, 4),
    ),
    "words gone": (
        lambda files: files.pop("words.txt"),
        f"classes without words: 3 ('{B}', '{C}', '{A}')",
        (9, 6),
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_uses_the_rest_of_a_damaged_copy(damage, write, tmp_path, capfd):
    spoil, expected, counts = DAMAGES[damage]
    files = make_files()
    spoil(files)
    write(tmp_path, files)
    dataset, message = load_with_warning(tmp_path)
    assert expected in message
    assert (len(dataset.train), len(dataset.test)) == counts
    assert f"{counts[0]} of the official 100,000 train images" in message
    assert f"{counts[1]} of the official 10,000 validation images" in message
    assert capfd.readouterr().err == ""
    # Whatever is gone, the rest keeps its class.
    for label, wnid in enumerate(WNIDS):
        images = dataset.train.images[dataset.train.labels == label]
        if train_path(wnid, 0) in files:
            np.testing.assert_array_equal(images[0], pixels(files[train_path(wnid, 0)]))
    assert dataset.num_classes == 3


def test_classes_without_words_are_called_by_their_wnid(tmp_path):
    files = make_files()
    files["words.txt"] = f"{B}\t \n{C}\tcrane, bird".encode()
    write_zip(tmp_path, files)
    assert load_with_warning(tmp_path)[0].class_names == (A, B, "crane")


def test_tells_everything_in_one_warning(write, tmp_path):
    files = make_files()
    for damage in ("extra class", "cut", "another size", "label missing", "words gone"):
        DAMAGES[damage][0](files)
    for number in range(20, 25):
        files[train_path(B, number)] = b"broken"
    write(tmp_path, files)
    message = load_with_warning(tmp_path)[1]
    for damage in ("extra class", "another size", "label missing", "words gone"):
        assert DAMAGES[damage][1] in message
    assert "images that cannot be decoded: 6 (" in message
    assert "and 3 more" in message


def one_class_left(files):
    for wnid in (A, B):
        for number in NUMBERS:
            files[train_path(wnid, number)] = b"broken"


REFUSALS = {
    "another layout": (
        lambda files: [files.pop(name) for name in list(files) if name != VAL],
        "is not laid out as Tiny-ImageNet: none of its 1 files is "
        "'tiny-imagenet-200/wnids.txt'",
    ),
    "wnids gone": (lambda files: files.pop("wnids.txt"), "is not laid out"),
    "wnids empty": (replace("wnids.txt", b" \n"), "must list .* Received: 0 lines"),
    "wnids repeat": (
        replace("wnids.txt", f"{A}\n{A}\n{B}".encode()),
        "Received: 3 lines, 2 different, 0 of another form",
    ),
    "wnids are no wnids": (
        replace("wnids.txt", f"{A}\n../x\n{B}".encode()),
        r"1 of another form \('../x'\)",
    ),
    "annotations gone": (
        lambda files: files.pop(VAL),
        "3 have training images, 0 validation images and 0 both. What is wrong: "
        "validation images without a label: 6",
    ),
    "one class left": (
        one_class_left,
        "at least 2 classes .* of the 3 .* 1 have training images, 3 validation images "
        "and 1 both. What is wrong: images that cannot be decoded: 6",
    ),
    "no images": (
        lambda files: [files.pop(name) for name in list(files) if "JPEG" in name],
        "0 have training images, 0 validation images and 0 both",
    ),
    "large image": (
        replace(train_path(A, 0), bytes(2**20 + 1)),
        "1 of its files are too large for one .*_0.JPEG, 1,048,577 bytes",
    ),
    "large list": (
        replace("words.txt", bytes(2**24 + 1)),
        "too large for one .*words.txt, 16,777,217 bytes",
    ),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_refuses(refusal, write, tmp_path):
    spoil, expected = REFUSALS[refusal]
    files = make_files()
    spoil(files)
    write(tmp_path, files)
    before = tree(tmp_path)
    with pytest.raises(InputError, match=expected) as caught:
        data.load("tiny_imagenet", tmp_path)
    assert "\n" not in str(caught.value)
    assert repr(str(tmp_path))[:-1] in str(caught.value)
    assert not isinstance(caught.value, data.DataNotFoundError)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("content", [None, b"", b"<html>not found</html>"])
def test_refuses_a_broken_zip(content, tmp_path):
    path = write_zip(tmp_path, make_files())
    path.write_bytes(path.read_bytes()[:-500] if content is None else content)
    with pytest.raises(InputError, match="no zip archive, or only a part of one"):
        data.load("tiny_imagenet", tmp_path)


@pytest.mark.parametrize("image_size", [32, 0, "64"])
def test_refuses_other_sizes(image_size, tmp_path):
    write_zip(tmp_path, make_files())
    with pytest.raises(InputError, match=f"image_size={image_size!r}"):
        data.load("tiny_imagenet", tmp_path, image_size)


def test_hostile_names_are_reported_and_never_used(tmp_path):
    names = [
        "../../escaped.txt",
        f"{tmp_path}/absolute.txt",
        f"{PREFIX}../escaped.txt",
        train_path(A, 77),  # Outside of the dataset's folder.
        f"{PREFIX}train/../{train_path(A, 78)}",
        f"{PREFIX}train/{A}/images/../../{A}_79.JPEG",
        f"{PREFIX}{train_path(A, 80)}\n",
    ]
    folder = tmp_path / "data"
    folder.mkdir()
    write_zip(folder, make_files(), [(name, encode(5)) for name in names])
    before = tree(tmp_path)
    dataset, message = load_with_warning(folder)
    assert len(dataset.train) == 9
    assert "files or class folders that do not belong: " in message
    assert tree(tmp_path) == before
    assert not (tmp_path.parent / "escaped.txt").exists()


@pytest.mark.parametrize("name", ["val/images/val_0.JPEG", train_path(B, 2)])
def test_a_bomb_that_understates_its_size_is_not_inflated(name, tmp_path):
    files = make_files()
    content = bytes(2**27 + 12345)
    files[name] = content
    path = write_zip(tmp_path, files)
    # Both headers claim 1000 bytes.
    size = struct.pack("<I", len(content))
    archive = path.read_bytes()
    assert archive.count(size) == 2
    path.write_bytes(archive.replace(size, struct.pack("<I", 1000)))
    tracemalloc.start()
    _, message = load_with_warning(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert f"images that cannot be decoded: 1 ('{name}')" in message
    assert peak < 2**23


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_reads_no_other_compression(method, tmp_path):
    """zipfile inflates these whole, however little is asked for."""
    files = make_files()
    files.pop(train_path(B, 2))
    with zipfile.ZipFile(write_zip(tmp_path, files), "a", method) as archive:
        archive.writestr(PREFIX + train_path(B, 2), encode(5))
    assert UNDECODABLE in load_with_warning(tmp_path)[1]


def test_an_image_that_claims_many_pixels_is_not_decoded(monkeypatch, tmp_path):
    files = make_files()
    encoded = bytearray(files[train_path(B, 2)])
    start = encoded.index(b"\xff\xc0") + 5
    encoded[start : start + 4] = struct.pack(">HH", 65_000, 65_000)
    files[train_path(B, 2)] = bytes(encoded)
    write_zip(tmp_path, files)
    decode, decoded = cv2.imdecode, []
    monkeypatch.setattr(
        cv2, "imdecode", lambda buf, flag: decoded.append(len(buf)) or decode(buf, flag)
    )
    message = load_with_warning(tmp_path)[1]
    assert f"another size than 64×64: 1 ('{train_path(B, 2)}')" in message
    assert len(decoded) == 14


@pytest.mark.parametrize("missing", [1, 2, 100])
def test_a_cut_image_is_refused_whatever_opencv_makes_of_it(monkeypatch, missing):
    """Some versions fill what is missing with grey."""
    image = np.zeros((64, 64, 3), np.uint8)
    monkeypatch.setattr(cv2, "imdecode", lambda buffer, flag: image)
    encoded = encode(0)
    assert decoding_lib.decode_image(encoded + b"trailing") is image
    with pytest.raises(decoding_lib.UnusableImageError, match="cannot be decoded"):
        decoding_lib.decode_image(encoded[:-missing])


def test_a_member_with_a_wrong_checksum_is_left_out(tmp_path):
    files = make_files()
    with zipfile.ZipFile(write_zip(tmp_path, files)) as archive:
        crc = archive.getinfo(PREFIX + train_path(B, 2)).CRC
    path = tmp_path / "tiny-imagenet-200.zip"
    content = path.read_bytes()
    path.write_bytes(content.replace(struct.pack("<I", crc), b"\1\2\3\4"))
    assert UNDECODABLE in load_with_warning(tmp_path)[1]


@pytest.mark.parametrize("name", ["wnids.txt", BOXES])
def test_a_text_with_a_wrong_checksum(name, tmp_path):
    path = write_zip(tmp_path, make_files())
    with zipfile.ZipFile(path) as archive:
        crc = archive.getinfo(PREFIX + name).CRC
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", crc), b"\1\2\3\4"))
    if name == "wnids.txt":
        with pytest.raises(InputError, match=r"is damaged: 'wnids\.txt' cannot"):
            data.load("tiny_imagenet", tmp_path)
    else:
        dataset, message = load_with_warning(tmp_path)
        assert f"text files that cannot be read: 1 ('{BOXES}')" in message
        assert len(dataset.train) == 9


def test_what_is_no_file_is_not_opened(tmp_path):
    files = make_files()
    del files[train_path(B, 2)]
    root = write_folder(tmp_path, files)
    os.mkfifo(root / train_path(B, 2))
    (root / "train" / A / "images" / f"{A}_5.JPEG").symlink_to("nowhere")
    message = load_with_warning(tmp_path)[1]
    assert "images that cannot be decoded: 2 (" in message


# The builder, and what is prepared by it.


@pytest.fixture
def no_network(monkeypatch):
    def head(url, **kwargs):
        raise requests.ConnectionError(f"no network for {url}")

    monkeypatch.setattr(requests, "head", head)


@pytest.fixture
def online(monkeypatch, tmp_path):
    """A server with the archive, in place of the official one; counts its requests."""
    folder = tmp_path / "server"
    folder.mkdir()
    write_zip(folder, make_files())
    requested = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            requested.append(self.path)

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=folder)
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/tiny-imagenet-200.zip"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(tiny_imagenet_dataset_builder, "URL", url)
    response = requests.Response()
    response.status_code = 200
    monkeypatch.setattr(requests, "head", lambda url, **kwargs: response)
    yield folder, requested
    server.shutdown()
    server.server_close()
    thread.join()


def test_without_network_says_where_it_looked_and_what_to_do(no_network, tmp_path):
    (tmp_path / "tiny-imagenet").mkdir()
    before = tree(tmp_path)
    with pytest.raises(data.DataNotFoundError) as caught:
        data.load("tiny_imagenet", tmp_path)
    message = str(caught.value)
    for name in ("tiny-imagenet-200.zip", "tiny-imagenet-200", "tiny_imagenet/1.0.0"):
        assert f"'{tmp_path}/{name}'" in message
        assert f" '{name}'" in message
    assert "cannot be reached" in message
    assert "--dataset=digits" in message
    assert "\n" not in message
    with pytest.raises(data.DataNotFoundError):
        data.load("tiny_imagenet", tmp_path / "new" / "folder")
    assert tree(tmp_path) == before


def test_looks_in_the_default_folder(no_network, monkeypatch, tmp_path):
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path))
    with pytest.raises(data.DataNotFoundError, match=f"'{tmp_path}/tiny-imagenet-200'"):
        data.load("tiny_imagenet")
    write_zip(tmp_path, make_files())
    assert len(data.load("tiny_imagenet").train) == 9


def test_a_download_gives_the_same_as_the_archive(online, tmp_path):
    server, requested = online
    files = make_files()
    DAMAGES["cut"][0](files)
    files[train_path(C, 0)] = encode(7, (64, 64))
    write_zip(server, files)
    folder = tmp_path / "new" / "folder"
    with pytest.warns(UserWarning, match="images that cannot be decoded: 1"):
        downloaded = data.load("tiny_imagenet", folder)
    assert requested == ["/tiny-imagenet-200.zip"]
    assert [p.name for p in folder.iterdir()] == ["tiny_imagenet"]
    assert [p.name for p in (folder / "tiny_imagenet").iterdir()] == ["1.0.0"]
    assert len(downloaded.train) == 8

    before = tree(folder)
    assert_equal(load(folder), downloaded)
    assert_equal(load_with_warning(server)[0], downloaded)
    assert len(requested) == 1
    assert tree(folder) == before


def break_off(folder, monkeypatch):
    path = folder / "tiny-imagenet-200.zip"
    path.write_bytes(path.read_bytes()[:5000])
    return "no zip archive, or only a part of one"


def disappear(folder, monkeypatch):
    (folder / "tiny-imagenet-200.zip").unlink()
    return "404"


def differ(folder, monkeypatch):
    """From the checksum that is registered for the address."""
    builder = tiny_imagenet_dataset_builder.Builder
    (official,) = builder.url_infos.values()
    monkeypatch.setattr(
        builder, "url_infos", {tiny_imagenet_dataset_builder.URL: official}
    )
    return "NonMatchingChecksumError"


@pytest.mark.parametrize("failure", [break_off, disappear, differ])
def test_a_download_that_fails_leaves_nothing(failure, online, monkeypatch, tmp_path):
    expected = failure(online[0], monkeypatch)
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "other").write_text("keep me")
    before = tree(folder)
    with pytest.raises(data.DataNotFoundError, match=expected) as caught:
        data.load("tiny_imagenet", folder)
    assert "\n" not in str(caught.value)
    assert tree(folder) == before


def test_the_official_archive_is_registered():
    infos = tiny_imagenet_dataset_builder.Builder.url_infos
    info = infos["http://cs231n.stanford.edu/tiny-imagenet-200.zip"]
    assert tiny_imagenet_dataset_builder.URL in infos
    assert info.size == 248_100_043
    assert info.filename == "tiny-imagenet-200.zip"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A prepared folder, and the files that it was made from."""
    root = tmp_path_factory.mktemp("prepared")
    files = make_files()
    edit_lines(BOXES, lambda lines: [*lines[1:], f"{B}_2.JPEG\t0\t0\t0\t0"])(files)
    files[train_path(C, 10)] = encode(7, (64, 64))
    builder = tiny_imagenet_dataset_builder.Builder(
        data_dir=root, source=write_folder(root / "source", files)
    )
    with pytest.warns(UserWarning, match="training images without a box: 1"):
        builder.download_and_prepare()
    return root, files


def test_features(prepared):
    root, files = prepared
    builder = tfds.builder("tiny_imagenet", data_dir=root)
    assert sorted(builder.info.splits) == ["train", "validation"]
    assert builder.info.features["label"].names == list(WNIDS)
    assert builder.info.metadata["words"] == [WORDS[wnid] for wnid in WNIDS]
    examples = {
        example["file_name"].decode(): example
        for example in builder.as_dataset(split="train").as_numpy_iterator()
    }
    assert len(examples) == 9
    for label, wnid in enumerate(WNIDS):
        for number in NUMBERS:
            example = examples[f"{wnid}_{number}.JPEG"]
            assert example["label"] == label
            assert example["wnid"].decode() == wnid
            assert example["words"].decode() == WORDS[wnid]
            # TensorFlow's decoder rounds in another way.
            np.testing.assert_allclose(
                example["image"].astype(int),
                pixels(files[train_path(wnid, number)]),
                atol=12,
            )
    # ymin, xmin, ymax, xmax: pixels 16 to 63 of the rows, 10 to 31 of the columns.
    box = [16 / 64, 10 / 64, 1, 32 / 64]
    np.testing.assert_array_equal(examples[f"{A}_10.JPEG"]["bboxes"], [box])
    assert examples[f"{B}_0.JPEG"]["bboxes"].shape == (0, 4)
    boxes = [[16 / 64, 2 / 64, 1, 32 / 64], [0, 0, 1 / 64, 1 / 64]]
    np.testing.assert_array_equal(examples[f"{B}_2.JPEG"]["bboxes"], boxes)
    for example in builder.as_dataset(split="validation").as_numpy_iterator():
        number = int(example["file_name"].decode()[4:-5])
        assert example["label"] == number % 3
        np.testing.assert_array_equal(example["bboxes"], [[0, 0, 1, 1]])


@pytest.mark.parametrize("name", ["metadata.json", "dataset_info.json"])
def test_prepared_data_that_is_damaged_is_told(name, prepared, no_network, tmp_path):
    shutil.copytree(prepared[0], tmp_path, dirs_exist_ok=True)
    assert len(load(tmp_path).train) == 9
    (tmp_path / "tiny_imagenet" / "1.0.0" / name).write_text("{")
    with pytest.raises(InputError, match="cannot be read") as caught:
        data.load("tiny_imagenet", tmp_path)
    assert f"'{tmp_path}/tiny_imagenet" in str(caught.value)


class TestBuilder(tfds.testing.DatasetBuilderTestCase):
    """TensorFlow Datasets' own; the archive is `write_zip(folder, make_files())`."""

    DATASET_CLASS = tiny_imagenet_dataset_builder.Builder
    EXAMPLE_DIR = Path(__file__).parent / "tiny_imagenet_dummy"
    DL_DOWNLOAD_RESULT = "tiny-imagenet-200.zip"
    SPLITS = {"train": 9, "validation": 6}  # noqa: RUF012


@pytest.mark.skipif(
    not (
        REAL_DATA and os.path.isfile(os.path.join(REAL_DATA, "tiny-imagenet-200.zip"))
    ),
    reason="TFSUPERMASK_DATA_DIR names no folder that holds tiny-imagenet-200.zip",
)
def test_real_tiny_imagenet():
    dataset = data.load("tiny_imagenet", data_dir=REAL_DATA)
    assert dataset.num_classes == len(set(dataset.class_names)) == 200
    assert dataset.class_names[:2] == ("Egyptian cat", "reel")
    for split, most in ((dataset.train, 500), (dataset.test, 50)):
        counts = np.bincount(split.labels, minlength=200)
        assert counts.min() > 0
        assert counts.max() <= most
    # The figures of the whole dataset.
    np.testing.assert_allclose(dataset.mean, [0.480, 0.448, 0.398], atol=0.01)
    np.testing.assert_allclose(dataset.std, [0.277, 0.269, 0.282], atol=0.01)
