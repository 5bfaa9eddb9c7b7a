import base64
import hashlib
import io
import os
import struct
import threading
import time

import cv2
import numpy as np
import pytest
from PIL import Image

from tfsupermask import data
from tfsupermask._validation import InputError
from tfsupermask.data import images


def smooth_image(height, width, seed=0, channels=3, dtype=np.uint8):
    rng = np.random.default_rng(seed)
    top = np.iinfo(dtype).max
    small = rng.integers(0, top, (4, 4, channels), dtype=dtype, endpoint=True)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def write(path, rgb_or_grey):
    image = rgb_or_grey
    if image.ndim == 3 and image.shape[2] == 3:
        image = image[..., ::-1]
    cv2.imencode(path.suffix, image)[1].tofile(path)
    return path


@pytest.mark.parametrize(
    ("height", "width", "rows", "columns"),
    [
        (16, 16, slice(None), slice(None)),
        (16, 40, slice(None), slice(12, 28)),
        (41, 16, slice(12, 28), slice(None)),
    ],
)
def test_keeps_the_centre_of_the_longer_side(tmp_path, height, width, rows, columns):
    image = smooth_image(height, width)
    decoded = data.decode_image(write(tmp_path / "été 花.png", image), 16)
    np.testing.assert_array_equal(decoded, image[rows, columns])
    assert decoded.dtype == np.uint8


def test_shrinks_by_averaging_areas(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    decoded = data.decode_image(write(tmp_path / "a.png", image), 8)
    means = image.reshape(8, 4, 16, 4, 3).mean((1, 3))[:, 4:12]
    np.testing.assert_allclose(decoded, means, atol=0.51)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (8, 11), (13, 8), (3, 400)])
def test_enlarges_by_cubic_interpolation(tmp_path, height, width):
    image = smooth_image(height, width)
    decoded = data.decode_image(write(tmp_path / "a.png", image), 24)
    scale = 24 / min(height, width)
    large = cv2.resize(
        image,
        (round(width * scale), round(height * scale)),
        interpolation=cv2.INTER_CUBIC,
    )
    top, left = (large.shape[0] - 24) // 2, (large.shape[1] - 24) // 2
    expected = large[top : top + 24, left : left + 24]
    np.testing.assert_array_equal(decoded, expected)


@pytest.mark.parametrize("height", range(5, 60, 7))
@pytest.mark.parametrize("width", range(5, 60, 9))
def test_any_shape_becomes_square(tmp_path, height, width):
    path = write(tmp_path / "a.png", smooth_image(height, width))
    assert data.decode_image(path, 17).shape == (17, 17, 3)


def test_turns_as_exif_says(tmp_path):
    image = np.zeros((16, 16, 3), np.uint8)
    image[:8] = 255  # White above black.
    path = write(tmp_path / "a.jpg", image)
    encoded = path.read_bytes()
    # An APP1 segment with one entry: orientation (0x0112) = 3, upside down.
    tiff = (
        b"MM\0*\0\0\0\x08"
        + b"\0\x01"
        + b"\x01\x12\0\x03\0\0\0\x01\0\x03\0\0"
        + bytes(4)
    )
    body = b"Exif\0\0" + tiff
    segment = b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body
    path.write_bytes(encoded[:2] + segment + encoded[2:])
    decoded = data.decode_image(path, 16)
    assert decoded[:7].max() < 20
    assert decoded[9:].min() > 235


# Before grey, transparent and 16-bit images were converted, 8-bit RGB had these bits.
JPEG = """
/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAA0JCgsKCA0LCgsODg0PEyAVExISEyccHhcgLikxMC4pLSwz
Oko+MzZGNywtQFdBRkxOUlNSMj5aYVpQYEpRUk//2wBDAQ4ODhMREyYVFSZPNS01T09PT09PT09PT09P
T09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT09PT0//wAARCAAQABgDASIAAhEBAxEB/8QA
FgABAQEAAAAAAAAAAAAAAAAABQAD/8QAIhAAAQQBAwUBAAAAAAAAAAAAAQACAwUEESJhEhMhMTOB/8QA
FQEBAQAAAAAAAAAAAAAAAAAAAwT/xAAfEQACAgIBBQAAAAAAAAAAAAABAgAEAxESEyEiMUH/2gAMAwEA
AhEDEQA/AE8N/bk1Kzu8iOT24BGzWe3w3RHyQyWJ+hb+oem7ebJpPsjr2HyDhnG4tj25gZ0tYXDgKW1d
WiKHR248qQm4FOl9Qnp2CxKL2n//2Q=="""


