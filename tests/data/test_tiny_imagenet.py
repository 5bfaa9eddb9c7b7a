import logging
import os
import zipfile

import cv2
import numpy as np
import pytest

from tests.data import tiny
from tests.data.tiny import BAD, BOXES, NUMBERS, UNDECODABLE, VAL, WNIDS, A, B, C
from tfsupermask import data
from tfsupermask._validation import InputError
from tfsupermask.data.tiny_imagenet import archive as archive_lib
from tfsupermask.data.tiny_imagenet import members as members_lib

REAL_DATA = os.environ.get("TFSUPERMASK_DATA_DIR")


@pytest.fixture(params=[tiny.write_zip, tiny.write_folder], ids=["zip", "folder"])
def write(request):
    return request.param


def assert_holds(split, files, paths):
    np.testing.assert_array_equal(split.images, [tiny.pixels(files[p]) for p in paths])


def test_reads_a_whole_copy_and_writes_nothing(write, tmp_path, caplog):
    files = tiny.make_files()
    # What macOS leaves behind is no reason to warn.
    for name in (".DS_Store", "train/.DS_Store", f"train/{A}/images/._x.JPEG"):
        files[name] = b"x"
    files[f"__MACOSX/{tiny.train_path(A, 0)}"] = b"x"
    # Grayscale is repeated in the channels.
    files[tiny.train_path(A, 0)] = grey = tiny.encode(7, (64, 64))
    assert tiny.pixels(grey, cv2.IMREAD_UNCHANGED).shape == (64, 64)
    write(tmp_path, files)
    os.chmod(tmp_path, 0o555)
    before = tiny.tree(tmp_path)
    with caplog.at_level(logging.INFO):
        dataset = tiny.load(tmp_path)
    assert dataset.name == "tiny_imagenet"
    assert dataset.image_shape == (64, 64, 3)
    assert dataset.horizontal_flip is True
    assert dataset.crop_padding == 8
    assert dataset.class_names == (f"crane ({A})", "goldfish", f"crane ({C})")
    assert dataset.train.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert dataset.test.labels.tolist() == [0, 0, 1, 1, 2, 2]
    paths = [tiny.train_path(wnid, number) for wnid in WNIDS for number in NUMBERS]
    assert_holds(dataset.train, files, paths)
    order = (0, 3, 1, 4, 2, 5)
    assert_holds(dataset.test, files, [f"val/images/val_{i}.JPEG" for i in order])
    assert "9 of the official 100,000 train images" in caplog.text
    assert "6 of the official 10,000 validation images" in caplog.text
    assert tiny.tree(tmp_path) == before
    (copy,) = tmp_path.iterdir()
    for place in (tmp_path, copy):
        tiny.assert_equal(tiny.load(place), dataset)


def put(name, content):
    return lambda files: files.update({name: content})


def remove(*words):
    """Returns what removes the files whose names hold one of some words."""

    def spoil(files):
        for name in [name for name in files if any(word in name for word in words)]:
            del files[name]

    return spoil


def extra_class(files):
    for number in range(5):
        files[tiny.train_path("n99999999", number)] = tiny.encode(number)


def first_line(name, *replacement):
    """Returns what replaces a text in the first line of a file."""
    return tiny.edit_lines(
        name, lambda lines: [lines[0].replace(*replacement), *lines[1:]]
    )


