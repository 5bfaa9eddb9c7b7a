"""Reads what the files of images claim to hold, without decoding."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import struct

_MAX_PARTS = 100_000  # chunks of a PNG, segments of a JPEG
_MAX_SCANS = 100
# Markers with a length behind them, and the end; in scans 0xFF00 stands for a pixel.
_JPEG_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])")
_SCAN, _END = 0xDA, 0xD9
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_TIFF_ORDERS = {b"II": "<", b"MM": ">"}
_TIFF_TAGS = {
    256: "width",
    257: "height",
    258: "bits",
    262: "photometric",
    277: "channels",
    338: "extra",
}
# Of classic and big files: position of the first directory's offset, formats of offset
# and entry count, bytes of an entry, position of the value in it.
_TIFF_KINDS = {42: (4, "I", "H", 12, 8), 43: (8, "Q", "Q", 20, 12)}
_TIFF_INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
_WHITE_IS_ZERO, _CMYK, _STRAIGHT = 0, 5, 2  # values in a TIFF


@dataclasses.dataclass(frozen=True)
class Header:
    """What a file claims to hold, and what decoded pixels do not tell of themselves."""

    kind: str  # one of `FORMATS`
    width: int  # pixels, at least 1
    height: int
    bits: int = 8  # of each channel
    fault: str = ""  # why it is not decoded, in words
    end: int | None = None  # bytes of the image, all by default; the file may go on
    cmyk: bool = False  # whether its colours are inks
    alpha: bool = True  # whether a fourth channel is alpha, or padding
    premultiplied: bool = False  # whether the colours come multiplied by alpha
    inverted: bool = False  # whether 0 comes as white
    transparent: int | None = None  # grey level that stands for transparent pixels


def read_header(content: bytes) -> Header | None:
    """Returns what a file claims to hold, `None` if it is no image of `FORMATS`."""
    with contextlib.suppress(struct.error):  # cut within its header
        for kind, (starts, read) in _READERS.items():
            if content.startswith(starts):
                claims = read(content)
                header = claims and Header(kind, **claims)
                return header if header and header.width and header.height else None
    return None


def _bmp(content):
    (header,) = struct.unpack_from("<I", content, 14)
    width, height = struct.unpack_from("<HH" if header == 12 else "<ii", content, 18)
    # Only later headers have a mask of alpha's bits.
    alpha = header >= 56 and any(content[66:70])
    # If the height is negative, the first row is at the top.
    return {"width": max(0, width), "height": abs(height), "alpha": alpha}


def _gif(content):
    width, height = struct.unpack_from("<HH", content, 6)
    return {"width": width, "height": height}


def _jpeg(content):
    """Walks from marker to marker: what is behind the image may look like anything."""
    claims, scans, position = {}, 0, 2
    fault = "it is cut or damaged, a JPEG without its end"
    for _ in range(_MAX_PARTS):
        found = _JPEG_MARKER.search(content, position)
        if found is None:
            break
        marker, position = found[1][0], found.end()
        if marker == _END:
            return claims and {**claims, "end": position}
        scans += marker == _SCAN
        if scans > _MAX_SCANS:
            fault = f"it has more than {_MAX_SCANS} scans"
            break
        if marker in _FRAMES and not claims:
            height, width, channels = struct.unpack_from(">HHB", content, position + 3)
            claims = {"width": width, "height": height, "cmyk": channels == 4}
        position += int.from_bytes(content[position : position + 2])
    return claims and {**claims, "fault": fault}


def _png(content):
    """Walks over all chunks: OpenCV takes what memory a chunk claims, then reads it."""
    width, height, bits, colour = struct.unpack_from(">IIBB", content, 16)
    claims = {"width": width, "height": height, "bits": bits}
    position = 8
    for _ in range(_MAX_PARTS):
        length = int.from_bytes(content[position : position + 4])
        kind = content[position + 4 : position + 8]
        if kind == b"tRNS" and colour == 0 and length == 2:
            level = int.from_bytes(content[position + 8 : position + 10])
            scale = 255 // (2**bits - 1) if 0 < bits < 8 else 1
            claims["transparent"] = level * scale
        position += 12 + length
        if position > len(content):
            break
        if kind == b"IEND":
            return {**claims, "end": position}
    return {**claims, "fault": "it is cut or damaged, a PNG without its end"}


def _tiff(content):
    tags = _tiff_tags(content)
    if not {"width", "height"} <= tags.keys():
        return None
    bits, channels = tags.get("bits", 1), tags.get("channels", 1)
    # OpenCV takes more than 8 bits as they are, and leaves 8 to libtiff, which
    # multiplies colours by alpha and inverts where 0 is white.
    raw = bits > 8
    return {
        "width": tags["width"],
        "height": tags["height"],
        "bits": bits,
        "fault": "it is a TIFF of grey and alpha" if channels == 2 else "",
        "cmyk": tags.get("photometric") == _CMYK,
        "premultiplied": not (raw and tags.get("extra") == _STRAIGHT),
        "inverted": raw and tags.get("photometric") == _WHITE_IS_ZERO,
    }


def _tiff_tags(content):
    """Returns the first directory's tags; of repeated ones the largest counts."""
    order = _TIFF_ORDERS[content[:2]]
    (version,) = struct.unpack_from(f"{order}H", content, 2)
    if version not in _TIFF_KINDS:
        return {}
    position, offset, count, step, value = _TIFF_KINDS[version]
    (start,) = struct.unpack_from(order + offset, content, position)
    (entries,) = struct.unpack_from(order + count, content, start)
    start += struct.calcsize(count)
    tags = {}
    for entry in range(start, min(start + entries * step, len(content)), step):
        tag, kind = struct.unpack_from(f"{order}HH", content, entry)
        if tag in _TIFF_TAGS and kind in _TIFF_INTEGERS:
            integer, place = order + _TIFF_INTEGERS[kind], entry + value
            (number,) = struct.unpack_from(order + offset, content, entry + 4)
            if number * struct.calcsize(integer) > step - value:
                (place,) = struct.unpack_from(order + offset, content, place)
            (first,) = struct.unpack_from(integer, content, place)
            name = _TIFF_TAGS[tag]
            tags[name] = max(first, tags.get(name, 0))
    return tags


def _webp(content):
    kind = content[12:16]
    if content[8:12] != b"WEBP":
        return None
    if kind == b"VP8 ":
        width, height = (n & 0x3FFF for n in struct.unpack_from("<HH", content, 26))
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", content, 21)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8X" and len(content) >= 30:
        width, height = (
            int.from_bytes(content[p : p + 3], "little") + 1 for p in (24, 27)
        )
    else:
        return None
    return {"width": width, "height": height}


_READERS = {
    "BMP": (b"BM", _bmp),
    "GIF": ((b"GIF87a", b"GIF89a"), _gif),
    "JPEG": (b"\xff\xd8", _jpeg),
    "PNG": (b"\x89PNG\r\n\x1a\n", _png),
    "TIFF": ((b"II", b"MM"), _tiff),
    "WebP": (b"RIFF", _webp),
}
FORMATS = tuple(_READERS)
