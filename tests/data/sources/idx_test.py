"""idx files: every value as it was, plain and gzipped; a sentence where they are no such files."""

import gzip
import io
import struct

import numpy as np
import pytest

from m3i_jax import data
from m3i_jax.build import ConfigError
from m3i_jax.data.sources import idx
from m3i_jax.data.sources.protocol import NoSplit


def file(values, *, kind=8):
    """The bytes of an idx file, by the format's description."""
    header = struct.pack(">BBBB", 0, 0, kind, values.ndim)
    return header + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


@pytest.fixture
def garments(tmp_path):
    """A folder of 7 training images, plain, and 3 for testing, gzipped; and what they are."""
    rng, there = np.random.default_rng(0), {}
    for stem, count in (("train", 7), ("t10k", 3)):
        images = rng.integers(0, 256, (count, 28, 20), dtype=np.uint8)
        labels = rng.integers(0, 10, count).astype(np.uint8)
        there[stem] = images, labels
        for name, values in (("images-idx3", images), ("labels-idx1", labels)):
            path = tmp_path / f"{stem}-{name}-ubyte"
            if stem == "train":
                path.write_bytes(file(values))
            else:
                path.with_name(path.name + ".gz").write_bytes(gzip.compress(file(values)))
    return tmp_path, there


def test_every_value_is_where_it_was(garments):
    root, there = garments
    for split, stem in (("train", "train"), ("test", "t10k")):
        source = data.source({"name": "fashion_mnist", "root": str(root)}, split=split)
        images, labels = there[stem]
        assert len(source) == len(images)
        for i, sample in enumerate(source[i] for i in range(len(source))):
            assert sample.image.shape == (28, 20, 3) and sample.image.dtype == np.uint8
            assert (sample.image == images[i][..., None]).all()
            assert sample.label == source.labels[i] == labels[i]
            assert sample.caption == ""
        assert source.classes[9] == "Ankle boot" and len(source.classes) == 10
        assert source.where(2) == f"fashion_mnist/{split}/2"


def test_a_caption_is_the_name_of_the_class(garments):
    root, there = garments
    source = idx.fashion_mnist("train", root=str(root), captions=True)
    names = [source.classes[label].lower() for label in there["train"][1]]
    assert source.captions() == names == [source[i].caption for i in range(7)]
    assert source.fingerprint() != idx.fashion_mnist("train", root=str(root)).fingerprint()


def test_other_mirrors_write_a_full_stop(garments):
    root, there = garments
    for path in list(root.glob("train-*")):
        path.rename(root / path.name.replace("-idx", ".idx"))
    source = idx.mnist(str(root), split="train")
    assert (source.labels == there["train"][1]).all() and source.classes[3] == "three"


def test_a_change_of_one_value_is_another_data_set(garments):
    root, _ = garments
    before = idx.mnist(str(root), split="train").fingerprint()
    path = root / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    assert idx.mnist(str(root), split="train").fingerprint() != before


def broken(root, name, change):
    path = root / name
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("train-images-idx3-ubyte", lambda b: b[:-1], r"3919 values, but its header says \(7, 28"),
        ("train-images-idx3-ubyte", lambda b: b + b"\0", "3921 or more values"),
        ("train-images-idx3-ubyte", lambda b: b[:9], r"begins with \[0, 0, 8, 3\]"),
        ("train-images-idx3-ubyte", lambda b: b"", r"begins with \[\], expected \[0, 0, 8, 3\]"),
        ("train-images-idx3-ubyte", lambda b: b"\xff" * 16 + b, "begins with .255"),
        ("train-labels-idx1-ubyte", lambda b: file(np.zeros(6, np.uint8)), "7 images and .* 6 lab"),
        ("train-labels-idx1-ubyte", lambda b: b[:-1] + b"\x0a", "label 10, but mnist has 10"),
        ("train-labels-idx1-ubyte", lambda b: file(np.zeros(7, ">i4"), kind=12), "8, 1"),
        ("train-images-idx3-ubyte", lambda b: b[:4] + b"\0\0\0\7" + bytes(8), r"0 val.*\(7, 0, 0"),
        ("t10k-labels-idx1-ubyte.gz", lambda b: b[:-5], "no sound gzip"),
        ("t10k-labels-idx1-ubyte.gz", lambda b: b + gzip.compress(bytes(2**24)), "or more values"),
        ("t10k-labels-idx1-ubyte.gz", lambda b: b"none" + b, "no sound gzip"),
    ],
)  # fmt: skip
def test_what_is_no_such_file_is_a_sentence(garments, name, change, sentence):
    root, _ = garments
    broken(root, name, change)
    split = "train" if name.startswith("train") else "test"
    with pytest.raises(ConfigError, match=sentence):
        idx.mnist(str(root), split=split)


def test_a_header_of_more_values_than_there_are_numbers_is_refused(garments):
    root, _ = garments
    path = root / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:4] + b"\xff" * 12)
    with pytest.raises(ConfigError, match="header says"):
        idx.mnist(str(root), split="train")


def test_of_gzip_no_more_is_unpacked_than_the_header_says():
    bomb = gzip.open(io.BytesIO(gzip.compress(bytes(2**24))))
    assert len(idx._at_most(bomb, idx.PART + 5)) == idx.PART + 5 and bomb.tell() < 2**21
    assert idx._at_most(io.BytesIO(b"few"), 2**60) == b"few"


def test_missing_files_are_named_and_where_to_get_them(garments, tmp_path):
    root, _ = garments
    with pytest.raises(NoSplit, match="no split 'val', expected train or test"):
        idx.fashion_mnist("val", root=str(root))
    (root / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(NoSplit, match="no file train-labels-idx1-ubyte.*which has .*dataset-fash"):
        idx.fashion_mnist("train", root=str(root))
    with pytest.raises(NoSplit, match="no such folder"):
        idx.mnist(str(root / "none"), split="train")