STRAY = "files or class folders that do not belong"
UNUSABLE = "annotations that cannot be used"
WHOLE = tiny.make_files()[BAD]
PNG = cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1].tobytes()
SECOND = "val/images/val_1.JPEG"
# What is done to the files, what the warning says, and how many images are left if not
# 9 and 6.
DAMAGES = {
    "extra class": (extra_class, f"{STRAY}: 1 ('train/n99999999')"),
    "stray file": (put("notes.md", b"x"), f"{STRAY}: 1 ('notes.md')"),
    "no number": (
        put(tiny.train_path(B, "٣"), tiny.encode(3)),
        f"{STRAY}: 1 ('{tiny.train_path(B, '٣')}')",
    ),
    "no number to validate on": (
        put("val/images/val_x.JPEG", b"x"),
        f"{STRAY}: 1 ('val/images/val_x.JPEG')",
    ),
    "class without training images": (
        remove(f"train/{A}"),
        f"classes without training images: 1 ('{A}')",
        (6, 6),
    ),
    "class without validation images": (
        tiny.edit_lines(VAL, lambda lines: [line for line in lines if C not in line]),
        f"classes without validation images: 1 ('{C}')",
        (9, 4),
    ),
    "cut": (put(BAD, WHOLE[:-100]), UNDECODABLE, (8, 6)),
    "cut a little": (put(BAD, WHOLE[:-2]), UNDECODABLE, (8, 6)),
    "empty": (put(BAD, b""), UNDECODABLE, (8, 6)),
    "text": (put(BAD, b"no image" * 99), UNDECODABLE, (8, 6)),
    "png": (put(BAD, PNG), UNDECODABLE, (8, 6)),
    "another size": (
        put(SECOND, tiny.encode(0, (64, 63, 3))),
        f"images of another size than 64×64: 1 ('{SECOND}')",
        (9, 5),
    ),
    "train box missing": (
        tiny.edit_lines(BOXES, lambda lines: lines[1:]),
        f"training images without a box: 1 ('{tiny.train_path(B, 0)}')",
    ),
    "box file missing": (remove(BOXES), "training images without a box: 3 ("),
    "box outside": (
        first_line(BOXES, "63", "64"),
        f"{UNUSABLE}: 1 ('{B}_0.JPEG\\t0\\t16\\t31\\t64')",
    ),
    "box turned over": (first_line(BOXES, "16", "64"), f"{UNUSABLE}: 1 ("),
    "label missing": (
        tiny.edit_lines(VAL, lambda lines: lines[1:]),
        "validation images without a label: 1 ('val/images/val_0.JPEG')",
        (9, 5),
    ),
    "label of no class": (first_line(VAL, A, "n7"), f"{UNUSABLE}: 1 (", (9, 5)),
    "two labels": (
        tiny.edit_lines(VAL, lambda lines: [*lines, lines[0].replace(A, B)]),
        f"{UNUSABLE}: 1 (",
    ),
    "images gone": (
        remove("val_0", "val_1"),
        "annotations of images that are not there: 2 ('val/images/val_0.JPEG', ",
        (9, 4),
    ),
    "words gone": (
        remove("words.txt"),
        f"classes without words: 3 ('{B}', '{C}', '{A}')",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_uses_the_rest_of_a_damaged_copy(damage, write, tmp_path, capfd):
    spoil, expected, *counts = DAMAGES[damage]
    ((num_train, num_test),) = counts or [(9, 6)]
    files = tiny.make_files()
    spoil(files)
    write(tmp_path, files)
    dataset, message = tiny.load_with_warning(tmp_path)
    assert expected in message
    assert (len(dataset.train), len(dataset.test)) == (num_train, num_test)
    assert f"{num_train} of the official 100,000 train images" in message
    assert f"{num_test} of the official 10,000 validation images" in message
    assert capfd.readouterr().err == ""
    # Whatever is gone, the rest keeps its class.
    for label, wnid in enumerate(WNIDS):
        images = dataset.train.images[dataset.train.labels == label]
        if first := files.get(tiny.train_path(wnid, 0)):
            np.testing.assert_array_equal(images[0], tiny.pixels(first))
    assert dataset.num_classes == 3


def test_classes_without_words_are_called_by_their_wnid(tmp_path):
    files = tiny.make_files()
    files["words.txt"] = f"{B}\t \n{C}\tcrane, bird".encode()
    tiny.write_zip(tmp_path, files)
    del files[tiny.train_path(A, 0)]
    tiny.write_folder(tmp_path, files)
    dataset = tiny.load_with_warning(tmp_path)[0]
    assert dataset.class_names == (A, B, "crane")
    assert len(dataset.train) == 9  # The zip is preferred to the folder.


def test_says_everything_in_one_warning(write, tmp_path):
    files = tiny.make_files()
    for damage in ("extra class", "cut", "another size", "label missing", "words gone"):
        DAMAGES[damage][0](files)
    for number in range(20, 25):
        files[tiny.train_path(B, number)] = b"broken"
    write(tmp_path, files)
    message = tiny.load_with_warning(tmp_path)[1]
    for damage in ("extra class", "another size", "label missing", "words gone"):
        assert DAMAGES[damage][1] in message
    assert "images that cannot be decoded: 6 (" in message
    assert "and 3 more" in message


@pytest.mark.filterwarnings("ignore:.*(official|decoded to)")
def test_a_file_that_the_system_cannot_read_is_read_again(write, tmp_path, monkeypatch):
    files = tiny.make_files()
    files[tiny.train_path(A, 0)] = b"broken"
    write(tmp_path, files)
    where = {"images_in": "disk", "cache_dir": tmp_path / "cache"}

    def failing(opens):
        def fails(*args):  # the path, or the archive and its member
            if BAD in str(args):
                raise OSError(5, "Input/output error")
            return opens(*args)

        return fails

    with monkeypatch.context() as patch:
        patch.setattr(members_lib, "open", failing(open), raising=False)
        patch.setattr(zipfile.ZipFile, "open", failing(zipfile.ZipFile.open))
        with pytest.warns(UserWarning, match=f"could not be read: 1 .'{BAD}'"):
            dataset = data.load("tiny_imagenet", tmp_path, **where)
    assert len(dataset.train) == 7
    # Of what the archive holds, the cache keeps what is wrong.
    for _ in range(2):
        assert len(data.load("tiny_imagenet", tmp_path, **where).train) == 8
    monkeypatch.setattr(archive_lib, "decode_image", lambda _: pytest.fail("again"))
    assert len(data.load("tiny_imagenet", tmp_path, **where).train) == 8


def keep_only(name):
    return lambda files: [files.pop(each) for each in list(files) if each != name]


def one_class_left(files):
    for wnid in (A, B):
        for number in NUMBERS:
            files[tiny.train_path(wnid, number)] = b"broken"


REFUSALS = {
    "another layout": (
        keep_only(VAL),
        "is not laid out as Tiny-ImageNet: none of its 1 files is "
        "'tiny-imagenet-200/wnids.txt'",
    ),
    "wnids gone": (remove("wnids.txt"), "is not laid out"),
    "wnids empty": (put("wnids.txt", b" \n"), "must list .* Received: 0 lines"),
    "wnids repeat": (
        put("wnids.txt", f"{A}\n{A}\n{B}".encode()),
        "Received: 3 lines, 2 different, 0 of another form",
    ),
    "wnids are no wnids": (
        put("wnids.txt", f"{A}\n../x\n{B}".encode()),
        r"1 of another form \('../x'\)",
    ),
    "annotations gone": (
        remove(VAL),
        "3 have training images, 0 validation images and 0 both. What is wrong: "
        "validation images without a label: 6",
    ),
    "one class left": (
        one_class_left,
        "at least 2 classes .* of the 3 .* 1 have training images, 3 validation images "
        "and 1 both. What is wrong: images that cannot be decoded: 6",
    ),
    "no images": (
        remove("JPEG"),
        "0 have training images, 0 validation images and 0 both",
    ),
    "large image": (
        put(tiny.train_path(A, 0), bytes(2**20 + 1)),
        "1 of its files are too large for one .*_0.JPEG, 1,048,577 bytes",
    ),
    "large list": (
        put("words.txt", bytes(2**24 + 1)),
        "too large for one .*words.txt, 16,777,217 bytes",
    ),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_refuses(refusal, write, tmp_path):
    spoil, expected = REFUSALS[refusal]
    files = tiny.make_files()
    spoil(files)
    write(tmp_path, files)
    before = tiny.tree(tmp_path)
    with pytest.raises(InputError, match=expected) as caught:
        data.load("tiny_imagenet", tmp_path)
    assert "\n" not in str(caught.value)
    assert repr(str(tmp_path))[:-1] in str(caught.value)
    assert not isinstance(caught.value, data.DataNotFoundError)
    assert tiny.tree(tmp_path) == before


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
