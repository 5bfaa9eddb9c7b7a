"""Reads the sizes of images from their files' headers, without decoding."""

from __future__ import annotations

import struct

FORMATS = ("BMP", "JPEG", "PNG", "TIFF", "WebP")

_MAX_CHUNKS = 100_000
_TIFF_ORDERS = {b"II": "<", b"MM": ">"}
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
# Of classic and big files: position of the first directory's offset, formats of offset
# and entry count, bytes of an entry, position of the value in it.
_TIFF_KINDS = {42: (4, "I", "H", 12, 8), 43: (8, "Q", "Q", 20, 12)}
_TIFF_INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q"}


def read_size(content: bytes) -> tuple[str, int, int] | None:
    """Returns the format, width and height that the beginning of a file claims."""
    try:
        for kind, (starts, read) in _READERS.items():
            if content.startswith(starts):
                size = read(content)
                return (kind, *size) if size and min(size) > 0 else None
    except struct.error:
        pass  # cut within its header
    return None


def jpeg_header(content: bytes) -> tuple[tuple[int, int] | None, int]:
    """Returns a JPEG's height and width, and where its frame header ends."""
    position = 2
    while content[:2] == b"\xff\xd8" and len(content) >= position + 9:
        marker = content[position + 1]
        if content[position] != 0xFF:
            break
        length = int.from_bytes(content[position + 2 : position + 4])
        # SOF0 to SOF15; C4, C8 and CC are no frame headers.
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height = int.from_bytes(content[position + 5 : position + 7])
            width = int.from_bytes(content[position + 7 : position + 9])
            return (height, width), position + length
        position += 1 if marker == 0xFF else 2 + length
    return None, position


def is_whole_png(content: bytes) -> bool:
    """Returns whether all chunks of a PNG are within the file, the last one included.

    OpenCV allocates the memory that a chunk claims before it reads the chunk.
    """
    position = 8
    for _ in range(_MAX_CHUNKS):
        length = int.from_bytes(content[position : position + 4])
        last = content[position + 4 : position + 8] == b"IEND"
        position += 12 + length
        if last or position > len(content):
            return position <= len(content)
    return False


def _bmp(content):
    (header,) = struct.unpack_from("<I", content, 14)
    width, height = struct.unpack_from("<HH" if header == 12 else "<ii", content, 18)
    return width, abs(height)  # if negative, the first row is at the top


def _jpeg(content):
    size, _ = jpeg_header(content)
    return size and size[::-1]


def _png(content):
    return struct.unpack_from(">II", content, 16)


def _tiff(content):
    order = _TIFF_ORDERS[content[:2]]
    (version,) = struct.unpack_from(f"{order}H", content, 2)
    if version not in _TIFF_KINDS:
        return None
    position, offset, count, step, value = _TIFF_KINDS[version]
    (start,) = struct.unpack_from(order + offset, content, position)
    (entries,) = struct.unpack_from(order + count, content, start)
    start += struct.calcsize(count)
    sizes = {}
    for entry in range(start, min(start + entries * step, len(content)), step):
        tag, kind = struct.unpack_from(f"{order}HH", content, entry)
        if tag in (_TIFF_WIDTH, _TIFF_HEIGHT) and kind in _TIFF_INTEGERS:
            integer = order + _TIFF_INTEGERS[kind]
            (size,) = struct.unpack_from(integer, content, entry + value)
            sizes[tag] = max(size, sizes.get(tag, 0))
    return sizes.get(_TIFF_WIDTH, 0), sizes.get(_TIFF_HEIGHT, 0)


def _webp(content):
    kind = content[12:16]
    if content[8:12] != b"WEBP":
        return None
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", content, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", content, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X" and len(content) >= 30:
        return tuple(int.from_bytes(content[p : p + 3], "little") + 1 for p in (24, 27))
    return None


_READERS = {
    "BMP": (b"BM", _bmp),
    "JPEG": (b"\xff\xd8", _jpeg),
    "PNG": (b"\x89PNG\r\n\x1a\n", _png),
    "TIFF": ((b"II", b"MM"), _tiff),
    "WebP": (b"RIFF", _webp),
}
