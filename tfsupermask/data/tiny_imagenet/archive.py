"""A copy of Tiny-ImageNet-200: its classes, images, boxes and faults.

Nothing is extracted, and only files with expected names and limited sizes are read. So
a hostile archive can neither write files nor fill the memory.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import logging
import math
import os
import pathlib
import re
import warnings
import zipfile
from collections.abc import Iterator

import numpy as np

from tfsupermask._validation import InputError, listed
from tfsupermask.data.storage import Storage, decoded
from tfsupermask.data.stored import StoredImages, select
from tfsupermask.data.tiny_imagenet.members import (
    FOLDER_NAME,
    IMAGE_SHAPE,
    IMAGE_SIZE,
    UNREAD,
    FolderFiles,
    UnreadableFileError,
    UnusableImageError,
    ZipFiles,
    decode_image,
)

ZIP_NAME = f"{FOLDER_NAME}.zip"

_OFFICIAL_COUNTS = {"train": 100_000, "validation": 10_000}
_WNIDS, _WORDS, _VALIDATION = "wnids.txt", "words.txt", "val/val_annotations.txt"
_TEXTS = (_WNIDS, _WORDS, _VALIDATION)
_NUMBER = r"(?:0|[1-9][0-9]{0,8})"
_WNID = re.compile(r"n[0-9]{8}")
_TRAIN_IMAGE = re.compile(rf"train/(n[0-9]{{8}})/images/\1_{_NUMBER}\.JPEG")
_TRAIN_BOXES = re.compile(r"train/(n[0-9]{8})/\1_boxes\.txt")
_VALIDATION_IMAGE = re.compile(rf"val/images/val_{_NUMBER}\.JPEG")
_TEST_IMAGE = re.compile(rf"test/images/test_{_NUMBER}\.JPEG")
_IN_CLASS = (_TRAIN_IMAGE, _TRAIN_BOXES)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_HIDDEN = re.compile(r"\.[^./].*|__MACOSX")
_CORNERS = re.compile(r"\t".join(["([0-9]{1,2})"] * 4))

_MAX_BYTES = 2**20
_MAX_TEXT_BYTES = 2**24  # The official words.txt has 82,115 lines.
_MAX_NAME_LENGTH = 120

_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Example:
    """One labelled image and its boxes, usually one."""

    path: str
    label: int
    boxes: tuple[tuple[float, float, float, float], ...]  # ymin, xmin, ymax, xmax; 0..1

    @property
    def file_name(self) -> str:
        """The name of its file, unique in its split."""
        return self.path.rpartition("/")[2]


class Archive:
    """A copy of Tiny-ImageNet-200, opened for reading by `open_archive`.

    `wnids` are the WordNet identifiers of the classes in the official order, `words`
    the words for each class. `examples` are the images of the splits `"train"` and
    `"validation"`, class by class in the order of their numbers; `check` and
    `read_images` remove those that cannot be used.
    """

    def __init__(self, location: str, files: ZipFiles | FolderFiles):
        self._location = location
        self._files = files
        # By kind of fault, the names of the faulty files, lines or classes.
        self._problems = collections.defaultdict(set)
        self._check_sizes()
        self.wnids = self._read_wnids()
        self._labels = {wnid: label for label, wnid in enumerate(self.wnids)}
        self._note_unknown_files()
        self.words = self._read_words()
        self.examples = {
            "train": self._find_train(),
            "validation": self._find_validation(),
        }
        self._check_classes()

    def read(self, example: Example) -> bytes:
        """Returns the image file of an example."""
        return self._files.read(example.path)

    def read_images(self, storage: Storage) -> dict[str, np.ndarray | StoredImages]:
        """Returns the images of each split, uint8 RGB, in the order of `examples`.

        Warns once about all faults. Fewer than two usable classes are an error.
        """
        images, state = {}, self._files.state()
        for split, examples in self.examples.items():
            all_images, kinds = storage.hold(
                (len(examples), *IMAGE_SHAPE),
                functools.partial(decoded, examples, IMAGE_SHAPE, self._decode),
                ["tiny_imagenet", split, state],
                lasts=lambda kind: kind != UNREAD,
            )
            usable = self._keep_usable(split, kinds)
            images[split] = select(all_images, usable)
        self._report()
        return images

    def check(self) -> None:
        """Checks all images as `read_images` does, without keeping them."""
        for split, examples in self.examples.items():
            blocks = decoded(examples, IMAGE_SHAPE, self._decode)
            self._keep_usable(split, [kind for _, kinds in blocks for kind in kinds])
        self._report()

    def _decode(self, example):
        """Returns the image, or the kind of images that are like it."""
        try:
            return decode_image(self.read(example)), ""
        except (UnreadableFileError, UnusableImageError) as error:
            return None, error.kind

    def _keep_usable(self, split, kinds):
        """Removes the examples that are of a kind; returns where the others were."""
        examples = self.examples[split]
        for example, kind in zip(examples, kinds, strict=True):
            if kind:
                self._problems[kind].add(example.path)
        usable = [index for index, kind in enumerate(kinds) if not kind]
        self.examples[split] = [examples[index] for index in usable]
        return slice(None) if len(usable) == len(kinds) else np.array(usable)

    def _check_sizes(self):
        too_large = [
            f"{path}, {size:,} bytes"
            for path, size in self._files.sizes.items()
            if size > _max_bytes(path)
        ]
        if too_large:
            raise InputError(
                f"{self._location!r} is no Tiny-ImageNet: {len(too_large)} of its "
                f"files are too large for one ({_quoted(too_large)})."
            )

    def _read_wnids(self):
        if _WNIDS not in self._files.sizes:
            raise InputError(
                f"{self._location!r} is not laid out as Tiny-ImageNet: none of its "
                f"{len(self._files.sizes)} files is '{FOLDER_NAME}/{_WNIDS}', the list "
                "of the classes."
            )
        try:
            lines = _split_lines(self._files.read(_WNIDS))
        except UnreadableFileError as error:
            raise InputError(f"{self._location!r} is damaged: {error}") from error
        bad = [line for line in lines if not _WNID.fullmatch(line)]
        repeated = len(set(lines)) < len(lines)
        if not lines or bad or repeated:
            raise InputError(
                f"'{FOLDER_NAME}/{_WNIDS}' in {self._location!r} must list every class "
                f"once, as n and 8 digits. Received: {len(lines)} lines, "
                f"{len(set(lines))} different, {len(bad)} of another form"
                + (f" ({_quoted(bad)})." if bad else ".")
            )
        return tuple(lines)

    def _note_unknown_files(self):
        for path in self._files.sizes:
            match = _match(_IN_CLASS, path)
            outside = path in _TEXTS or _match((_VALIDATION_IMAGE, _TEST_IMAGE), path)
            known = match[1] in self._labels if match else outside
            names = path.removeprefix("../").split("/")
            if known or any(map(_HIDDEN.fullmatch, names)):
                continue
            in_extra_class = path.startswith("train/") and names[1] not in self._labels
            self._problems["files or class folders that do not belong"].add(
                "/".join(names[:2] if in_extra_class else names)
            )

    def _read_lines(self, path):
        if path not in self._files.sizes:
            return []
        try:
            return _split_lines(self._files.read(path))
        except UnreadableFileError:
            self._problems["text files that cannot be read"].add(path)
            return []

    def _read_words(self):
        pairs = [line.partition("\t") for line in self._read_lines(_WORDS)]
        # They may be shown later; the images can be used even if words are bad.
        words = {wnid: _CONTROL.sub("", text).strip() for wnid, _, text in pairs}
        for wnid in self.wnids:
            if not words.get(wnid):
                self._problems["classes without words"].add(wnid)
        return tuple(words.get(wnid, "") for wnid in self.wnids)

    def _find_train(self):
        matches = filter(None, map(_TRAIN_IMAGE.fullmatch, self._files.sizes))
        labels = {
            match[0]: self._labels[match[1]]
            for match in matches
            if match[1] in self._labels
        }
        boxes = collections.defaultdict(list)
        for wnid in self.wnids:
            for line in self._read_lines(f"train/{wnid}/{wnid}_boxes.txt"):
                name, _, corners = line.partition("\t")
                self._add_box(boxes, f"train/{wnid}/images/{name}", corners, line)
        for path in labels.keys() - boxes.keys():
            self._problems["training images without a box"].add(path)
        return _examples(labels, boxes)

    def _find_validation(self):
        boxes, labels = collections.defaultdict(list), {}
        for line in self._read_lines(_VALIDATION):
            name, _, rest = line.partition("\t")
            wnid, _, corners = rest.partition("\t")
            path = f"val/images/{name}"
            label = self._labels.get(wnid)
            if label is None or labels.setdefault(path, label) != label:
                self._problems["annotations that cannot be used"].add(line)
                continue
            self._add_box(boxes, path, corners, line)
        images = set(filter(_VALIDATION_IMAGE.fullmatch, self._files.sizes))
        for path in images - labels.keys():
            self._problems["validation images without a label"].add(path)
        labels = {path: label for path, label in labels.items() if path in images}
        return _examples(labels, boxes)

    def _add_box(self, boxes, path, corners, line):
        if path not in self._files.sizes:
            self._problems["annotations of images that are not there"].add(path)
            return
        box = _normalise(corners)
        if box is None:
            self._problems["annotations that cannot be used"].add(line)
        else:
            boxes[path].append(box)

    def _classes_of(self, split):
        return {example.label for example in self.examples[split]}

    def _check_classes(self):
        train, validation = (self._classes_of(s) for s in ("train", "validation"))
        if len(train & validation) < 2:
            found = f" What is wrong: {self._wrong()}." if self._problems else ""
            raise InputError(
                "Tiny-ImageNet needs at least 2 classes with images to train on and to "
                f"validate on; of the {len(self.wnids)} classes in {self._location!r}, "
                f"{len(train)} have training images, {len(validation)} validation "
                f"images and {len(train & validation)} both.{found}"
            )

    def _wrong(self):
        return "; ".join(
            f"{kind}: {len(names)} ({_quoted(names)})"
            for kind, names in self._problems.items()
        )

    def _report(self):
        self._check_classes()
        for split, kind in (("train", "training"), ("validation", "validation")):
            there = self._classes_of(split)
            for label, wnid in enumerate(self.wnids):
                if label not in there:
                    self._problems[f"classes without {kind} images"].add(wnid)
        counts = ", ".join(
            f"{len(self.examples[split]):,} of the official {number:,} {split} images"
            for split, number in _OFFICIAL_COUNTS.items()
        )
        _logger.info("%s: %s.", self._location, counts)
        if self._problems:
            warnings.warn(
                f"{self._location!r} is not as the official Tiny-ImageNet. "
                f"{self._wrong()}. The rest is used: {counts}.",
                stacklevel=2,
            )


def find_archive(root: str | os.PathLike) -> pathlib.Path | None:
    """Returns the archive, the extracted folder in `root`, or `root`; else `None`."""
    root = pathlib.Path(root)
    zipped, folder = root / ZIP_NAME, root / FOLDER_NAME
    if zipped.is_file():
        return zipped
    if folder.is_dir():
        return folder
    return root if root.is_file() or (root / _WNIDS).is_file() else None


@contextlib.contextmanager
def open_archive(path: str | os.PathLike) -> Iterator[Archive]:
    """Opens a copy of Tiny-ImageNet-200: the zip archive, or the extracted folder."""
    path = pathlib.Path(path)
    if path.is_dir():
        yield Archive(str(path), FolderFiles(path))
        return
    try:
        zipped = zipfile.ZipFile(path)
    except (OSError, RuntimeError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{str(path)!r} cannot be read; it is no zip archive, or only a part of "
            f"one ({error}). Remove it or fetch it anew."
        ) from error
    with zipped:
        yield Archive(str(path), ZipFiles(zipped))


def image_number(file_name: str) -> int:
    """Returns the number in an image's file name: 7 for `"val_7.JPEG"`."""
    return int(file_name.rpartition("_")[2].removesuffix(".JPEG"))


