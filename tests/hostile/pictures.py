"""Image files and folders of images."""

import functools
import io
import os
import struct
import zlib

import numpy as np
from PIL import Image

from tests.hostile.judging import Input
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


def file(content, name="x.png"):
    """Returns the maker of a folder with one more file in a class."""

    def make(folder):
        classes(folder)
        path = folder / "a" / name
        path.write_bytes(content() if callable(content) else content)
        return load(folder)

    return make


def special(put):
    """Returns the maker of a folder with one more thing in a class, made by `put`."""

    def make(folder):
        classes(folder)
        put(folder / "a" / "x.png")
        return load(folder)

    return make


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


def bmp_size(side):
    return patched("BMP", 18, struct.pack("<ii", side, side))


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


def webp_chunk():
    return patched("WEBP", 16, b"\xf0\xff\xff\xff")


def webp_size():
    return patched("WEBP", 14, struct.pack("<HH", 16383, 16383), b"VP8 ")


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


def floats():
    return encode(np.full((8, 8), np.nan, np.float32), "TIFF")


def converted(mode, kind):
    out = io.BytesIO()
    Image.fromarray(noise(16)).convert(mode).save(out, kind)
    return out.getvalue()


def sixteen_bits():
    return png(8, 8, bytes(8 * (1 + 8 * 6)), bits=16)


