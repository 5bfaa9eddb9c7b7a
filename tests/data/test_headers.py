import struct

import cv2
import numpy as np
import pytest

from tfsupermask.data.headers import FORMATS, read_header

SUFFIXES = {"BMP": ".bmp", "GIF": ".gif", "JPEG": ".jpg"}
SUFFIXES |= {"PNG": ".png", "TIFF": ".tif"}


def read_size(content):
    header = read_header(content)
    return header and (header.kind, header.width, header.height)


def encode(suffix, height, width, channels=3, dtype=np.uint8, options=()):
    image = np.random.default_rng(0).integers(0, 255, (height, width, channels))
    return cv2.imencode(suffix, image.astype(dtype), list(options))[1].tobytes()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 300), (300, 7)])
@pytest.mark.parametrize("kind", SUFFIXES)
def test_agrees_with_what_wrote_the_file(kind, height, width):
    content = encode(SUFFIXES[kind], height, width)
    assert read_size(content) == (kind, width, height)


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".webp", {"options": (cv2.IMWRITE_WEBP_QUALITY, 50)}),  # lossy
        (".webp", {"options": (cv2.IMWRITE_WEBP_QUALITY, 101)}),  # lossless
        (".webp", {"options": (cv2.IMWRITE_WEBP_QUALITY, 50), "channels": 4}),
        (".webp", {"options": (cv2.IMWRITE_WEBP_QUALITY, 101), "channels": 4}),
        (".tif", {"dtype": np.uint16}),
        (".tif", {"dtype": np.float32}),
    ],
)
def test_all_kinds_of_webp_and_deep_tiffs(suffix, options):
    kind = "WebP" if suffix == ".webp" else "TIFF"
    assert read_size(encode(suffix, 20, 33, **options)) == (kind, 33, 20)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("big", [False, True])
def test_tiffs_of_both_orders_and_sizes(order, big):
    mark = b"II" if order == "<" else b"MM"
    sizes = ((256, 4, 70_000), (257, 3, 20))
    if big:
        head = mark + struct.pack(f"{order}HHHQQ", 43, 8, 0, 16, 2)
        entries = [struct.pack(f"{order}HHQ", tag, kind, 1) for tag, kind, _ in sizes]
    else:
        head = mark + struct.pack(f"{order}HIH", 42, 8, 2)
        entries = [struct.pack(f"{order}HHI", tag, kind, 1) for tag, kind, _ in sizes]
    for index, (_, kind, size) in enumerate(sizes):
        value = struct.pack(order + {3: "H", 4: "I"}[kind], size)
        entries[index] += value.ljust(8 if big else 4, b"\0")
    assert read_size(head + b"".join(entries)) == ("TIFF", 70_000, 20)


def test_of_two_sizes_in_a_tiff_the_larger_counts():
    entries = b"".join(struct.pack("<HHII", 256, 4, 1, size) for size in (9, 70_000, 8))
    entries += struct.pack("<HHII", 257, 4, 1, 5)
    content = b"II" + struct.pack("<HIH", 42, 8, 4) + entries
    assert read_size(content) == ("TIFF", 70_000, 5)


def test_bmps_of_both_headers():
    core = b"BM" + bytes(12) + struct.pack("<IHH", 12, 30, 20)
    upside_down = b"BM" + bytes(12) + struct.pack("<Iii", 40, 30, -20)
    assert read_size(core) == read_size(upside_down) == ("BMP", 30, 20)


@pytest.mark.parametrize("suffix", [*SUFFIXES.values(), ".webp"])
def test_any_beginning_is_safe(suffix):
    content = encode(suffix, 20, 33)
    found = {read_size(content[:length]) for length in range(len(content))}
    assert {each[1:] for each in found if each} <= {(33, 20)}


@pytest.mark.parametrize(
    "content", [b"", b"GIF89b" + bytes(50), b"\xff\xd8", b"II*\0", b"BM" + bytes(50)]
)
def test_other_files_have_no_size(content):
    assert read_header(content) is None
    assert set(FORMATS) == {*SUFFIXES, "WebP"}


def segment(marker, body):
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


@pytest.mark.parametrize("progressive", [0, 1])
@pytest.mark.parametrize("restart", [0, 1])
def test_a_jpeg_ends_at_its_own_end(progressive, restart):
    options = cv2.IMWRITE_JPEG_PROGRESSIVE, progressive
    options += cv2.IMWRITE_JPEG_RST_INTERVAL, restart
    whole = encode(".jpg", 20, 33, options=options)
    thumbnail = segment(0xE1, b"Exif\0\0" + encode(".jpg", 8, 8))
    whole = whole[:2] + thumbnail + b"\xff\xff" + segment(0xFE, b"\xff\xd9") + whole[2:]
    for behind in (b"", b"\xff", whole, b"\xff\xda" * 200, b"\0" * 9 + b"\xff\xd9"):
        header = read_header(whole + behind)
        assert (header.width, header.height, header.end) == (33, 20, len(whole))
        assert not header.fault
    for length in range(len(whole) - 700, len(whole)):
        assert "without its end" in read_header(whole[:length]).fault


def test_a_jpeg_of_many_scans_has_a_fault():
    whole = encode(".jpg", 20, 33)
    scan = whole[whole.index(b"\xff\xda") : -2]
    assert not read_header(whole[:-2] + scan * 99 + whole[-2:]).fault
    assert "100 scans" in read_header(whole[:-2] + scan * 100 + whole[-2:]).fault


def test_a_whole_png_ends_with_its_last_chunk():
    content = encode(".png", 20, 33)
    assert read_header(content + b"more").end == len(content)
    for length in range(33, len(content)):
        assert "without its end" in read_header(content[:length]).fault
    huge = content[:33] + b"\x7f\xff\xff\xffIDAT"
    assert "without its end" in read_header(huge).fault


@pytest.mark.parametrize("count", [1, 3, 4])
def test_the_bits_of_a_tiff_may_be_elsewhere(count):
    content = encode(".tif", 20, 33, channels=count, dtype=np.uint16)
    assert read_header(content).bits == 16