def _examples(labels, boxes):
    """Returns the examples, class by class in the order of their numbers."""
    found = [Example(path, label, tuple(boxes[path])) for path, label in labels.items()]
    return sorted(found, key=lambda each: (each.label, image_number(each.file_name)))


def _normalise(corners):
    """Returns the box between a first and a last pixel, or `None` if it is no box."""
    match = _CORNERS.fullmatch(corners)
    if match is None:
        return None
    xmin, ymin, xmax, ymax = map(int, match.groups())
    if not (xmin <= xmax < IMAGE_SIZE and ymin <= ymax < IMAGE_SIZE):
        return None
    return tuple(n / IMAGE_SIZE for n in (ymin, xmin, ymax + 1, xmax + 1))


def _split_lines(text):
    lines = text.decode("utf-8-sig", errors="replace").split("\n")
    return [line.strip() for line in lines if line.strip()]


def _match(patterns, path):
    return next(filter(None, (pattern.fullmatch(path) for pattern in patterns)), None)


def _max_bytes(path):
    """Returns the size limit of a file; one that is never read has none."""
    if path in _TEXTS:
        return _MAX_TEXT_BYTES
    read = _match((*_IN_CLASS, _VALIDATION_IMAGE), path)
    return _MAX_BYTES if read else math.inf


def _quoted(names):
    return listed([repr(name[:_MAX_NAME_LENGTH]) for name in names])
