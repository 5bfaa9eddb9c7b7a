import os

import cv2
import numpy as np
import pytest

from tfsupermask import data
from tfsupermask._validation import InputError


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


@pytest.mark.parametrize(
    ("name", "image", "found"),
    [
        ("f.tiff", smooth_image(8, 8).astype(np.float32), "32-bit float RGB"),
        ("g.png", smooth_image(8, 8)[..., 0], "8-bit grayscale"),
        ("g.jpg", smooth_image(8, 8)[..., 0], "8-bit grayscale"),
        ("a.png", smooth_image(8, 8, channels=4), "8-bit RGBA"),
        ("d.png", smooth_image(8, 8, dtype=np.uint16), "16-bit RGB"),
        ("dg.png", smooth_image(8, 8, dtype=np.uint16)[..., 0], "16-bit grayscale"),
    ],
)
def test_refuses_other_formats_and_says_how_to_convert(tmp_path, name, image, found):
    path = write(tmp_path / name, image)
    with pytest.raises(InputError, match=f"{name}' is {found}: expected 8-bit RGB"):
        data.decode_image(path, 8)
    if found.startswith("32"):
        return
    # What the message recommends works.
    cv2.imwrite(str(path), cv2.imread(str(path)))
    assert data.decode_image(path, 8).shape == (8, 8, 3)


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


def test_refuses_more_pixels_than_a_file_of_its_size_has(tmp_path):
    """Before they are decoded: the pixels are not even there."""
    small = write(tmp_path / "a.png", smooth_image(8, 8)).read_bytes()
    path = tmp_path / "b.png"
    for width, height, most in ((2048, 2049, 2**22), (60_000, 60_000, 2**22)):
        size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
        path.write_bytes(small[:16] + size + small[24:])
        with pytest.raises(InputError, match=f"{width} × {height} .* most {most:,} "):
            data.decode_image(path, 8)


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
        with pytest.raises(InputError, match="no regular file"):
            data.decode_image(path, 8)
