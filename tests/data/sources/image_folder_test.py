"""Folders: what is found, what a file becomes, and every kind of broken file."""

import io
import os
import pathlib
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import image_folder as module
from m3i_jax.data.sources.image_folder import image_folder


def picture(mode="RGB", size=(20, 16)):
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(image, format="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def png_header(width, height, depth=8, colour=2):
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = zlib.compress(bytes(10))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


@pytest.fixture
def labelled(tmp_path):
    for name, count in (("dog", 2), ("ant", 3)):
        (tmp_path / name / "deep").mkdir(parents=True)
        for i in range(count):
            picture().save(tmp_path / name / f"{i}.png")
        picture().save(tmp_path / name / "deep" / "z.jpg")
        (tmp_path / name / "0.txt").write_text(f" a photograph \tof a {name} \r\n\n an animal\n")
        (tmp_path / name / "notes.md").write_text("no image")
        (tmp_path / name / ".hidden.png").write_bytes(encoded(picture()))
    (tmp_path / "empty").mkdir()
    (tmp_path / ".cache").mkdir()
    os.mkfifo(tmp_path / "dog" / "pipe.png")  # opening it would block for ever
    os.symlink(tmp_path / "dog" / "1.png", tmp_path / "ant" / "link.png")
    return tmp_path


def test_a_folder_per_class(labelled):
    source = image_folder(str(labelled))
    assert source.classes == ("ant", "dog") and len(source) == 8
    names = [os.path.relpath(source.where(i), labelled) for i in range(8)]
    assert names == sorted(names) and "ant/link.png" in names and "dog/deep/z.jpg" in names
    assert [source[i].label for i in range(8)] == [0] * 5 + [1] * 3
    assert source[0].captions == ("a photograph of a ant", "an animal")
    assert source[1].caption == ""
    assert list(source.captions()) == [source[i].caption for i in range(8)]
    assert not any(image_folder(str(labelled), captions=False).captions())
    assert np.array_equal(source[0].image, np.asarray(picture()))


CAPTIONS = {
    "marks": ("\ufeffa cat\n\ufeff a dog", "a cat\na dog", ""),
    "utf-16": ("a cat\r\n\n".encode("utf-16"), "a cat", ""),
    "utf-16-be": (b"\xfe\xff" + "eine Kätzin".encode("utf-16-be"), "eine Kätzin", ""),
    "utf-32": ("eine Kätzin".encode("utf-32"), "eine Kätzin", ""),
    "utf-16 without a mark": ("a cat\n".encode("utf-16-le"), "a cat", ""),
    "long": ("ä" * 3000, "ä" * 2048, "what is behind its first 4096 bytes"),
    "cut in a letter": ("a" + "ä" * 3000, "a" + "ä" * 2047, "behind its first 4096 bytes"),
    "cut in a word": ("a cat " * 1000, " ".join(["a cat"] * 682) + " a", "behind its first 4096"),
    "cut in a line": ("a cat sits\n" * 1000, "\n".join(["a cat sits"] * 372), "first 4096 bytes"),
    "cut at a line": ("a cat is\r\n" + "x" * 4086 + "y\nz", "a cat is", "first 4096 bytes"),
    "as long as may be": ("x" * 4090 + "\na cat", "x" * 4090 + "\na cat", ""),
    "latin-1": (b"caf\xe9", "", "1 of 1 lines, which are no UTF-8"),
    "one line of two": (b"a cat\ncaf\xe9\n", "a cat", "1 of 2 lines, which are no UTF-8"),
    "gbk": ("一只猫\n一只狗".encode("gbk"), "", "2 of 2 lines"),
    "shift-jis": ("猫が座る".encode("shift-jis"), "", "1 of 1 lines"),
    "cp1252": ("“a cat” – sits".encode("cp1252"), "", "1 of 1 lines"),
    "Chinese in utf-16 without a mark": ("一只猫".encode("utf-16-le"), "", "1 of 1 lines"),
    "broken before": ("a caf\ufffd\nb", "b", "1 of 2 lines"),
    "binary": (bytes(range(256)), "", "left out of"),
}


@pytest.mark.parametrize("kind", CAPTIONS)
def test_captions_are_read_as_their_marks_say_and_what_cannot_be_is_said(tmp_path, kind):
    data, expected, said = CAPTIONS[kind]
    picture().save(tmp_path / "1.png")
    (tmp_path / "1.txt").write_bytes(data if isinstance(data, bytes) else data.encode())
    sample = image_folder(str(tmp_path))[0]
    if kind != "binary":
        assert sample.caption == expected
    assert "\ufffd" not in sample.caption and "\0" not in sample.caption
    assert said in sample.left_out and bool(said) == bool(sample.left_out)
    assert list(image_folder(str(tmp_path)).captions()) == [sample.caption]


@pytest.mark.parametrize(
    "image,text",
    [
        ("UP.JPG", "UP.TXT"),
        ("up.jpg", "up.Txt"),
        ("up.JPEG", "up.txt"),
        ("caf\u00e9.png", "cafe\u0301.txt"),
        ("cafe\u0301.png", "caf\u00e9.TXT"),
        ("a.b.png", "a.b.txt"),
    ],
)
def test_captions_stand_in_a_text_of_the_same_name(tmp_path, image, text):
    (tmp_path / image).write_bytes(encoded(picture()))
    (tmp_path / text).write_text("a cat")
    source = image_folder(str(tmp_path))
    assert source[0].caption == "a cat" and "left out" not in source.account.notes[0]
    before = source.fingerprint(), source.contents()["contents"]
    (tmp_path / text).write_text("a dog!")
    after = source.fingerprint(), source.contents()["contents"]
    assert before[0] != after[0] and before[1] != after[1]


def test_of_two_texts_the_one_that_is_spelt_alike_is_read(tmp_path):
    for name in ("up.jpg", "Up.jpg"):
        (tmp_path / name).write_bytes(encoded(picture()))
    (tmp_path / "up.TXT").write_text("loud")
    (tmp_path / "up.txt").write_text("low")
    (tmp_path / "dir.jpg").write_bytes(encoded(picture()))
    (tmp_path / "dir.txt").mkdir()
    source = image_folder(str(tmp_path))
    assert [source[i].caption for i in range(3)] == ["", "", "low"]
    assert "left out: 1 '.txt'" in source.account.notes[0]
    assert "a table of captions is read where" not in source.account.notes[0]
    (tmp_path / "captions.csv").write_text("up.jpg,loud")
    assert "called metadata.csv" in image_folder(str(tmp_path)).account.notes[0]


def test_a_text_that_has_gone_is_said(tmp_path):
    picture().save(tmp_path / "1.png")
    (tmp_path / "1.txt").write_text("a cat")
    source = image_folder(str(tmp_path))
    (tmp_path / "1.txt").unlink()
    assert source[0].caption == "" and "1.txt': No such file" in source[0].left_out


def test_a_flat_folder_is_unlabelled(tmp_path):
    for name in ("b.png", "a.JPG"):
        (tmp_path / name).write_bytes(encoded(picture()))
    source = image_folder(str(tmp_path))
    assert source.classes == () and len(source) == 2
    assert source[0].label == -1 and source.where(0).endswith("a.JPG")  # a PNG by its content


def test_splits(labelled, tmp_path):
    root = tmp_path / "set"
    root.mkdir()
    for name in ("train", "val"):
        (root / name / "x").mkdir(parents=True)
        picture().save(root / name / "x" / f"{name}.png")
    assert image_folder(str(root), split="test").where(0).endswith("val.png")
    assert image_folder(str(root), split="train").where(0).endswith("train.png")
    with pytest.raises(ConfigError, match="looked for test, val"):
        image_folder(str(root / "train"), split="test")
    assert len(image_folder(str(root / "train"), split="train")) == 1
    with pytest.raises(ConfigError, match="did you mean 'train'"):
        image_folder(str(root), split="trian")


def test_refusals_say_what_was_looked_for(tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(ConfigError, match="did you mean 'photos'"):
        image_folder(str(tmp_path / "phtos"))
    with pytest.raises(ConfigError, match=r"no images in .*\.jpeg.*subfolders"):
        image_folder(str(tmp_path / "photos"))
    picture().save(tmp_path / "x.png")
    picture().save(tmp_path / "photos" / "y.png")
    with pytest.raises(ConfigError, match="holds both images"):
        image_folder(str(tmp_path))


def test_fingerprint_follows_the_files(labelled):
    before = image_folder(str(labelled)).fingerprint()
    assert before == image_folder(str(labelled)).fingerprint()
    silent = image_folder(str(labelled), captions=False).fingerprint()
    (labelled / "dog" / "1.txt").write_text("a dog")
    named = image_folder(str(labelled)).fingerprint()
    (labelled / "dog" / "1.txt").write_text("a doggy")
    renamed = image_folder(str(labelled)).fingerprint()
    assert len({before, silent, named, renamed}) == 4
    assert image_folder(str(labelled), captions=False).fingerprint() == silent
    picture(size=(31, 31)).save(labelled / "dog" / "1.png")
    assert renamed != image_folder(str(labelled)).fingerprint()


def test_contents_are_looked_at_and_times_are_told_apart(labelled, monkeypatch):
    file, text = labelled / "dog" / "1.png", labelled / "dog" / "0.txt"
    first = image_folder(str(labelled)).contents()
    os.utime(file, (1, 1))
    copied = image_folder(str(labelled)).contents()
    assert copied["contents"] == first["contents"] and copied["times"] != first["times"]
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))  # of equal size
    image = image_folder(str(labelled)).contents()
    text.write_text(text.read_text().replace("dog", "cat"))
    caption = image_folder(str(labelled)).contents()
    assert len({x["contents"] for x in (first, image, caption)}) == 3
    assert image_folder(str(labelled), captions=False).contents() != caption
    # Of a large folder some files are read, and the times of all of them.
    monkeypatch.setattr(module, "SEEN_BYTES", 1)
    monkeypatch.setattr(module, "SEEN_FILES", 3)
    read = []
    monkeypatch.setattr(module.Path, "read_bytes", lambda path: read.append(path) or b"")
    sampled = image_folder(str(labelled)).contents()
    assert 1 < len(read) <= 3 and sampled["times"] == caption["times"]