@pytest.mark.parametrize(
    ("side", "sha256"),
    [
        (16, "be0ee608ca3350a88a44e775cd49fe56d88f04c48489e9146a68cea6861cb0d6"),
        (40, "cb1b293388ea2f0b3449d783bbac85e54896c910c6bce278bab30ccdca975424"),
    ],
)
def test_ordinary_photographs_keep_their_bits(tmp_path, side, sha256):
    (tmp_path / "a.jpg").write_bytes(base64.b64decode(JPEG))
    decoded = data.decode_image(tmp_path / "a.jpg", side)
    assert hashlib.sha256(decoded).hexdigest() == sha256


def over_white(rgba):
    """Returns what a viewer shows, of any integers."""
    most = np.iinfo(rgba.dtype).max
    colours, alpha = rgba[..., :-1] / most, rgba[..., -1:] / most
    shown = np.rint(255 * (alpha * colours + 1 - alpha)).astype(np.uint8)
    return np.broadcast_to(shown, (*shown.shape[:2], 3))


def saved(image, mode, kind, **options):
    """Returns a file as Pillow writes it."""
    out = io.BytesIO()
    Image.fromarray(image).convert(mode).save(out, kind, **options)
    return out.getvalue()


RGBA = smooth_image(16, 16, channels=4)
GREY, DEEP = RGBA[..., 0], smooth_image(16, 16, channels=4, dtype=np.uint16)


@pytest.mark.parametrize("kind", ["BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP"])
def test_grey_is_repeated(tmp_path, kind):
    (tmp_path / "a").write_bytes(content := saved(GREY, "L", kind))
    shown = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    np.testing.assert_array_equal(data.decode_image(tmp_path / "a", 16), shown)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_laid_over_white(tmp_path, kind, mode):
    content = saved(RGBA, mode, kind, lossless=True, exact=True)
    (tmp_path / "a").write_bytes(content)
    shown = over_white(np.asarray(Image.open(io.BytesIO(content)).convert("RGBA")))
    np.testing.assert_array_equal(data.decode_image(tmp_path / "a", 16), shown)


def tiff(image, photometric, extra=None):
    """Returns a TIFF of one strip, with or without a tag about its last channel."""
    channels, width, height = image[0, 0].size, image.shape[1], image.shape[0]
    bits = struct.pack(f"<{channels}H", *[8 * image.itemsize] * channels)
    tags = [(256, [width]), (257, [height]), (258, bits), (259, [1])]
    tags += [(262, [photometric]), (273, image), (277, [channels]), (278, [height])]
    tags += [(279, [image.nbytes])]
    tags += [(338, [extra])] * (extra is not None)
    start = 8 + 2 + 12 * len(tags) + 4
    entries, behind = b"", b""
    for tag, value in tags:
        if isinstance(value, list):
            entries += struct.pack("<HHII", tag, 4, 1, *value)
        elif tag == 258 and len(value) <= 4:
            entries += struct.pack("<HHI4s", tag, 3, channels, value)
        else:
            number = channels if tag == 258 else 1
            place = start + len(behind)
            entries += struct.pack("<HHII", tag, 3 + (tag == 273), number, place)
            behind += bytes(value)
    return (
        b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4) + behind
    )


def multiplied(rgba):
    most = np.iinfo(rgba.dtype).max
    colours = np.rint(rgba[..., :3] * (rgba[..., 3:] / most)).astype(rgba.dtype)
    return np.concatenate([colours, rgba[..., 3:]], axis=-1)


