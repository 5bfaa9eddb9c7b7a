"""Image files and folders of images."""

import functools
import io
import os
import struct
import zlib

import numpy as np
from PIL import Image

from tests.hostile.judging import Input, refused, works
from tfsupermask import data

_COLOURS = {"grey": 0, "rgb": 2, "palette": 3}
_MANY = 3000
_TERMINAL = "\x1b]0;owned\x07\x1b[2J\nerror: all is well"


def chunk(kind, content):
    """Returns a chunk of a PNG file."""
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def png(width, height, pixels=b"", bits=8, colour="rgb", extra=b""):
    """Returns a PNG file that claims a size, whatever pixels it has."""
    header = struct.pack(">IIBBBBB", width, height, bits, _COLOURS[colour], 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(pixels, 9))
        + chunk(b"IEND", b"")
    )


def encode(image, kind="PNG", **options):
    """Returns the file of an image, as Pillow writes it."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()


def noise(side=8, seed=0, channels=3):
    """Returns an honest image."""
    shape = (side, side, channels)[: 3 if channels > 1 else 2]
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def classes(folder):
    """Writes two classes of two honest images each."""
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        for index in range(2):
            (folder / name / f"{index}.png").write_bytes(encode(noise(seed=index)))


def load(folder, image_size=8):
    """Returns the call that reads a folder of images."""
    return lambda: data.load("folder", data_dir=str(folder), image_size=image_size)


def changed(change, image_size=8):
    """Returns the maker of a folder of two classes, changed."""

    def make(folder):
        classes(folder)
        change(folder)
        return load(folder, image_size)

    return make


def special(put, name="x.png"):
    """Returns the maker of a folder with one more thing in a class, made by `put`."""
    return changed(lambda folder: put(folder / "a" / name))


def file(content, name="x.png"):
    """Returns the maker of a folder with one more file in a class."""
    made = content if callable(content) else lambda: content
    return special(lambda path: path.write_bytes(made()), name)


def alone(put, image_size=8):
    """Returns the maker of a thing that is read as one image, as `predict` does."""

    def make(folder):
        path = folder / "x.png"
        put(path)
        return lambda: data.decode_image(path, image_size)

    return make


def patched(kind, start, claim, mark=b""):
    """Returns an image's file with some bytes behind a mark replaced."""
    whole = bytearray(encode(noise(16), kind))
    place = whole.index(mark) + start
    whole[place : place + len(claim)] = claim
    return bytes(whole)


def with_jpeg_size(height, width):
    """Returns a JPEG whose frame header claims a size."""
    return patched("JPEG", 5, struct.pack(">HH", height, width), b"\xff\xc0")


