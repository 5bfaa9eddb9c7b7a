"""Named arrays in one `.npz` file; every bit is checked."""

from __future__ import annotations

import hashlib
import math
import os
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from tfsupermask._validation import InputError, fail

_SUFFIX = ".npy"
_LABEL = b"sha256 "
_DIGITS = 64
_NO_COMMENT = bytes(2)  # the last of a zip archive: how long its comment is
_BLOCK = 1 << 20


def write_arrays(file: BinaryIO, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes what `numpy.load` reads to an empty file, then appends its SHA-256."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(name + _SUFFIX, "w", force_zip64=True) as member:
                np.lib.format.write_array(
                    member, np.asanyarray(array), allow_pickle=False
                )
        # The archive's comment is its end: a place for the digits.
        archive.comment = _LABEL + b"0" * _DIGITS
    digest = _digest(file)
    file.seek(-_DIGITS, os.SEEK_END)
    file.write(digest)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Returns what `write_arrays` wrote, or `numpy.savez`, by name.

    Nothing in the file is run, and no more memory is taken than it has bytes. Without a
    SHA-256, as `numpy.savez` writes it, only the CRC-32 of each array is checked.
    """
    try:
        # A pipe would wait for ever, a device never end.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise fail("Arrays must be in a regular file.", path=str(path))
        with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
            file.seek(-len(_NO_COMMENT), os.SEEK_END)
            if archive.comment or file.read() != _NO_COMMENT:  # cut, perhaps
                found = _digest(file)
                if archive.comment != _LABEL + found:
                    raise fail(
                        "The file must have the SHA-256 that it says: it is damaged.",
                        sha256=found.decode(),
                    )
            _check_members(archive, os.fstat(file.fileno()).st_size)
            return {
                info.filename.removesuffix(_SUFFIX): _read(archive, info)
                for info in archive.infolist()
            }
    except InputError:
        raise
    except Exception as error:  # zipfile and NumPy raise what they meet
        raise fail(
            "The file must be a whole archive of arrays.",
            path=str(path),
            error=f"{type(error).__name__}: {str(error)[:100]}",
        ) from error


def _digest(file):
    """Returns the SHA-256 of a file but for the digits at its end."""
    found, left = hashlib.sha256(), file.seek(0, os.SEEK_END) - _DIGITS
    file.seek(0)
    while left > 0:
        block = file.read(min(_BLOCK, left))
        found.update(block)
        left -= len(block)
    return found.hexdigest().encode()


def _check_members(archive, size):
    infos = archive.infolist()
    names = [info.filename for info in infos]
    if len(set(names)) < len(names):
        raise fail("The arrays of a file must have different names.", names=len(names))
    if any(info.compress_type != zipfile.ZIP_STORED for info in infos):
        raise fail("The arrays of a file must not be compressed.")
    total = sum(info.file_size for info in infos)
    if total > size:
        raise fail("The arrays must be no larger than the file.", bytes=total)


def _read(archive, info):
    with archive.open(info) as member:
        version = np.lib.format.read_magic(member)
        if version not in ((1, 0), (2, 0)):
            raise fail("An array must be of NumPy's format 1 or 2.", version=version)
        read_header = getattr(np.lib.format, "read_array_header_{}_{}".format(*version))
        shape, fortran_order, dtype = read_header(member)
        left = info.file_size - member.tell()
        count = math.prod(shape)
        if dtype.hasobject or min(shape, default=0) < 0:
            raise fail("An array must be of numbers.", dtype=str(dtype))
        if count * dtype.itemsize != left:
            raise fail("An array must have the bytes that its shape says.", bytes=left)
        # Read to the end, where the CRC-32 is compared.
        values = np.frombuffer(bytearray(member.read()), dtype, count)
    return values.reshape(shape, order="F" if fortran_order else "C")
