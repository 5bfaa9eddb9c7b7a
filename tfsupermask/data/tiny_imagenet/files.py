"""Reading single files out of a zip archive or a folder, within limits."""

from __future__ import annotations

import contextlib
import os
import pathlib
import stat
import zipfile
import zlib
from typing import Protocol

from tfsupermask._validation import InputError

FOLDER_NAME = "tiny-imagenet-200"
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class UnreadableFileError(InputError):
    """A file is in the listing but cannot be read."""


class Files(Protocol):
    """Files by path relative to the dataset's folder."""

    sizes: dict[str, int]  # In bytes.

    def read(self, path: str) -> bytes:
        """Returns the content of a file that `sizes` lists."""


class ZipFiles:
    """The members of a zip archive that holds the folder."""

    def __init__(self, archive: zipfile.ZipFile):
        self._archive = archive
        self._members = {
            member.filename.removeprefix(f"{FOLDER_NAME}/")
            # A path that only looks right without its folder must not match.
            if member.filename.startswith(f"{FOLDER_NAME}/")
            else f"../{member.filename}": member
            for member in archive.infolist()
            if not member.is_dir()
        }
        self.sizes = {path: info.file_size for path, info in self._members.items()}

    def read(self, path: str) -> bytes:
        """Inflates a member, never beyond the size that it declares."""
        member = self._members[path]
        # zipfile bounds what it inflates by the size asked for with these two only.
        if member.compress_type not in _COMPRESSIONS:
            raise UnreadableFileError(
                f"{path!r} is compressed in another way than by deflate."
            )
        try:
            with self._archive.open(member) as file:
                return file.read(member.file_size)
        except (
            *(OSError, EOFError, RuntimeError, ValueError),
            *(zipfile.BadZipFile, zlib.error),
        ) as error:
            raise UnreadableFileError(f"{path!r} cannot be read: {error}.") from error


class FolderFiles:
    """The files below the folder."""

    def __init__(self, root: pathlib.Path):
        self._root = os.fspath(root)
        self.sizes = {}
        for folder, _, names in os.walk(self._root):
            relative = os.path.relpath(folder, self._root).replace(os.sep, "/")
            prefix = "" if relative == "." else f"{relative}/"
            for name in names:
                self.sizes[prefix + name] = _regular_size(os.path.join(folder, name))

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


def _regular_size(path: str) -> int:
    """Returns 0 for what is no file: opening a pipe would wait for ever."""
    with contextlib.suppress(OSError):
        status = os.stat(path)
        if stat.S_ISREG(status.st_mode):
            return status.st_size
    return 0
