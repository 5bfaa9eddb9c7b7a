"""A reader and writer of tickets that knows nothing but docs/ticket_format.md."""

import hashlib
import json
import struct
import zlib

PREAMBLE = "<8sIIQ32s"
SIZE = struct.calcsize(PREAMBLE)


def read(path):
    """Returns the header and the decoded bytes of each part."""
    data = path.read_bytes()
    magic, version, length, total, digest = struct.unpack(PREAMBLE, data[:SIZE])
    text = data[SIZE : SIZE + length]
    assert (magic, version, total) == (b"\x89ticket\n", 2, len(data))
    assert hashlib.sha256(text).digest() == digest
    header = json.loads(text)
    contents = []
    for part in header["parts"]:
        start = SIZE + length + part["offset"]
        stored = data[start : start + part["length"]]
        assert hashlib.sha256(stored).hexdigest() == part["sha256"]
        decoded = zlib.decompress(stored, -15) if part["codec"] == "deflate" else stored
        assert len(decoded) == part["decoded_length"]
        contents.append(decoded)
    return header, contents


def write(path, header, contents):
    """Writes parts uncompressed, with all lengths and hashes right."""
    offset = 0
    for part, data in zip(header["parts"], contents, strict=True):
        part |= {"codec": "raw", "offset": offset, "length": len(data)}
        part |= {"decoded_length": len(data)}
        part |= {"sha256": hashlib.sha256(data).hexdigest()}
        offset += len(data)
    write_raw(path, json.dumps(header).encode(), b"".join(contents))


def write_raw(path, text, body, magic=b"\x89ticket\n", version=2):
    """Writes a preamble that fits whatever follows it."""
    total = SIZE + len(text) + len(body)
    digest = hashlib.sha256(text).digest()
    preamble = struct.pack(PREAMBLE, magic, version, len(text), total, digest)
    path.write_bytes(preamble + text + body)
