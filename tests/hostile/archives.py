"""Copies of Tiny-ImageNet and folders of prepared datasets."""

import functools
import io
import json
import os
import shutil
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from unittest import mock

import numpy as np

from tests.hostile.judging import DEEP, ESCAPE, RAN, Input, refused
from tests.hostile.pictures import encode, noise, with_jpeg_size, zero
from tfsupermask import data

_ROOT = "tiny-imagenet-200"
_CLASSES = ("n00000001", "n00000002")
_IMAGE = f"train/{_CLASSES[0]}/images/{_CLASSES[0]}_0.JPEG"
_BOMB = 40 << 20


def _files():
    """Returns the files of a small honest copy, by path."""
    files = {"wnids.txt": "\n".join(_CLASSES).encode()}
    files["words.txt"] = "".join(f"{c}\tword {c}\n" for c in _CLASSES).encode()
    labels = ""
    for number, wnid in enumerate(_CLASSES):
        image = encode(noise(64, number), "JPEG")
        files[_IMAGE.replace(_CLASSES[0], wnid)] = image
        files[f"val/images/val_{number}.JPEG"] = image
        boxes = f"{wnid}_0.JPEG\t0\t0\t9\t9\n"
        files[f"train/{wnid}/{wnid}_boxes.txt"] = boxes.encode()
        labels += f"val_{number}.JPEG\t{wnid}\t0\t0\t9\t9\n"
    return files | {"val/val_annotations.txt": labels.encode()}


def _load(folder):
    return lambda: data.load("tiny_imagenet", data_dir=str(folder))


def as_file(content):
    def make(folder):
        (folder / f"{_ROOT}.zip").write_bytes(content())
        return _load(folder)

    return make


def extracted(change):
    """Returns the maker of the extracted folder, changed."""

    def make(folder):
        for name, content in _files().items():
            path = folder / _ROOT / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        change(folder / _ROOT)
        return _load(folder)

    return make


def replaced(name, put):
    """Returns the maker of the extracted folder with another thing for a file."""

    def change(root):
        (root / name).unlink()
        put(root / name)

    return extracted(change)


