"""A small Tiny-ImageNet, whole or spoilt."""

import functools
import warnings
import zipfile

import cv2
import numpy as np
import pytest

from tfsupermask import data

PREFIX = "tiny-imagenet-200/"
# Not in the order of their names: the labels are those of this order.
A, B, C = WNIDS = ("n00000003", "n00000001", "n00000002")
WORDS = {A: "crane, a machine", B: "goldfish, Carassius auratus", C: "crane"}
# The order of numbers is not that of names.
NUMBERS = (0, 2, 10)


def train_path(wnid, number):
    return f"train/{wnid}/images/{wnid}_{number}.JPEG"


VAL = "val/val_annotations.txt"
BOXES = f"train/{B}/{B}_boxes.txt"
BAD = train_path(B, 2)  # the image that tests spoil
UNDECODABLE = f"images that cannot be decoded: 1 ('{BAD}')"


@functools.cache
def encode(seed, shape=(64, 64, 3)):
    """A JPEG that no other seed gives."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (4, 4, *shape[2:]), np.uint8)
    return cv2.imencode(".jpg", cv2.resize(small, shape[1::-1]))[1].tobytes()


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
    files[VAL] = "".join(lines).encode()
    files["test/images/test_0.JPEG"] = encode(2000)
    return files


def edit_lines(name, edit):
    """Returns what changes the lines of a text file."""

    def spoil(files):
        lines = files[name].decode().splitlines()
        files[name] = "\n".join(edit(lines)).encode()

    return spoil


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


def pixels(encoded, flag=cv2.IMREAD_COLOR_RGB):
    return cv2.imdecode(np.frombuffer(encoded, np.uint8), flag)


def tree(folder):
    """All that is in a folder, to see whether it stays as it is."""
    return sorted(
        (str(path.relative_to(folder)), path.is_file() and path.read_bytes())
        for path in folder.rglob("*")
    )


def assert_equal(one, other):
    for a, b in ((one.train, other.train), (one.test, other.test)):
        np.testing.assert_array_equal(a.images, b.images)
        np.testing.assert_array_equal(a.labels, b.labels)
    assert one.class_names == other.class_names
