"""A folder of images of which it is known what is wrong with it."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

READABLE, BROKEN = 8, 4  # of the training split
MARKUP = "<script>alert(1)<"  # a class


def picture(seed, *, size=(40, 30), mode="RGB"):
    """A smooth picture, so that its JPEG is small."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (3, 4, 3), np.uint8))
    return small.resize(size, Image.Resampling.BICUBIC).convert(mode)


def encoded(image, format="JPEG", **how):
    """The bytes of an image file."""
    file = io.BytesIO()
    image.save(file, format, **how)
    return file.getvalue()


def bomb(width=30_000, height=30_000):
    """A PNG of some bytes that claims hundreds of millions of pixels."""

    def chunk(kind, body):
        sum_of = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + sum_of

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rest = chunk(b"IDAT", zlib.compress(bytes(10))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + rest


def made(root):
    """Writes it: train/ with classes ant, bee and one that is markup, test/ with ant alone.

    ant: 5 images, one of them a copy of another, and 2 that are broken.   bee: CMYK and grey ones,
    an empty file and a bomb.   the third: one wide PNG.
    """
    jpeg = encoded(picture(0))
    files = {
        "train/ant/0.jpg": jpeg,
        "train/ant/1.jpg": encoded(picture(1, size=(300, 260))),
        "train/ant/2.png": encoded(picture(2), "PNG"),
        "train/ant/3.webp": encoded(picture(3), "WEBP", lossless=True),
        "train/ant/4.jpg": jpeg,
        "train/ant/5.jpg": encoded(picture(4))[:200],
        "train/ant/6.jpg": b"<!DOCTYPE html><html>404</html>",
        "train/bee/0.jpg": encoded(picture(5, mode="L")),
        "train/bee/1.jpg": encoded(picture(6, mode="CMYK")),
        "train/bee/2.jpg": b"",
        "train/bee/3.png": bomb(),
        f"train/{MARKUP}/wide.png": encoded(picture(7, size=(400, 2)), "PNG"),
        "test/ant/a.png": encoded(picture(2), "PNG"),
        "test/ant/b.png": encoded(picture(8), "PNG"),
    }
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    (root / "train/ant/0.txt").write_text("an ant walks\nan ant\n")
    (root / "train/bee/0.txt").write_text("a grey bee " + "buzz " * 40 + "\n")
    (root / "test/ant/b.txt").write_text("an unseen ant\n")
    return root
