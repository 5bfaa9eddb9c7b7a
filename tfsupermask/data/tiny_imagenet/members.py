"""The files of a copy, in a zip archive or a folder: reads and decodes them safely."""

from __future__ import annotations

import contextlib
import os
import pathlib
import stat
import zipfile
import zlib
from typing import Any

import cv2
import numpy as np

from tfsupermask._validation import InputError
from tfsupermask.data.headers import read_header
from tfsupermask.data.images import UnreadableImageError, decode_pixels
from tfsupermask.data.storage import file_states

FOLDER_NAME = "tiny-imagenet-200"
IMAGE_SIZE = 64
IMAGE_SHAPE = (IMAGE_SIZE, IMAGE_SIZE, 3)

UNDECODABLE = "images that cannot be decoded"
UNREAD = "files that could not be read"
_OTHER_SIZE = f"images of another size than {IMAGE_SIZE}×{IMAGE_SIZE}"
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ZIP_ERRORS = (
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)


class UnreadableFileError(InputError):
    """A file is in the listing but cannot be read; `kind` names such images."""

    @property
    def kind(self) -> str:
        """Tells errors of the system, which may pass, from what is wrong in a zip."""
        return UNREAD if isinstance(self.__cause__, OSError) else UNDECODABLE


class UnusableImageError(InputError):
    """The image cannot be used; `kind` names such images, in the plural."""

    def __init__(self, kind: str):
        super().__init__(f"The image is among the {kind}.")
        self.kind = kind


class ZipFiles:
    """The members of a zip archive with the folder; `sizes` has the bytes by path."""

    def __init__(self, archive: zipfile.ZipFile):
        self._archive = archive
        self._members = {
            member.filename.removeprefix(f"{FOLDER_NAME}/")
            # A path outside the folder must not match a path inside it.
            if member.filename.startswith(f"{FOLDER_NAME}/")
            else f"../{member.filename}": member
            for member in archive.infolist()
            if not member.is_dir()
        }
        self.sizes = {path: info.file_size for path, info in self._members.items()}

    def state(self) -> list[Any]:
        """Returns what changes when the archive does."""
        return file_states([self._archive.filename])

    def read(self, path: str) -> bytes:
        """Inflates a member, never beyond the size that it declares."""
        member = self._members[path]
        # Only for these two does zipfile limit what it inflates to the requested size.
        if member.compress_type not in _COMPRESSIONS:
            raise UnreadableFileError(
                f"{path!r} is compressed in another way than by deflate."
            )
        try:
            with self._archive.open(member) as file:
                return file.read(member.file_size)
        except _ZIP_ERRORS as error:
            raise UnreadableFileError(f"{path!r} cannot be read: {error}.") from error


class FolderFiles:
    """The files below the folder; `sizes` has the bytes by path."""

    def __init__(self, root: pathlib.Path):
        self._root = os.fspath(root)
        self.sizes = {}
        start = len(os.path.join(self._root, ""))
        for folder, _, names in os.walk(self._root):
            for path in (os.path.join(folder, name) for name in names):
                self.sizes[path[start:]] = 0
                with contextlib.suppress(OSError):
                    status = os.stat(path)
                    if stat.S_ISREG(status.st_mode):  # a pipe would wait for ever
                        self.sizes[path[start:]] = status.st_size

    def state(self) -> list[Any]:
        """Returns what changes when the files do."""
        return file_states(os.path.join(self._root, path) for path in self.sizes)

    def read(self, path: str) -> bytes:
        """Reads a file, never beyond the size that it had."""
        if not self.sizes[path]:
            return b""
        try:
            with open(os.path.join(self._root, path), "rb") as file:
                return file.read(self.sizes[path])
        except OSError as error:
            raise UnreadableFileError(
                f"{path!r} cannot be read: {error.strerror}."
            ) from error


def decode_image(encoded: bytes) -> np.ndarray:
    """Returns a whole 64×64 JPEG as an RGB array; grey is repeated in the channels."""
    header = read_header(encoded)
    if header is None or header.kind != "JPEG" or header.fault:
        raise UnusableImageError(UNDECODABLE)
    if (header.width, header.height) != (IMAGE_SIZE, IMAGE_SIZE):
        raise UnusableImageError(_OTHER_SIZE)
    try:
        # The boxes belong to the stored image, whatever its EXIF orientation.
        image, _ = decode_pixels(
            encoded, header, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        )
    except UnreadableImageError as error:
        raise UnusableImageError(UNDECODABLE) from error
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
