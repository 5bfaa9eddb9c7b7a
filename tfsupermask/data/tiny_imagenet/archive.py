"""The files of Tiny-ImageNet-200, in its zip archive or in the extracted folder.

Nothing is ever extracted. Files are asked for by names that match the layout, and each
has a limit of size, so a hostile archive can neither write nor fill the memory.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import os
import pathlib
import re
import warnings
import zipfile
from collections.abc import Collection, Iterable, Iterator

import numpy as np

from tfsupermask._validation import InputError
from tfsupermask.data.images import quiet_opencv
from tfsupermask.data.tiny_imagenet.decoding import (
    IMAGE_SIZE,
    UNDECODABLE,
    UnusableImageError,
    decode_image,
)
from tfsupermask.data.tiny_imagenet.files import (
    FOLDER_NAME,
    Files,
    FolderFiles,
    UnreadableFileError,
    ZipFiles,
)

ZIP_NAME = f"{FOLDER_NAME}.zip"
OFFICIAL_COUNTS = {"train": 100_000, "validation": 10_000}

_WNIDS, _WORDS, _VALIDATION = "wnids.txt", "words.txt", "val/val_annotations.txt"
_TEXTS = (_WNIDS, _WORDS, _VALIDATION)
_NUMBER = r"(?:0|[1-9][0-9]{0,8})"
_WNID = re.compile(r"n[0-9]{8}")
_TRAIN_IMAGE = re.compile(rf"train/(n[0-9]{{8}})/images/\1_{_NUMBER}\.JPEG")
_TRAIN_BOXES = re.compile(r"train/(n[0-9]{8})/\1_boxes\.txt")
_VALIDATION_IMAGE = re.compile(rf"val/images/val_{_NUMBER}\.JPEG")
_TEST_IMAGE = re.compile(rf"test/images/test_{_NUMBER}\.JPEG")
_IN_CLASS = (_TRAIN_IMAGE, _TRAIN_BOXES)
_OTHERS = (_VALIDATION_IMAGE, _TEST_IMAGE, *map(re.compile, map(re.escape, _TEXTS)))
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_HIDDEN = re.compile(r"\.[^./].*|__MACOSX")
_CORNERS = re.compile(r"\t".join(["([0-9]{1,2})"] * 4))

_MAX_BYTES = 2**20
_MAX_TEXT_BYTES = 2**24  # The official words.txt has 82,115 lines.
_MAX_NAME_LENGTH = 120
_MAX_LISTED = 3

_logger = logging.getLogger(__name__)

Box = tuple[float, float, float, float]


@dataclasses.dataclass(frozen=True)
class Example:
    """One labelled image.

    Args:
        path: of its file, relative to the dataset's folder.
        label: the index of its class.
        boxes: normalised `(ymin, xmin, ymax, xmax)`, usually one.
    """

    path: str
    label: int
    boxes: tuple[Box, ...]

    @property
    def file_name(self) -> str:
        """The name of its file, unique in its split."""
        return self.path.rpartition("/")[2]


class _Problems:
    """What is wrong with a copy: the names of what is affected, by kind."""

    def __init__(self):
        self._names: dict[str, set[str]] = {}

    def add(self, kind: str, name: str) -> None:
        self._names.setdefault(kind, set()).add(name)

    def __bool__(self) -> bool:
        return bool(self._names)

    def __str__(self) -> str:
        return "; ".join(
            f"{kind}: {len(names)} ({_list(names)})"
            for kind, names in self._names.items()
        )


class Archive:
    """A copy of Tiny-ImageNet-200, opened for reading by `open_archive`.

    Args:
        location: where the copy is, for messages.
        files: its files.

    Attributes:
        wnids: the WordNet identifiers of the classes, in the official order.
        words: for each class, the words that describe it; empty if unknown.
        examples: the images of the splits `"train"` and `"validation"`, class by class
            in the order of their numbers. `check` and `read_images` take those out
            that cannot be used.

    Raises:
        InputError: if the layout is another, or a file is too large.
    """

    def __init__(self, location: str, files: Files):
        self._location = location
        self._files = files
        self._problems = _Problems()
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
        """Returns the image file of an example.

        Raises:
            UnusableImageError: if it cannot be read.
        """
        try:
            return self._files.read(example.path)
        except UnreadableFileError as error:
            raise UnusableImageError(UNDECODABLE) from error

    def read_images(self) -> dict[str, np.ndarray]:
        """Returns the images of each split, in the order of `examples`.

        Warns, once, of all that is wrong with the copy, and logs how many of the
        official images it has.

        Returns:
            uint8 arrays of shape `[n, 64, 64, 3]`, RGB, by split.

        Raises:
            InputError: if fewer than two classes have usable images in both splits.
        """
        images = {
            split: np.empty((len(examples), IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
            for split, examples in self.examples.items()
        }
        usable = self._decode_all(images)
        return {
            split: images[split] if kept.all() else images[split][kept]
            for split, kept in usable.items()
        }

    def check(self) -> None:
        """As `read_images`, without keeping the images."""
        self._decode_all(None)

    def _decode_all(
        self, images: dict[str, np.ndarray] | None
    ) -> dict[str, np.ndarray]:
        usable = {
            split: self._decode(examples, None if images is None else images[split])
            for split, examples in self.examples.items()
        }
        for split, kept in usable.items():
            self.examples[split] = [
                example
                for example, keep in zip(self.examples[split], kept, strict=True)
                if keep
            ]
        self._check_classes()
        self._report()
        return usable

    def _decode(self, examples: list[Example], images: np.ndarray | None) -> np.ndarray:
        """Returns which examples can be used, having written them to `images`."""
        usable = np.ones(len(examples), bool)
        with quiet_opencv():
            for index, example in enumerate(examples):
                try:
                    image = decode_image(self.read(example))
                except UnusableImageError as error:
                    usable[index] = False
                    self._problems.add(error.kind, example.path)
                else:
                    if images is not None:
                        images[index] = image
        return usable

    def _check_sizes(self) -> None:
        too_large = [
            f"{path}, {size:,} bytes"
            for path, size in self._files.sizes.items()
            if size > _max_bytes(path)
        ]
        if too_large:
            raise InputError(
                f"{self._location!r} is no Tiny-ImageNet: {len(too_large)} of its "
                f"files are too large for one ({_list(too_large)})."
            )

    def _read_wnids(self) -> tuple[str, ...]:
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
                + (f" ({_list(bad)})." if bad else ".")
            )
        return tuple(lines)

    def _note_unknown_files(self) -> None:
        for path in self._files.sizes:
            match = _match(_IN_CLASS, path)
            known = match[1] in self._labels if match else _match(_OTHERS, path)
            parts = path.removeprefix("../").split("/")
            if known or any(_HIDDEN.fullmatch(part) for part in parts):
                continue
            in_extra_class = path.startswith("train/") and parts[1] not in self._labels
            self._problems.add(
                "files or class folders that do not belong",
                "/".join(parts[:2] if in_extra_class else parts),
            )

    def _read_lines(self, path: str) -> list[str]:
        if path not in self._files.sizes:
            return []
        try:
            return _split_lines(self._files.read(path))
        except UnreadableFileError:
            self._problems.add("text files that cannot be read", path)
            return []

    def _read_words(self) -> tuple[str, ...]:
        pairs = [line.partition("\t") for line in self._read_lines(_WORDS)]
        # Shown to people later, and no reason to do without the images.
        words = {wnid: _CONTROL.sub("", text).strip() for wnid, _, text in pairs}
        for wnid in self.wnids:
            if not words.get(wnid):
                self._problems.add("classes without words", wnid)
        return tuple(words.get(wnid, "") for wnid in self.wnids)

    def _find_train(self) -> list[Example]:
        boxes: dict[str, list[Box]] = {}
        for wnid in self.wnids:
            for line in self._read_lines(f"train/{wnid}/{wnid}_boxes.txt"):
                name, _, corners = line.partition("\t")
                path = f"train/{wnid}/images/{name}"
                self._add_box(boxes, path, corners, line)
        matches = [_TRAIN_IMAGE.fullmatch(path) for path in self._files.sizes]
        examples = [
            Example(match[0], self._labels[match[1]], tuple(boxes.get(match[0], ())))
            for match in matches
            if match and match[1] in self._labels
        ]
        for example in examples:
            if not example.boxes:
                self._problems.add("training images without a box", example.path)
        return sorted(examples, key=_order)

    def _find_validation(self) -> list[Example]:
        boxes: dict[str, list[Box]] = {}
        labels: dict[str, int] = {}
        for line in self._read_lines(_VALIDATION):
            name, _, rest = line.partition("\t")
            wnid, _, corners = rest.partition("\t")
            path = f"val/images/{name}"
            label = self._labels.get(wnid)
            if label is None or labels.setdefault(path, label) != label:
                self._problems.add("annotations that cannot be used", line)
                continue
            self._add_box(boxes, path, corners, line)
        examples = []
        for path in self._files.sizes:
            if not _VALIDATION_IMAGE.fullmatch(path):
                continue
            if path not in labels:
                self._problems.add("validation images without a label", path)
                continue
            examples.append(Example(path, labels[path], tuple(boxes.get(path, ()))))
        return sorted(examples, key=_order)

    def _add_box(
        self, boxes: dict[str, list[Box]], path: str, corners: str, line: str
    ) -> None:
        if path not in self._files.sizes:
            self._problems.add("annotations of images that are not there", path)
            return
        box = _normalise(corners)
        if box is None:
            self._problems.add("annotations that cannot be used", line)
        else:
            boxes.setdefault(path, []).append(box)

    def _classes_of(self, split: str) -> set[int]:
        return {example.label for example in self.examples[split]}

    def _check_classes(self) -> None:
        train, validation = (self._classes_of(s) for s in ("train", "validation"))
        if len(train & validation) < 2:
            found = f" What is wrong: {self._problems}." if self._problems else ""
            raise InputError(
                "Tiny-ImageNet needs at least 2 classes with images to train on and to "
                f"validate on; of the {len(self.wnids)} classes in {self._location!r}, "
                f"{len(train)} have training images, {len(validation)} validation "
                f"images and {len(train & validation)} both.{found}"
            )

    def _report(self) -> None:
        for split, kind in (("train", "training"), ("validation", "validation")):
            there = self._classes_of(split)
            for label, wnid in enumerate(self.wnids):
                if label not in there:
                    self._problems.add(f"classes without {kind} images", wnid)
        counts = ", ".join(
            f"{len(self.examples[split]):,} of the official {number:,} {split} images"
            for split, number in OFFICIAL_COUNTS.items()
        )
        _logger.info("%s: %s.", self._location, counts)
        if self._problems:
            warnings.warn(
                f"{self._location!r} is not as the official Tiny-ImageNet. "
                f"{self._problems}. The rest is used: {counts}.",
                stacklevel=2,
            )


def find_archive(root: str | os.PathLike) -> pathlib.Path | None:
    """Returns the zip archive or else the extracted folder in `root`, if any."""
    zipped, folder = pathlib.Path(root, ZIP_NAME), pathlib.Path(root, FOLDER_NAME)
    if zipped.is_file():
        return zipped
    return folder if folder.is_dir() else None


@contextlib.contextmanager
def open_archive(path: str | os.PathLike) -> Iterator[Archive]:
    """Opens a copy of Tiny-ImageNet-200.

    Args:
        path: the zip archive, or the folder extracted from it.

    Yields:
        The `Archive`.

    Raises:
        InputError: if it cannot be read, or is no Tiny-ImageNet.

    Example:
        >>> with open_archive("tiny-imagenet-200.zip") as archive:
        ...     images = archive.read_images()["train"]
        ...     labels = [example.label for example in archive.examples["train"]]
        >>> images.shape[1:], len(images) == len(labels)
        ((64, 64, 3), True)
    """
    path = pathlib.Path(path)
    with contextlib.ExitStack() as stack:
        if path.is_dir():
            files = FolderFiles(path)
        else:
            try:
                files = ZipFiles(stack.enter_context(zipfile.ZipFile(path)))
            except (OSError, RuntimeError, ValueError, zipfile.BadZipFile) as error:
                raise InputError(
                    f"{str(path)!r} cannot be read; it is no zip archive, or only a "
                    f"part of one ({error}). Remove it or fetch it anew."
                ) from error
        yield Archive(str(path), files)


def _normalise(corners: str) -> Box | None:
    """Returns a box given by its first and last pixel, or `None` if it is none."""
    match = _CORNERS.fullmatch(corners)
    if match is None:
        return None
    xmin, ymin, xmax, ymax = map(int, match.groups())
    if not (xmin <= xmax < IMAGE_SIZE and ymin <= ymax < IMAGE_SIZE):
        return None
    return tuple(n / IMAGE_SIZE for n in (ymin, xmin, ymax + 1, xmax + 1))


def _order(example: Example) -> tuple[int, int]:
    return example.label, image_number(example.file_name)


def image_number(file_name: str) -> int:
    """Returns the number in an image's file name: 7 for `"val_7.JPEG"`."""
    return int(file_name.rpartition("_")[2].removesuffix(".JPEG"))


def _split_lines(text: bytes) -> list[str]:
    lines = text.decode("utf-8-sig", errors="replace").split("\n")
    return [line.strip() for line in lines if line.strip()]


def _match(patterns: Iterable[re.Pattern], path: str) -> re.Match | None:
    return next(filter(None, (pattern.fullmatch(path) for pattern in patterns)), None)


def _max_bytes(path: str) -> float:
    """Returns how large a file may be; one that is never read may have any size."""
    if path in _TEXTS:
        return _MAX_TEXT_BYTES
    read = _match((*_IN_CLASS, _VALIDATION_IMAGE), path)
    return _MAX_BYTES if read else math.inf


def _list(items: Collection[str]) -> str:
    more = len(items) - _MAX_LISTED
    names = (repr(item[:_MAX_NAME_LENGTH]) for item in sorted(items)[:_MAX_LISTED])
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")