@pytest.mark.parametrize("image", [RGBA, DEEP], ids=["8", "16"])
@pytest.mark.parametrize("extra", [None, 0, 1, 2])
def test_colours_of_a_tiff_may_come_multiplied_by_alpha(tmp_path, image, extra):
    stored = image if extra == 2 else multiplied(image)
    (tmp_path / "a").write_bytes(tiff(stored, 2, extra))
    decoded = data.decode_image(tmp_path / "a", 16)
    np.testing.assert_allclose(decoded, over_white(image), atol=1, rtol=0)


@pytest.mark.parametrize("image", [GREY, DEEP[..., 0]], ids=["8", "16"])
@pytest.mark.parametrize("photometric", [0, 1])
def test_zero_may_be_white_in_a_tiff(tmp_path, image, photometric):
    (tmp_path / "a").write_bytes(tiff(image, photometric))
    shown = image if photometric else np.iinfo(image.dtype).max - image
    shown = np.rint(shown * (255 / np.iinfo(image.dtype).max))
    decoded = data.decode_image(tmp_path / "a", 16)
    np.testing.assert_array_equal(decoded, np.repeat(shown[..., None], 3, axis=-1))


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_scaled(tmp_path, suffix, channels):
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    image = np.repeat(values, channels, axis=-1)
    image[..., 3:] = 65535
    path = write(tmp_path / f"a{suffix}", image)
    expected = np.repeat(np.rint(values * (255 / 65535)), 3, axis=-1)
    np.testing.assert_array_equal(data.decode_image(path, 256), expected)


@pytest.mark.parametrize(
    ("mode", "kind", "options"),
    [
        ("CMYK", "JPEG", {}),
        ("CMYK", "TIFF", {}),
        ("YCbCr", "TIFF", {}),
        *[("P", kind, {}) for kind in ("BMP", "GIF", "PNG", "TIFF")],
        *[("P", kind, {"transparency": 200}) for kind in ("GIF", "PNG")],
        ("RGB", "PNG", {"transparency": (0, 0, 0)}),
        ("L", "PNG", {"transparency": 100}),
        ("1", "PNG", {"transparency": 0}),
        *[("1", kind, {}) for kind in ("BMP", "PNG", "TIFF")],
        ("1", "TIFF", {"compression": "group4"}),
        (
            "RGB",
            "PNG",
            {"save_all": True, "append_images": [Image.new("RGB", (16, 16))]},
        ),
        ("P", "GIF", {"save_all": True, "append_images": [Image.new("P", (16, 16))]}),
        (
            "RGB",
            "WEBP",
            {"save_all": True, "append_images": [Image.new("RGB", (16, 16))]},
        ),
    ],
)
def test_becomes_what_a_viewer_shows(tmp_path, mode, kind, options):
    image = RGBA[..., :3].copy()
    image[4:8] = 0
    content = saved(image, mode, kind, **options)
    for behind in (b"", bytes(100), content):
        (tmp_path / "a").write_bytes(content + behind)
        shown = over_white(np.asarray(Image.open(io.BytesIO(content)).convert("RGBA")))
        decoded = data.decode_image(tmp_path / "a", 16)
        np.testing.assert_allclose(decoded, shown, atol=1, rtol=0)


