import hashlib
import json
import re
import struct
import zlib

import pytest

from tests.tickets import layout
from tfsupermask._validation import InputError
from tfsupermask.tickets import file, load_ticket, read_ticket_header, save_ticket


@pytest.fixture
def damaged(tmp_path):
    """Where a test puts what it made of a ticket."""
    return tmp_path / "damaged.ticket"


def test_the_page_on_the_format_suffices_to_read_and_write_it(small, damaged):
    header, contents = layout.read(small)
    assert [(part["name"], part["kind"]) for part in header["parts"]] == [
        ("m", "architecture"),
        ("d/kernel", "mask"),
        ("d/kernel", "kept"),
        ("d/bias", "values"),
    ]
    assert json.loads(contents[0])["class_name"] == "Sequential"
    assert [len(data) for data in contents[1:]] == [1, 12, 12]
    assert header["num_parameters"] == 9
    assert header["class_names"] == ["a", "b", "c"]
    layout.write(damaged, header, contents)
    assert load_ticket(damaged).class_names == ("a", "b", "c")


def test_every_damaged_byte_and_other_lengths_are_refused(small, damaged):
    data = small.read_bytes()
    lengths = [*range(64), *range(64, len(data), 8), len(data) - 1]
    others = [data[:length] for length in lengths] + [data + b"\0"]
    for place in range(len(data)):
        spoilt = bytearray(data)
        spoilt[place] ^= 1 << place % 8
        others.append(bytes(spoilt))
    for other in others:
        damaged.write_bytes(other)
        with pytest.raises(InputError, match="Received"):
            load_ticket(damaged)


def swapped(data):
    numbers = struct.unpack("<8sIIQ32s", data[:56])
    return struct.pack(">8sIIQ32s", *numbers) + data[56:]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: b"", "must be a ticket"),
        (lambda data: b"PK\x03\x04" + bytes(100), "must be a ticket.*PK"),
        (lambda data: b"\x89ticket\r\n" + bytes(100), "must be a ticket"),
        (lambda data: b"\x89ticket\n" + bytes(47), "at least 56 bytes.*55"),
        (lambda data: b"\x89ticket\n" + bytes(48), "of version 1.*version=0"),
        (lambda data: data[:8] + b"\3" + data[9:], r"version 1 to 2.*version=3"),
        (swapped, "version=33554432"),
    ],
)
def test_other_files_are_refused(small, damaged, change, message):
    damaged.write_bytes(change(small.read_bytes()))
    with pytest.raises(InputError, match=message):
        load_ticket(damaged)
    for path in (damaged.parent, damaged.parent / "nothing.ticket"):
        with pytest.raises(InputError, match=re.escape(str(path))):
            read_ticket_header(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "well-formed"),
        (b"[]", "must hold a JSON object"),
        (b"{}", "list the parts"),
        (b'{"parts": 3}', "list the parts"),
        (b'{"parts": [3]}', "part must be an object"),
        (b"\xff\xfe", "well-formed"),
        (b"{", "well-formed"),
        (b'{"a": -Infinity, "parts": []}', "finite.*-inf"),
        (b'{"a": 9223372036854775808, "parts": []}', "64 bits"),
        (b'{"a": ' + b"9" * 5000 + b"}", "well-formed"),
        (b'{"a": "' + b"x" * 65537 + b'"}', "65536 characters"),
        (b'{"' + b"x" * 65537 + b'": 1}', "65536 characters"),
        (b'{"a": ' + b"[" * 64 + b"]" * 64 + b"}", "64 levels"),
    ],
)
def test_malformed_headers_are_refused(damaged, text, message):
    layout.write_raw(damaged, text, b"")
    with pytest.raises(InputError, match=message):
        load_ticket(damaged)


LIES = [
    {key: value}
    for key, values in {
        "offset": (1, -1, True, 0.0),
        "length": (10**9, -1, 1),
        "decoded_length": (1, 2**62, None),
        "codec": ("lzma", "raw", ["raw"]),
        "kind": ("values", 3),
        "sha256": ("0" * 64, None),
    }.items()
    for value in values
]


def refused(small, damaged, message, change):
    """Changes the parts of a ticket, in the header and as stored, and loads it."""
    data = small.read_bytes()
    _, _, length, *_ = struct.unpack(layout.PREAMBLE, data[: layout.SIZE])
    end = layout.SIZE + length
    header = json.loads(data[layout.SIZE : end])
    starts = [end + part["offset"] for part in header["parts"]]
    ends = [*starts[1:], len(data)]
    parts = [data[a:b] for a, b in zip(starts, ends, strict=True)]
    change(header["parts"], parts)
    layout.write_raw(damaged, json.dumps(header).encode(), b"".join(parts))
    with pytest.raises(InputError, match=message):
        load_ticket(damaged)


@pytest.mark.parametrize("lie", LIES, ids=str)
@pytest.mark.parametrize("place", [0, 2])
def test_lies_about_a_part_are_refused(small, damaged, lie, place):
    lie = {"codec": "deflate"} if lie == {"codec": "raw"} and place == 2 else lie
    refused(small, damaged, "must", lambda header, parts: header[place].update(lie))


def more(header, parts):
    header.append({**header[-1], "name": "more", "offset": sum(map(len, parts))})
    parts.append(parts[-1])


def gap(header, parts):
    header[-1]["offset"] += 1
    parts[-1] = b"x" + parts[-1]


def inflated(header, parts):
    """Makes a part longer than what it decodes to, which would cost memory."""
    encoder = zlib.compressobj(0, wbits=-15)
    parts[-1] = encoder.compress(bytes(12)) + encoder.flush()
    digest = hashlib.sha256(parts[-1]).hexdigest()
    header[-1] |= {"codec": "deflate", "length": len(parts[-1]), "sha256": digest}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (more, r"nothing but.*more"),
        (gap, "follow the one before"),
        (lambda header, parts: parts.append(b"x"), "parts must fill"),
        (inflated, "no longer than"),
    ],
)
def test_parts_that_do_not_fit_are_refused(small, damaged, change, message):
    refused(small, damaged, message, change)


@pytest.mark.parametrize("place", range(4))
def test_missing_parts_are_refused(small, damaged, place):
    header, contents = layout.read(small)
    del header["parts"][place], contents[place]
    layout.write(damaged, header, contents)
    with pytest.raises(InputError, match="must"):
        load_ticket(damaged)


def test_headers_beyond_the_limit_are_neither_read_nor_written(
    small, damaged, monkeypatch
):
    model = load_ticket(small).model
    before = small.read_bytes()
    monkeypatch.setattr(file, "MAX_JSON", 500)
    with pytest.raises(InputError, match="fit in the file and in 500 bytes"):
        load_ticket(small)
    with pytest.raises(InputError, match="at most 500 bytes"):
        save_ticket(model, small)
    assert small.read_bytes() == before