def black(side):
    """A PNG of one bit a pixel: a thousand pixels a byte."""
    return png(side, side, bytes(side * (1 + side // 8)), 1, "grey")


def sparse(path):
    with open(path, "wb") as out:
        out.truncate(1 << 40)


def unreadable(path):
    path.write_bytes(b"secret")
    path.chmod(0)


def many(name):
    """Returns the maker of a folder with thousands of empty files in a class."""

    def make(folder):
        classes(folder)
        for index in range(_MANY):
            (folder / "a" / name.format(index)).touch()
        return load(folder)

    return make


def class_called(name):
    def make(folder):
        classes(folder)
        os.rename(folder / "b", os.path.join(os.fsencode(folder), name))
        return load(folder)

    return make


def deep(folder):
    for _ in range(6):
        folder = folder / ("é" * 127)
    classes(folder)
    (folder / "a").joinpath("ü" * 125 + ".png").write_bytes(encode(noise()))
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


def cycle_of_classes(folder):
    classes(folder)
    (folder / "c").symlink_to(folder)
    return load(folder)


def sized(image_size):
    def make(folder):
        classes(folder)
        return load(folder, image_size)

    return make


TOO_MANY = r"claims .* pixels, .* at most"
NOT_DECODED = "empty or cannot be decoded"

INPUTS = {
    "an honest folder": Input(only("a/1.png", "a/2.png", "b/1.png", "b/2.png"),
        rule="read"),
    "a text called .png": Input(file(b"#!/bin/sh\nrm -rf ~\n"), NOT_DECODED),
    "a JPEG called .png": Input(file(lambda: encode(noise(), "JPEG")),
        rule="the content decides, not the name"),
    "an empty .png": Input(file(b""), NOT_DECODED),
    "half a PNG": Input(file(lambda: encode(noise(64))[:6000]), NOT_DECODED),
    "half a JPEG": Input(file(lambda: encode(noise(64), "JPEG")[:2000]), NOT_DECODED),
    "a PNG with a chunk of 2 GB": Input(
        file(encode(noise())[:33] + b"\x7f\xff\xff\xffIDAT"), NOT_DECODED),
    "a TIFF whose pixels claim 4 GB": Input(
        file(tiff_strip, "x.tif"), rule="no more is read than its pixels need"),
    "a WebP whose pixels claim 4 GB": Input(file(webp_chunk, "x.webp"), NOT_DECODED),
    "a PNG that claims 60,000 × 60,000": Input(file(png(60000, 60000)), TOO_MANY),
    "a PNG that claims 2³¹ − 1 squared": Input(
        file(png(2**31 - 1, 2**31 - 1)), TOO_MANY),
    "a PNG that claims 0 × 0": Input(file(png(0, 0)), NOT_DECODED),
    "a JPEG that claims 65,500 × 65,500": Input(
        file(lambda: with_jpeg_size(65500, 65500), "x.jpg"), TOO_MANY),
    "a BMP that claims 2³¹ − 1 squared": Input(
        file(lambda: bmp_size(2**31 - 1), "x.bmp"), TOO_MANY),
    "a TIFF that claims 2³² − 1 squared": Input(
        file(tiff_size(2**32 - 1), "x.tif"), TOO_MANY),
    "a WebP that claims 16,383 × 16,383": Input(file(webp_size, "x.webp"), TOO_MANY),
    "a PNG of 10,000 × 10,000 black pixels in 12 kB": Input(
        file(lambda: black(10_000)), TOO_MANY),
    "a PNG with 50 MB of text in 50 kB": Input(
        file(lambda: png(8, 8, bytes(200),
            extra=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50 << 20), 9)))),
        rule="the text is passed over"),
    "a JPEG of 3,000 scans": Input(file(scans, "x.jpg"), "at most .* scans"),
    "an image of 1 × 1": Input(file(encode(noise(1))), rule="scaled like any other"),
    "an image of 1 × 60,000": Input(
        file(lambda: encode(np.zeros((1, 60000, 3), np.uint8))),
        rule="its middle is cut out before it is scaled"),
    "an image of one colour": Input(
        file(encode(np.zeros((8, 8, 3), np.uint8))), rule="read"),
    "a 16-bit PNG": Input(file(sixteen_bits()), "16-bit RGB"),
    "a PNG with alpha": Input(file(encode(noise(channels=4))), "8-bit RGBA"),
    "a grey PNG": Input(file(encode(noise(channels=1))), "8-bit grayscale"),
    "a PNG with a palette": Input(
        file(lambda: converted("P", "PNG")), rule="colours looked up"),
    "a CMYK JPEG": Input(
        file(lambda: converted("CMYK", "JPEG"), "x.jpg"), rule="converted to RGB"),
    "a float TIFF of NaN": Input(file(floats, "x.tif"), "32-bit float"),
    "a TIFF of three pages": Input(
        file(lambda: several("TIFF"), "x.tif"), rule="the first page is read"),
    "an animated GIF called .png": Input(file(lambda: several("GIF")), NOT_DECODED),
    "EXIF that turns the image": Input(file(lambda: exif(6), "x.jpg"), rule="turned"),
    "EXIF with orientation 65,535": Input(file(lambda: exif(65535), "x.jpg"),
        rule="no such orientation: left as it is"),
    "EXIF of 65,535 entries that point at themselves": Input(
        file(lambda: exif(6, 65535), "x.jpg"), rule="an EXIF that is cut counts not"),
    "a pipe among the images": Input(special(os.mkfifo), rule="ignored, no file"),
    "a link to /dev/zero among the images": Input(
        special(lambda path: path.symlink_to("/dev/zero")), rule="ignored, no file"),
    "a link to itself among the images": Input(
        special(lambda path: path.symlink_to(path)), rule="ignored, no file"),
    "a link to nowhere among the images": Input(
        special(lambda path: path.symlink_to("nowhere")), rule="ignored, no file"),
    "a folder called x.png": Input(
        special(lambda path: path.mkdir()), rule="ignored, no file"),
    "a file of 1 TB, all hole, among the images": Input(
        special(sparse), "1,099,511,627,776 bytes, an image at most"),
    "a file that may not be read": Input(special(unreadable), NOT_DECODED),
    "a broken image whose name commands the terminal": Input(
        file(b"", f"{_TERMINAL}.png"), NOT_DECODED),
    "a class whose name commands the terminal": Input(
        class_called(_TERMINAL.encode()), "control characters"),
    "a class whose name is not Unicode": Input(
        class_called(b"caf\xe9"), "Unicode without control characters"),
    "a class called 花 été": Input(class_called("花 été".encode()), rule="read"),
    "paths of 1,700 bytes outside ASCII": Input(deep, rule="read"),
    f"{_MANY:,} broken images": Input(
        many("broken{}.png"), r"3000 of 3004 .* and 2997 more"),
    f"{_MANY:,} other files of long names": Input(
        many("n" * 200 + "{}.txt"), rule="ignored"),
    "a folder of nothing": Input(folders(), "at least two classes"),
    "a folder of one class": Input(only("a/1.png", "a/2.png"), "at least two classes"),
    "a class of one image": Input(
        only("a/1.png", "b/1.png", "b/2.png"), "at least 2 images"),
    "classes without images": Input(folders("a", "b"), "must hold an image file"),
    "splits without classes": Input(
        folders("train", "test"), "at least two classes"),
    "a class that is a link to the folder itself": Input(
        cycle_of_classes, r"classes_without_images=\['c'\]"),
    "a pipe in place of the folder": Input(pipe_as_folder, "is not a folder"),
    "a folder's name with a zero byte": Input(
        lambda folder: load(f"{folder}/a\0b"), "does not exist"),
    "--image_size 2**70": Input(sized(2**70), "image_size=1180591620717411303424"),
    "--image_size 100,000": Input(sized(100_000), "image_size=100000"),
    "--image_size -1": Input(sized(-1), "image_size=-1"),
    "--image_size NaN": Input(sized(float("nan")), "image_size=nan"),
    "a pipe to classify": Input(alone(os.mkfifo), "no regular file"),
    "/dev/zero to classify": Input(
        alone(lambda path: path.symlink_to("/dev/zero")), "no regular file"),
    "a folder to classify": Input(alone(os.mkdir), "cannot be read"),
    "a link to itself to classify": Input(
        alone(lambda path: path.symlink_to(path)), "cannot be read"),
    "a file of 1 TB to classify": Input(alone(sparse), "at most"),
    "an image to classify whose name commands the terminal": Input(
        lambda folder: functools.partial(
            data.decode_image, folder / f"{_TERMINAL}.png", 8), "cannot be read"),
}  # fmt: skip