@pytest.mark.parametrize("size", [40, 108])
def test_only_a_bitmap_of_a_later_kind_has_alpha(tmp_path, size):
    pixels = np.ascontiguousarray(RGBA[::-1, :, [2, 1, 0, 3]])
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    masks = masks[:12] if size == 40 else masks.ljust(size - 40, b"\0")
    info = struct.pack("<IiiHHIIiiII", size, 16, 16, 1, 32, 3, 0, 0, 0, 0, 0) + masks
    head = struct.pack("<IHHI", 14 + len(info) + pixels.nbytes, 0, 0, 14 + len(info))
    (tmp_path / "a").write_bytes(b"BM" + head + info + pixels.tobytes())
    shown = RGBA[..., :3] if size == 40 else over_white(RGBA)
    np.testing.assert_array_equal(data.decode_image(tmp_path / "a", 16), shown)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (saved(GREY / 255, "F", "TIFF"), "numbers are float32, not integers"),
        (saved(GREY, "I", "TIFF"), "numbers are int32, not integers of 8 or 16"),
        (tiff(RGBA[..., :2], 1, 2), "a TIFF of grey and alpha"),
        (tiff(DEEP, 5), "no whole image of a known format"),
        (b"\0\0\0 ftypheic" + bytes(99), "no whole image of a known format"),
    ],
)
def test_refuses_what_it_cannot_show(tmp_path, content, reason):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(InputError, match=f"a' cannot be read: .*{reason}"):
        data.decode_image(tmp_path / "a", 8)


def test_refuses_broken_files_quietly(tmp_path, capfd):
    level = cv2.utils.logging.getLogLevel()
    whole = write(tmp_path / "whole.png", smooth_image(32, 32)).read_bytes()
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_bytes(b"not an image")
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "folder.png").mkdir()
    for name in ("empty.png", "text.png", "cut.png", "folder.png", "missing.png"):
        with pytest.raises(InputError, match=f"{name}' cannot be read: "):
            data.decode_image(tmp_path / name, 8)
    assert capfd.readouterr().err == ""
    assert cv2.utils.logging.getLogLevel() == level


@pytest.mark.parametrize("image_size", [0, -1, 2.5, None])
def test_refuses_sizes(tmp_path, image_size):
    path = write(tmp_path / "a.png", smooth_image(8, 8))
    with pytest.raises(InputError, match=f"image_size={image_size}"):
        data.decode_image(path, image_size)


def test_of_a_very_long_image_only_the_middle_is_enlarged(tmp_path, monkeypatch):
    pixels = []

    def resize(image, size, **options):
        pixels.append(size[0] * size[1])
        return plain_resize(image, size, **options)

    plain_resize = cv2.resize
    image = smooth_image(1, 60_001)
    image[0, 29_990:30_011] = 255  # wider than bicubic interpolation looks
    path = write(tmp_path / "a.png", image)
    monkeypatch.setattr(cv2, "resize", resize)
    decoded = data.decode_image(path, 64)
    np.testing.assert_array_equal(decoded, np.full((64, 64, 3), 255))
    assert max(pixels) <= 2**20 < 64 * 64 * 60_001


@pytest.mark.parametrize(
    ("bits", "width", "height", "most"),
    [
        (8, 2**14, 2**13 + 1, 2**27),
        (8, 60_000, 60_000, 2**27),
        (16, 2**13, 2**13 + 1, 2**26),
    ],
)
def test_refuses_more_pixels_than_a_photograph(tmp_path, bits, width, height, most):
    """Before they are decoded: the pixels are not even there."""
    small = write(tmp_path / "a.png", smooth_image(8, 8)).read_bytes()
    path = tmp_path / "b.png"
    claim = struct.pack(">IIB", width, height, bits)
    path.write_bytes(small[:16] + claim + small[25:])
    with pytest.raises(InputError, match=f"{width} × {height} .* most {most:,}"):
        data.decode_image(path, 8)