def _whole(change=lambda archive: None, compression=zipfile.ZIP_STORED, **replaced):
    """Returns an archive with some files replaced and others added."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in (_files() | replaced).items():
            content = content() if callable(content) else content
            archive.writestr(f"{_ROOT}/{name}", content)
        change(archive)
    return file.getvalue()


def zipped(change=lambda archive: None, compression=zipfile.ZIP_DEFLATED, **replaced):
    return as_file(lambda: _whole(change, compression, **replaced))


def _tar():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        link = tarfile.TarInfo("../../escaped")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return file.getvalue()


def _escaping(archive):
    for name in ("../../escaped.txt", "/tmp/escaped.txt", "C:\\escaped.txt"):
        archive.writestr(name, b"escaped")


def _link(archive):
    link = zipfile.ZipInfo(f"{_ROOT}/test/images/test_0.JPEG")
    link.external_attr = 0o120777 << 16
    archive.writestr(link, "/etc/passwd")


def _many(archive):
    for number in range(5000):
        archive.writestr(f"{_ROOT}/{ESCAPE}{number}", b"")


def _understated():
    """An archive whose directory says that a file is 5 bytes shorter."""
    whole = bytearray(_whole())
    size = len(_files()["wnids.txt"])
    entry = whole.index(b"PK\x01\x02")
    whole[entry + 24 : entry + 28] = (size - 5).to_bytes(4, "little")
    return bytes(whole)


def _encrypted():
    whole = bytearray(_whole())
    for sign, place in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        whole[whole.index(sign) + place] |= 1
    return bytes(whole)


def _claims_entries():
    whole = bytearray(_whole())
    end = whole.rindex(b"PK\x05\x06")
    whole[end + 8 : end + 20] = b"\xff" * 12
    return bytes(whole)


@functools.cache
def _prepared():
    """A folder with a small CIFAR-10 as TensorFlow Datasets stores it."""
    import tensorflow_datasets as tfds

    root = Path(tempfile.mkdtemp(prefix="prepared."))
    builder = tfds.builder("cifar10", data_dir=root)
    builder.info.features["label"].names = [f"c{n}" for n in range(10)]
    builder.data_path.mkdir(parents=True)
    writer = tfds.core.SequentialWriter(
        builder.info, max_examples_per_shard=9, overwrite=False
    )
    writer.initialize_splits(["train", "test"])
    images = np.zeros((2, 32, 32, 3), np.uint8)
    examples = [{"id": f"{n}", "image": images[n], "label": n} for n in range(2)]
    writer.add_examples({"train": examples, "test": examples})
    writer.close_all()
    return root


def prepared(change):
    """Returns the maker of a prepared dataset, changed; there is no network."""

    def make(folder):
        shutil.copytree(_prepared(), folder, dirs_exist_ok=True)
        change(next((folder / "cifar10").iterdir()))

        def call():
            # A module of this name lies in the folder, and must not be imported.
            with (
                mock.patch("requests.head", side_effect=OSError("no network")),
                mock.patch("sys.path", [str(folder), *sys.path]),
            ):
                data.load("cifar10", data_dir=str(folder))

        return call

    return make


def info(text):
    path = "dataset_info.json"
    return prepared(lambda root: (root / path).write_text(text))


def lengths(*values):
    """Returns the maker of a dataset whose shards claim numbers of examples."""

    def change(root):
        path = root / "dataset_info.json"
        splits = [
            {"name": name, "numBytes": "1e999", "shardLengths": list(values)}
            for name in ("train", "test")
        ]
        path.write_text(json.dumps(json.loads(path.read_text()) | {"splits": splits}))

    return prepared(change)


def foreign_features(root):
    module = root.parent.parent / "harmful_module.py"
    module.write_text(f"open({str(root.parent.parent / RAN)!r}, 'w')")
    features = {"pythonClassName": "harmful_module.Feature", "type": "harmful_module.F"}
    (root / "features.json").write_text(json.dumps(features))


def shard(content):
    def change(root):
        for path in root.glob("*.tfrecord-*"):
            path.write_bytes(content(path.read_bytes()))

    return prepared(change)


def names(text):
    lines = "\n".join([text, *(f"c{n}" for n in range(1, 10))])
    return prepared(lambda root: (root / "label.labels.txt").write_text(lines))


DAMAGED = "cannot be read; it may be incomplete or damaged"

INPUTS = {
    "an honest Tiny-ImageNet": Input(zipped(), rule="read"),
    **refused("no zip archive, or only a", {
        "a text called tiny-imagenet-200.zip": as_file(lambda: b"zip"),
        "half an archive": as_file(lambda: _whole()[: len(_whole()) // 2]),
        "an archive of 10 bytes": as_file(lambda: _whole()[:10]),
        "a tar that escapes, called .zip": as_file(_tar),
        "an archive that claims 65,535 members": as_file(_claims_entries),
    }),
    "members named ../../escaped.txt and /tmp/escaped.txt": Input(
        zipped(_escaping), rule="nothing is ever extracted; a warning names them"),
    "a member that is a link to /etc/passwd": Input(
        zipped(_link), rule="nothing is ever extracted"),
    "5,000 members whose names command the terminal": Input(
        zipped(_many), rule="ignored; a warning names 3, escaped"),
    **refused("too large", {
        "an image of 40 MB of zeros in 40 kB": zipped(**{_IMAGE: bytes(_BOMB)}),
        "a list of classes of 40 MB in 40 kB": zipped(**{"wnids.txt": bytes(_BOMB)}),
    }),
    "a file that nobody reads, of 40 MB in 40 kB": Input(
        zipped(**{"test/images/bomb": bytes(_BOMB)}), rule="never inflated"),
    "a member that inflates to more than it says": Input(
        as_file(_understated), "damaged|must list"),
    "an encrypted member": Input(as_file(_encrypted), "is damaged.*encrypted"),
    "members compressed by bzip2": Input(
        zipped(compression=zipfile.ZIP_BZIP2), "another way than by deflate"),
    "a list of classes that commands the terminal": Input(
        zipped(**{"wnids.txt": ESCAPE.encode() + b"\n\r\x07"}), "n and 8 digits"),
    "words that command the terminal": Input(
        zipped(**{"words.txt": f"{_CLASSES[0]}\t{ESCAPE}a\n".encode()}),
        rule="control characters are left out of words"),
    **refused("at least 2 classes", {
        "a JPEG of the archive that claims 65,500 × 65,500":
            zipped(**{_IMAGE: lambda: with_jpeg_size(65500, 65500)}),
        "a pipe as an image of the extracted folder": replaced(_IMAGE, os.mkfifo),
    }),
    **refused("must list every class", {
        "a pipe as the list of classes": replaced("wnids.txt", os.mkfifo),
        "/dev/zero as the list of classes": replaced("wnids.txt", zero),
    }),
    "a link to the folder inside the folder": Input(
        extracted(lambda root: (root / "train" / "loop").symlink_to(root)),
        rule="links to folders are not followed"),
    "an honest prepared dataset": Input(prepared(lambda root: None), rule="read"),
    **refused(DAMAGED, {
        "an empty dataset_info.json": info(""),
        "a dataset_info.json that is a list": info("[]"),
        "a dataset_info.json 100,000 deep": info(DEEP),
        "a dataset_info.json that commands the terminal": info(f'{{"{ESCAPE}": 1}}'),
        "a dataset of 1e999 bytes": lengths(2),
        "a shard of 2**70 examples": lengths(2**70),
        "a shard of -1 examples": lengths(-1),
        "a shard that is cut": shard(lambda whole: whole[:50]),
        "a shard whose record claims 2⁶³ bytes":
            shard(lambda whole: b"\xff" * 7 + b"\x7f" + whole[8:]),
    }),
    "features of a class that importing would run": Input(
        prepared(foreign_features), rule="never looked up: CIFAR's own are used"),
    "features 100,000 deep": Input(
        prepared(lambda root: (root / "features.json").write_text(DEEP)),
        rule="never looked up"),
    "a label that commands the terminal": Input(names(ESCAPE), "control characters"),
}  # fmt: skip