def test_encoded_images_are_the_files(labelled):
    source = image_folder(str(labelled))
    for index in range(len(source)):
        assert source.encoded(index) == pathlib.Path(source.where(index)).read_bytes()


def test_the_decoder_is_an_argument(labelled):
    source = image_folder(str(labelled), decode=lambda data: np.full((1, 1, 3), len(data) % 7))
    assert source[0].image.shape == (1, 1, 3)

    def broken(data):
        raise SyntaxError("half a header")

    with pytest.raises(ValueError, match=r"cannot read '.*0.png': SyntaxError: half a header"):
        image_folder(str(labelled), decode=broken)[0]


JPEG = encoded(picture(size=(64, 64)), "JPEG")
BROKEN = {
    "empty": b"",
    "html": b"<!DOCTYPE html><html><body>404</body></html>",
    "truncated jpeg": JPEG[: len(JPEG) // 2],
    "truncated png": encoded(picture(size=(64, 64)))[:200],
    "header only": JPEG[:20],
    "ppm": encoded(picture(), "PPM"),
    "wide bomb": png_header(30_000, 30_000),
    "bomb of 144 MP": png_header(12_000, 12_000),
    "long bomb": png_header(60_000_000, 1),
    "gif bomb": b"GIF89a\xff\xff\xff\xff\x00\x00\x00,\x00\x00\x00\x00\xff\xff\xff\xff\x00",
    "zero size": png_header(0, 10),
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_broken_files_are_errors_that_cost_nothing(kind, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(BROKEN[kind])
    source = image_folder(str(tmp_path))
    tracemalloc.start()
    with pytest.raises(ValueError, match="bad.jpg") as met:
        source[0]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert " object at 0x" not in str(met.value)
    assert peak < 2**24  # refused from the header, before any pixel is allocated