def tiff_size(side):
    entries = [(256, side), (257, side), (258, 8), (259, 1), (262, 2), (273, 8)]
    entries += [(277, 3), (278, side), (279, 3 * side % 2**32)]
    packed = b"".join(struct.pack("<HHII", tag, 4, 1, n) for tag, n in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + packed + bytes(8)


def tiff_strip():
    """A TIFF whose only strip claims 4 GB."""
    whole = encode(noise(), "TIFF")
    (start,) = struct.unpack_from("<I", whole, 4)
    (entries,) = struct.unpack_from("<H", whole, start)
    for place in range(start + 2, start + 2 + 12 * entries, 12):
        if struct.unpack_from("<H", whole, place) == (279,):
            claim = struct.pack("<HHII", 279, 4, 1, 2**32 - 2)
            whole = whole[:place] + claim + whole[place + 12 :]
    return whole


def tiff_tile():
    """A TIFF of 8 × 8 pixels in tiles of 2³¹ − 1 squared."""
    entries = [(256, 8), (257, 8), (258, 8), (259, 1), (262, 1), (277, 1)]
    entries += [(322, 2**31 - 1), (323, 2**31 - 1), (324, 8), (325, 64)]
    packed = b"".join(struct.pack("<HHII", tag, 4, 1, n) for tag, n in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + packed + bytes(99)


def damaged():
    """A JPEG with bytes in its middle overwritten, its end intact."""
    whole = bytearray(encode(noise(64), "JPEG"))
    middle = len(whole) // 2
    whole[middle : middle + 200] = noise(9).tobytes()[:200]
    return bytes(whole)


def exif(orientation, entries=1):
    """Returns an EXIF segment that points at itself."""
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    tiff = b"MM\0*\0\0\0\x08" + struct.pack(">H", entries) + entry
    body = b"Exif\0\0" + tiff + struct.pack(">I", 8)
    segment = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    whole = encode(noise(16), "JPEG")
    return whole[:2] + segment + whole[2:]


def scans():
    """A progressive JPEG that repaints its 4 million pixels thousands of times."""
    image = np.zeros((2048, 2048, 3), np.uint8)
    whole = encode(image, "JPEG", progressive=True, quality=1)
    start = whole.rindex(b"\xff\xda")
    return whole[:start] + whole[start:-2] * 3000 + whole[-2:]


def several(kind):
    """Returns a file of three images."""
    frames = [Image.fromarray(noise(seed=n)) for n in range(3)]
    out = io.BytesIO()
    frames[0].save(out, kind, save_all=True, append_images=frames[1:])
    return out.getvalue()


def converted(mode, kind):
    out = io.BytesIO()
    Image.fromarray(noise(16)).convert(mode).save(out, kind)
    return out.getvalue()


def black(side):
    """A PNG of one bit a pixel, with thousands of pixels a byte."""
    return png(side, side, bytes(side * (1 + side // 8)), 1, "grey")


def zero(path):
    path.symlink_to("/dev/zero")


def itself(path):
    path.symlink_to(path)


def sparse(path):
    with open(path, "wb") as out:
        out.truncate(1 << 40)


def unreadable(path):
    path.write_bytes(b"secret")
    path.chmod(0)


def many(name):
    """Returns the maker of a folder with thousands of empty files in a class."""

    def change(folder):
        for index in range(_MANY):
            (folder / "a" / name.format(index)).touch()

    return changed(change)


def class_called(name):
    def change(folder):
        os.rename(folder / "b", os.path.join(os.fsencode(folder), name))

    return changed(change)


def deep(folder):
    for _ in range(6):
        folder = folder / ("é" * 127)
    classes(folder)
    (folder / "a").joinpath("ü" * 125 + ".png").write_bytes(encode(noise()))
    return load(folder)


def links(folder):
    """2³⁰ ways to one image."""
    classes(folder)
    for level in range(30):
        (folder / "a" / f"{level}").mkdir()
        for name in ("left", "right"):
            link = folder / "a" / f"{level}" / name
            link.symlink_to(folder / "a" / f"{level + 1}")
    (folder / "a" / "30").mkdir()
    (folder / "a" / "30" / "x.png").write_bytes(encode(noise()))
    return load(folder)


def nested(folder):
    classes(folder)
    (folder / "a").joinpath(*["n"] * 900).mkdir(parents=True)
    return load(folder)


def only(*parts):
    """Returns the maker of a folder with these images alone."""

    def make(folder):
        for part in parts:
            (folder / part).parent.mkdir(parents=True, exist_ok=True)
            (folder / part).write_bytes(encode(noise()))
        return load(folder)

    return make


def folders(*parts):
    def make(folder):
        for part in parts:
            (folder / part).mkdir(parents=True)
        return load(folder)

    return make


def pipe_as_folder(folder):
    os.mkfifo(folder / "pipe")
    return load(folder / "pipe")


TOO_MANY = r"claims .* pixels, .* at most"
NOT_DECODED = "image files cannot be read"

INPUTS = {
    "an honest folder": Input(
        only("a/1.png", "a/2.png", "b/1.png", "b/2.png"), rule="read"),
    **refused(NOT_DECODED, {
        "a text called .png": file(b"#!/bin/sh\nrm -rf ~\n"),
        "an empty .png": file(b""),
        "half a PNG": file(lambda: encode(noise(64))[:6000]),
        "half a JPEG": file(lambda: encode(noise(64), "JPEG")[:2000]),
        "a PNG with a chunk of 2 GB":
            file(encode(noise())[:33] + b"\x7f\xff\xff\xffIDAT"),
        "a WebP whose pixels claim 4 GB":
            file(lambda: patched("WEBP", 16, b"\xf0\xff\xff\xff"), "x.webp"),
        "a PNG that claims 0 × 0": file(png(0, 0)),
        "a file that may not be read": special(unreadable),
        "a broken image whose name commands the terminal":
            file(b"", f"{_TERMINAL}.png"),
    }),
    **works("the content decides, not the name", {
        "a JPEG called .png": file(lambda: encode(noise(), "JPEG")),
        "an animated GIF called .png": file(lambda: several("GIF")),
    }),
    "a TIFF whose pixels claim 4 GB": Input(
        file(tiff_strip, "x.tif"), rule="no more is read than its pixels need"),
    **refused(TOO_MANY, {
        "a PNG that claims 60,000 × 60,000": file(png(60000, 60000)),
        "a PNG that claims 2³¹ − 1 squared": file(png(2**31 - 1, 2**31 - 1)),
        "a JPEG that claims 65,500 × 65,500":
            file(lambda: with_jpeg_size(65500, 65500), "x.jpg"),
        "a BMP that claims 2³¹ − 1 squared":
            file(lambda: patched("BMP", 18, b"\xff\xff\xff\x7f" * 2), "x.bmp"),
        "a TIFF that claims 2³² − 1 squared": file(tiff_size(2**32 - 1), "x.tif"),
        "a WebP that claims 16,383 × 16,383":
            file(lambda: patched("WEBP", 14, b"\xff\x3f" * 2, b"VP8 "), "x.webp"),
        "a PNG of 12,000 × 12,000 black pixels in 17 kB": file(lambda: black(12_000)),
        "a GIF that claims 65,535 × 65,535":
            file(lambda: patched("GIF", 6, b"\xff" * 4), "x.gif"),
    }),
    "a PNG of 4,000 × 4,000 black pixels in 2 kB": Input(
        file(lambda: black(4000)), rule="an empty page"),
    **works("the text is passed over", {
        "a PNG with 50 MB of text in 50 kB": file(lambda: png(8, 8, bytes(200),
            extra=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50 << 20), 9)))),
    }),
    "a JPEG of 3,000 scans": Input(file(scans, "x.jpg"), "more than .* scans"),
    "a JPEG with 8 MB of noise behind its end": Input(
        file(lambda: encode(noise(), "JPEG") + noise(1640).tobytes(), "x.jpg"),
        rule="read to its own end"),
    "a JPEG with noise in its middle": Input(
        file(damaged, "x.jpg"), "it is cut or damaged|it is damaged"),
    "a JPEG of 100,000 segments": Input(
        file(lambda: b"\xff\xd8" + b"\xff\xe0\0\2" * 100_001), "no whole image"),
    "a TIFF whose tiles claim 2³¹ − 1 squared": Input(
        file(tiff_tile, "x.tif"), NOT_DECODED),
    "an image of 1 × 1": Input(file(encode(noise(1))), rule="scaled like any other"),
    "an image of 1 × 60,000": Input(
        file(lambda: encode(np.zeros((1, 60000, 3), np.uint8))),
        rule="its middle is cut out before it is scaled"),
    **works("read", {
        "an image of one colour": file(encode(np.zeros((8, 8, 3), np.uint8))),
        "a class called 花 été": class_called("花 été".encode()),
        "paths of 1,700 bytes outside ASCII": deep,
    }),
    **works("converted to 8-bit RGB; a warning counts them", {
        "a 16-bit PNG": file(png(8, 8, bytes(8 * 49), bits=16)),
        "a PNG with alpha": file(encode(noise(channels=4))),
        "a grey PNG": file(encode(noise(channels=1))),
    }),
    "a PNG with a palette": Input(
        file(lambda: converted("P", "PNG")), rule="colours looked up"),
    "a CMYK JPEG": Input(
        file(lambda: converted("CMYK", "JPEG"), "x.jpg"), rule="converted to RGB"),
    "a float TIFF of NaN": Input(
        file(lambda: encode(np.full((8, 8), np.nan, np.float32), "TIFF"), "x.tif"),
        "numbers are float32"),
    "a TIFF of three pages": Input(
        file(lambda: several("TIFF"), "x.tif"), rule="the first page is read"),
    "EXIF that turns the image": Input(file(lambda: exif(6), "x.jpg"), rule="turned"),
    "EXIF with orientation 65,535": Input(
        file(lambda: exif(65535), "x.jpg"), rule="no such orientation: left as it is"),
    "EXIF of 65,535 entries that point at themselves": Input(
        file(lambda: exif(6, 65535), "x.jpg"), rule="an EXIF that is cut is ignored"),
    **works("left out; a warning counts them", {
        "a pipe among the images": special(os.mkfifo),
        "a link to /dev/zero among the images": special(zero),
        "a link to itself among the images": special(itself),
        "a link to nowhere among the images":
            special(lambda path: path.symlink_to("nowhere")),
        "a folder called x.png": special(lambda path: path.mkdir()),
    }),
    **refused("1,099,511,627,776 bytes, an image at most", {
        "a file of 1 TB, all hole, among the images": special(sparse),
        "a file of 1 TB to classify": alone(sparse),
    }),
    **refused("control characters", {
        "a class whose name commands the terminal": class_called(_TERMINAL.encode()),
        "a class whose name is not Unicode": class_called(b"caf\xe9"),
    }),
    f"{_MANY:,} broken images": Input(
        many("broken{}.png"), r"3000 of 3004 .* and 2997 more"),
    f"{_MANY:,} other files of long names": Input(
        many("n" * 200 + "{}.txt"), rule="left out; a warning counts them"),
    f"{_MANY:,} endings": Input(
        many("x.{}"), rule="left out; a warning counts the ten most common"),
    f"{_MANY:,} endings that command the terminal": Input(
        many("x.\x1b[2J{}"), rule="left out; a warning counts them together"),
    **refused("at least two classes", {
        "a folder of nothing": folders(),
        "a folder of one class": only("a/1.png", "a/2.png"),
        "splits without classes": folders("train", "test"),
    }),
    "a class of one image": Input(
        only("a/1.png", "b/1.png", "b/2.png"), "at least 2 images"),
    "classes without images": Input(folders("a", "b"), "at least two classes"),
    **works("no folder is entered twice", {
        "a class that is a link to the folder itself":
            changed(lambda folder: (folder / "c").symlink_to(folder)),
        "a class that is a link to the root":
            changed(lambda folder: (folder / "c").symlink_to("/")),
        "links that double with every level": links,
    }),
    "sub-folders 900 deep": Input(nested, rule="searched"),
    "a pipe in place of the folder": Input(pipe_as_folder, "is not a folder"),
    "a folder's name with a zero byte": Input(
        lambda folder: load(f"{folder}/a\0b"), "does not exist"),
    **{
        f"--image_size {name}": Input(
            changed(lambda folder: None, size), f"image_size={size}")
        for name, size in (("2**70", 2**70), ("100,000", 100_000), ("-1", -1),
            ("NaN", float("nan")))
    },
    **refused("no regular file", {
        "a pipe to classify": alone(os.mkfifo),
        "/dev/zero to classify": alone(zero),
    }),
    **refused("cannot be read", {
        "a folder to classify": alone(os.mkdir),
        "a link to itself to classify": alone(itself),
        "an image to classify whose name commands the terminal": lambda folder:
            functools.partial(data.decode_image, folder / f"{_TERMINAL}.png", 8),
    }),
}  # fmt: skip
