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


def split(path):
    """Returns the header of a ticket and the bytes behind it, as they are stored."""
    data = path.read_bytes()
    _, _, length, *_ = struct.unpack(layout.PREAMBLE, data[: layout.SIZE])
    end = layout.SIZE + length
    return json.loads(data[layout.SIZE : end]), data[end:]


def test_the_page_on_the_format_suffices_to_read_it(small):
    header, contents = layout.read(small)
    kinds = [(part["name"], part["kind"]) for part in header["parts"]]
    assert kinds == [
        ("m", "architecture"),
        ("d/kernel", "mask"),
        ("d/kernel", "kept"),
        ("d/bias", "values"),
    ]
    assert json.loads(contents[0])["class_name"] == "Sequential"
    assert [len(data) for data in contents[1:]] == [1, 12, 12]
    assert header["num_parameters"] == 9
    assert header["class_names"] == ["a", "b", "c"]


def test_a_ticket_written_by_another_program_is_read(small, damaged):
    header, contents = layout.read(small)
    layout.write(damaged, header, contents)
    assert load_ticket(damaged).class_names == ("a", "b", "c")


def test_every_other_length_is_refused(small, damaged):
    data = small.read_bytes()
    for other in (*(data[:length] for length in range(len(data))), data + b"\0"):
        damaged.write_bytes(other)
        with pytest.raises(InputError, match="Received"):
            load_ticket(damaged)


def test_every_damaged_byte_is_refused(small, damaged):
    data = small.read_bytes()
    for place in range(len(data)):
        for flips in (1 << place % 8, 0xFF):
            spoilt = bytearray(data)
            spoilt[place] ^= flips
            damaged.write_bytes(spoilt)
            with pytest.raises(InputError, match="Received"):
                load_ticket(damaged)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "must be a ticket"),
        (b"PK\x03\x04" + bytes(100), "must be a ticket.*PK"),
        (b"\x89ticket\r\n" + bytes(100), "must be a ticket"),
        (b"\x89ticket\n" + bytes(47), "at least 56 bytes.*55"),
        (b"\x89ticket\n" + bytes(48), "reads tickets of version 1.*version=0"),
    ],
)
def test_other_files_are_refused(damaged, data, message):
    damaged.write_bytes(data)
    with pytest.raises(InputError, match=message):
        load_ticket(damaged)


def test_a_folder_or_nothing_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "nothing.ticket"):
        with pytest.raises(InputError, match=re.escape(str(path))):
            read_ticket_header(path)


def test_a_newer_version_is_refused(small, damaged):
    header, contents = layout.read(small)
    text = json.dumps(header).encode()
    layout.write_raw(damaged, text, b"".join(contents), version=3)
    with pytest.raises(InputError, match=r"version 1 to 2.*version=3"):
        load_ticket(damaged)


def test_big_endian_numbers_are_refused(small, damaged):
    data = small.read_bytes()
    numbers = struct.unpack("<8sIIQ32s", data[:56])
    damaged.write_bytes(struct.pack(">8sIIQ32s", *numbers) + data[56:])
    with pytest.raises(InputError, match="version=33554432"):
        load_ticket(damaged)


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
        (b'{"a": NaN, "parts": []}', "finite.*nan"),
        (b'{"a": -Infinity, "parts": []}', "finite.*-inf"),
        (b'{"a": 1e999, "parts": []}', "finite.*inf"),
        (b'{"a": 9223372036854775808, "parts": []}', "64 bits"),
        (b'{"a": ' + b"9" * 5000 + b"}", "well-formed"),
        (b'{"a": "' + b"x" * 65537 + b'"}', "65536 characters"),
        (b'{"' + b"x" * 65537 + b'": 1}', "65536 characters"),
        (b'{"a": ' + b"[" * 64 + b"]" * 64 + b"}", "64 levels"),
        (b"[" * 100_000 + b"]" * 100_000, "well-formed"),
    ],
)
def test_malformed_headers_are_refused(damaged, text, message):
    layout.write_raw(damaged, text, b"")
    with pytest.raises(InputError, match=message):
        load_ticket(damaged)


@pytest.mark.parametrize(
    "lie",
    [
        {"offset": 1},
        {"offset": -1},
        {"offset": True},
        {"offset": 0.0},
        {"length": 10**9},
        {"length": -1},
        {"length": 1},
        {"decoded_length": 1},
        {"decoded_length": 2**62},
        {"decoded_length": None},
        {"codec": "lzma"},
        {"codec": "raw"},
        {"codec": ["raw"]},
        {"kind": "values"},
        {"kind": 3},
        {"sha256": "0" * 64},
        {"sha256": None},
    ],
    ids=str,
)
@pytest.mark.parametrize("place", [0, 2])
def test_lies_about_a_part_are_refused(small, damaged, lie, place):
    header, body = split(small)
    lie = {"codec": "deflate"} if lie == {"codec": "raw"} and place == 2 else lie
    header["parts"][place] |= lie
    layout.write_raw(damaged, json.dumps(header).encode(), body)
    with pytest.raises(InputError, match="must"):
        load_ticket(damaged)


@pytest.mark.parametrize("place", range(4))
def test_missing_parts_are_refused(small, damaged, place):
    header, contents = layout.read(small)
    del header["parts"][place], contents[place]
    layout.write(damaged, header, contents)
    with pytest.raises(InputError, match="must"):
        load_ticket(damaged)


def test_added_parts_are_refused(small, damaged):
    header, contents = layout.read(small)
    header["parts"].append({"name": "more", "kind": "values"})
    layout.write(damaged, header, [*contents, b"abc"])
    with pytest.raises(InputError, match=r"nothing but.*more"):
        load_ticket(damaged)


def test_gaps_between_parts_are_refused(small, damaged):
    header, body = split(small)
    header["parts"][-1]["offset"] += 1
    body = body[:-12] + b"x" + body[-12:]
    layout.write_raw(damaged, json.dumps(header).encode(), body)
    with pytest.raises(InputError, match="follow the one before"):
        load_ticket(damaged)


def test_bytes_after_the_last_part_are_refused(small, damaged):
    header, body = split(small)
    layout.write_raw(damaged, json.dumps(header).encode(), body + b"x")
    with pytest.raises(InputError, match="parts must fill"):
        load_ticket(damaged)


def test_parts_longer_than_what_they_decode_to_are_refused(small, damaged):
    """So that no more is read into memory than the model needs."""
    header, contents = layout.read(small)
    encoder = zlib.compressobj(0, wbits=-15)
    stored = encoder.compress(contents[-1]) + encoder.flush()
    assert len(stored) > len(contents[-1])
    layout.write(damaged, header, [*contents[:-1], stored])
    header["parts"][-1] |= {"codec": "deflate", "decoded_length": len(contents[-1])}
    body = b"".join([*contents[:-1], stored])
    layout.write_raw(damaged, json.dumps(header).encode(), body)
    with pytest.raises(InputError, match="no longer than"):
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