@pytest.mark.parametrize("options", [[], [cv2.IMWRITE_PNG_BILEVEL, 1]])
def test_a_page_with_a_word_on_it(tmp_path, options):
    page = np.full((2480, 3508), 255, np.uint8)
    cv2.putText(page, "word", (1000, 1300), cv2.FONT_HERSHEY_SIMPLEX, 9, 0, 20)
    cv2.imencode(".png", page, options)[1].tofile(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size < 40_000
    decoded = data.decode_image(tmp_path / "a.png", 64)
    assert decoded[:8].min() == 255
    assert decoded.min() < 128


@pytest.mark.parametrize("suffix", [".png", ".bmp"])
def test_of_large_images_one_is_decoded_at_a_time(tmp_path, suffix, monkeypatch):
    at_once, most, decode = [], {}, cv2.imdecode

    def imdecode(encoded, flags):
        at_once.append(len(encoded))
        number = at_once.count(len(encoded))
        most[len(encoded)] = max(most.get(len(encoded), 0), number)
        time.sleep(0.02)
        at_once.remove(len(encoded))
        return decode(encoded, flags)

    monkeypatch.setattr(cv2, "imdecode", imdecode)
    monkeypatch.setattr(images, "_LARGE", 500)
    # A few bytes of many pixels, and many bytes of a few pixels.
    side = 100 if suffix == ".png" else 20
    large = write(tmp_path / f"large{suffix}", np.zeros((side, side, 3), np.uint8))
    assert (large.stat().st_size > 500) != (side**2 > 500)
    small = write(tmp_path / "small.png", np.zeros((8, 8, 3), np.uint8))
    threads = [
        threading.Thread(target=data.decode_image, args=(path, 8))
        for path in [small, small, large] * 4
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[large.stat().st_size] == 1
    assert most[small.stat().st_size] > 1


@pytest.mark.parametrize("options", [[], [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]])
@pytest.mark.parametrize("restart", [0, 8])
def test_a_jpeg_damaged_in_its_middle_is_refused(tmp_path, options, restart, capfd):
    rng = np.random.default_rng(0)
    image = smooth_image(300, 400) // 2 + rng.integers(0, 60, (300, 400, 3), np.uint8)
    options = [*options, cv2.IMWRITE_JPEG_RST_INTERVAL, restart]
    whole = cv2.imencode(".jpg", image, options)[1]
    for _ in range(20):
        damaged, start = whole.copy(), rng.integers(len(whole) // 3, len(whole) - 300)
        damaged[start : start + 200] = rng.integers(0, 256, 200)
        damaged.tofile(tmp_path / "a.jpg")
        with pytest.raises(InputError, match=r"a\.jpg' cannot be read: it is"):
            data.decode_image(tmp_path / "a.jpg", 8)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("compression", ["tiff_lzw", "group4", "jpeg"])
def test_so_is_a_tiff_that_tells(tmp_path, compression):
    image, rng = smooth_image(300, 400), np.random.default_rng(0)
    mode = "1" if compression == "group4" else "RGB"
    content = bytearray(saved(image, mode, "TIFF", compression=compression))
    middle = len(content) // 2
    content[middle : middle + 200] = rng.integers(0, 256, 200, np.uint8).tobytes()
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(InputError, match="a' cannot be read: it is"):
        data.decode_image(tmp_path / "a", 8)


@pytest.mark.parametrize(("kind", "missing"), [("jpg", 100), ("png", 12)])
def test_refuses_a_file_without_its_end(kind, missing, tmp_path):
    """OpenCV would fill what is missing with grey."""
    path = write(tmp_path / f"a.{kind}", smooth_image(64, 64))
    whole = path.read_bytes()
    path.write_bytes(whole[:-missing])
    with pytest.raises(InputError, match="without its end"):
        data.decode_image(path, 8)
    path.write_bytes(whole + b"trailing bytes of some cameras")
    assert data.decode_image(path, 8).shape == (8, 8, 3)


def test_progressive_and_large_jpegs_are_read(tmp_path):
    path = tmp_path / "a.jpg"
    large = np.random.default_rng(0).integers(0, 256, (1500, 3000, 3), np.uint8)
    assert large.shape[0] * large.shape[1] > 2**22
    for image, options in (
        (smooth_image(64, 64), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
        (large, []),
    ):
        cv2.imencode(".jpg", image, options)[1].tofile(path)
        assert (path.read_bytes().count(b"\xff\xda") > 5) == bool(options)
        assert data.decode_image(path, 8).shape == (8, 8, 3)


def test_opens_neither_pipes_nor_devices(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", "/dev/zero"):
        with pytest.raises(InputError) as caught:
            data.decode_image(path, 8)
        assert (
            str(caught.value) == f"{str(path)!r} cannot be read: it is no regular file."
        )
