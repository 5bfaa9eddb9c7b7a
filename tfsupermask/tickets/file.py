"""The layout of a ticket file and its JSON (docs/ticket_format.md)."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from tfsupermask._files import write_atomically
from tfsupermask._reading import parse_json
from tfsupermask._validation import fail

VERSION = 2
PRECISIONS = ("float32", "float16", "bfloat16")
MAX_JSON = 1 << 23
MAX_DEPTH = 64

_MAX_INTEGER = 2**63
_MAX_TEXT = 1 << 16
_MAGIC = b"\x89ticket\n"
_PREAMBLE = struct.Struct("<8sIIQ32s")
_PART_KEYS = dict.fromkeys(("name", "kind", "codec", "sha256"), str)
_PART_KEYS |= dict.fromkeys(("offset", "length", "decoded_length"), int)
_RAW_DEFLATE = -15
_MOST_MEMORY = 9


@dataclasses.dataclass(frozen=True)
class Part:
    """A piece of a ticket before compression; the header also gets `extra`."""

    name: str
    kind: str
    data: bytes
    extra: dict[str, Any] = dataclasses.field(default_factory=dict)


def write_container(path: Path, header: dict[str, Any], parts: list[Part]) -> None:
    """Writes a whole ticket file or none; adds the parts to the header."""
    entries, stored, offset = [], [], 0
    for part in parts:
        codec, data = compress(part.data)
        entry = {
            **part.extra,
            "name": part.name,
            "kind": part.kind,
            "codec": codec,
            "offset": offset,
            "length": len(data),
            "decoded_length": len(part.data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        entries.append(entry)
        stored.append(data)
        offset += len(data)
    text = to_json({**header, "parts": entries})
    if len(text) > MAX_JSON:
        raise fail(
            f"The header of a ticket must be at most {MAX_JSON} bytes.",
            header_bytes=len(text),
        )
    total = _PREAMBLE.size + len(text) + offset
    preamble = _PREAMBLE.pack(
        _MAGIC, VERSION, len(text), total, hashlib.sha256(text).digest()
    )
    write_atomically(path, lambda file: file.writelines([preamble, text, *stored]))


class Container:
    """An open ticket file; `parts` are the checked entries of its header."""

    def __init__(self, file: BinaryIO):
        self.version, length, expected = _read_preamble(file)
        text = file.read(length)
        if hashlib.sha256(text).digest() != expected:
            raise fail(
                "The header must have the SHA-256 that the file says: it is damaged.",
                sha256=hashlib.sha256(text).hexdigest(),
            )
        self._file = file
        self._start = _PREAMBLE.size + length
        self.header = from_json(text)
        self.parts = _check_parts(self.header, _size(file) - self._start)

    def read(self, part: dict[str, Any], decoded_length: int) -> bytes:
        """Returns the content of a part, which must have `decoded_length` bytes."""
        if part["decoded_length"] != decoded_length:
            raise fail(
                f"Part {part['name']!r} must hold {decoded_length} bytes.",
                decoded_length=part["decoded_length"],
            )
        self._file.seek(self._start + part["offset"])
        data = self._file.read(part["length"])
        found = hashlib.sha256(data).hexdigest()
        if found != part["sha256"]:
            raise fail(
                f"Part {part['name']!r} must have the SHA-256 that the header says: "
                "the ticket is damaged.",
                sha256=found,
            )
        return decompress(data, part["codec"], decoded_length)


@contextlib.contextmanager
def open_container(path: Path) -> Iterator[Container]:
    """Opens a ticket file and checks its header."""
    if not path.is_file():
        raise fail("A ticket must be a file.", path=str(path))
    with path.open("rb") as file:
        yield Container(file)


def compress(data: bytes) -> tuple[str, bytes]:
    """Returns the shorter codec, `"raw"` or `"deflate"`, and the data in it."""
    # Random bits become shortest without a search for repetitions, others with it.
    shortest = min(
        (_deflate(data, strategy) for strategy in (zlib.Z_HUFFMAN_ONLY, 0)), key=len
    )
    return ("deflate", shortest) if len(shortest) < len(data) else ("raw", data)


def decompress(data: bytes, codec: str, length: int) -> bytes:
    """Undoes `compress`, and never makes more than the expected `length` bytes."""
    if codec == "raw":
        decoded, complete = data, True
    else:
        decoder = zlib.decompressobj(_RAW_DEFLATE)
        try:
            # One more byte than expected, because 0 would mean no limit.
            decoded = decoder.decompress(data, length + 1)
        except zlib.error as error:
            raise fail("A part must hold a deflate stream.", error=str(error)) from None
        complete = decoder.eof and not decoder.unused_data
    if not complete or len(decoded) != length:
        raise fail(f"A part must decode to {length} bytes.", decoded=len(decoded))
    return decoded


def to_json(tree: Any) -> bytes:
    """Returns JSON in its shortest form, with sorted keys."""
    return json.dumps(
        tree,
        allow_nan=False,
        ensure_ascii=False,
        separators=(",", ":"),
        sort_keys=True,
    ).encode()


def from_json(text: bytes) -> dict[str, Any]:
    """Returns the dict in a JSON text, within the limits of `check_tree`."""
    tree = parse_json(text, "ticket")
    check_tree(tree)
    return tree


def check_tree(tree: Any) -> None:
    """Raises if a JSON tree is too deep, or its numbers or texts are too large."""
    level = [tree]
    for _ in range(MAX_DEPTH):
        for value in level:
            _check_value(value)
        level = [child for value in level for child in _children(value)]
        if not level:
            return
    raise fail(f"A ticket's JSON must be at most {MAX_DEPTH} levels deep.")


def check_keys(
    what: str,
    tree: Any,
    types: Mapping[str, type],
    optional: Iterable[str] | None = None,
) -> None:
    """Raises unless `tree` is a dict with these keys and types (`object`: any type).

    `what` names the tree in the error. `optional` are the other keys that it may have;
    `None` means any.
    """
    if not isinstance(tree, dict):
        raise fail(f"{what} must be an object.", type=type(tree).__name__)
    for key, kind in types.items():
        # A boolean is an integer in Python, but not in JSON.
        wrong_bool = kind is int and isinstance(tree.get(key), bool)
        if key not in tree or not isinstance(tree[key], kind) or wrong_bool:
            raise fail(
                f"{what} must have {key!r} of type {kind.__name__}.",
                received=tree.get(key),
            )
    if optional is not None:
        unknown = sorted(set(tree) - set(types) - set(optional))
        if unknown:
            raise fail(f"{what} has keys that it must not have.", keys=unknown)


def _read_preamble(file):
    preamble = file.read(_PREAMBLE.size)
    if not preamble.startswith(_MAGIC):
        raise fail("The file must be a ticket.", first_bytes=preamble[: len(_MAGIC)])
    if len(preamble) < _PREAMBLE.size:
        raise fail(
            f"A ticket must have at least {_PREAMBLE.size} bytes.", size=len(preamble)
        )
    _, version, length, total, sha256 = _PREAMBLE.unpack(preamble)
    if not 1 <= version <= VERSION:
        raise fail(
            f"This program reads tickets of version 1 to {VERSION}.", version=version
        )
    if _size(file) != total:
        raise fail(
            f"The ticket must have the {total} bytes that it says: it is damaged.",
            size=_size(file),
        )
    if length > min(MAX_JSON, total - _PREAMBLE.size):
        raise fail(
            f"The header must fit in the file and in {MAX_JSON} bytes.",
            header_bytes=length,
        )
    return version, length, sha256


def _check_parts(header, available):
    parts = header.get("parts")
    if not isinstance(parts, list):
        raise fail("The header must list the parts.", parts=parts)
    offset = 0
    for part in parts:
        check_keys("A part", part, _PART_KEYS)
        if part["codec"] not in ("raw", "deflate"):
            raise fail("A part's codec must be raw or deflate.", codec=part["codec"])
        if part["offset"] != offset or not 0 <= part["length"] <= min(
            part["decoded_length"], available - offset
        ):
            raise fail(
                f"Part {part['name']!r} must follow the one before, be no longer than "
                "what it decodes to and end within the file.",
                **{key: part[key] for key in ("offset", "length", "decoded_length")},
            )
        offset += part["length"]
    if offset != available:
        raise fail(
            f"The parts must fill the {available} bytes after the header.",
            bytes=offset,
        )
    return parts


def _deflate(data, strategy):
    encoder = zlib.compressobj(
        wbits=_RAW_DEFLATE, memLevel=_MOST_MEMORY, strategy=strategy
    )
    return encoder.compress(data) + encoder.flush()


def _check_value(value):
    if isinstance(value, float) and not math.isfinite(value):
        raise fail("The numbers of a ticket's JSON must be finite.", number=value)
    if isinstance(value, int) and not -_MAX_INTEGER <= value < _MAX_INTEGER:
        raise fail(
            "The integers of a ticket's JSON must fit in 64 bits.",
            bits=value.bit_length(),
        )
    if isinstance(value, str) and len(value) > _MAX_TEXT:
        raise fail(
            f"A text of a ticket's JSON must be at most {_MAX_TEXT} characters.",
            characters=len(value),
        )


def _children(value):
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    return value if isinstance(value, list) else ()


def _size(file):
    return os.fstat(file.fileno()).st_size
