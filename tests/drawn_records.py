"""Small images with labels and captions, for tests that put them into files of many kinds."""

import io
import tarfile
from typing import NamedTuple

import numpy as np
from PIL import Image


class Drawn(NamedTuple):
    """A record: pixels, the PNG of them, number and name of its class, one caption."""

    pixels: np.ndarray
    png: bytes
    label: int
    name: str
    caption: str


NAMES = ("cat", "dog", "emu")


def drawn(count, *, seed=0, size=12):
    """Records of random pixels whose classes take turns."""
    rng = np.random.default_rng(seed)
    records = []
    for n in range(count):
        pixels = rng.integers(0, 256, (size, size + n % 3, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        label = n % len(NAMES)
        records.append(Drawn(pixels, file.getvalue(), label, NAMES[label], f"picture {n}"))
    return records


def same(source, records, *, labels=None, captions=True):
    """Asserts that a source gives the records, in this order."""
    assert len(source) == len(records)
    labels = [record.label for record in records] if labels is None else labels
    for n, record in enumerate(records):
        sample = source[n]
        np.testing.assert_array_equal(sample.image, record.pixels)
        assert sample.label == source.labels[n] == labels[n]
        assert sample.captions == ((record.caption,) if captions else ())
        assert not sample.left_out
    assert list(source.captions()) == [r.caption if captions else "" for r in records]


def tar(path, members, *, form=tarfile.USTAR_FORMAT):
    """Writes {name: bytes, or a TarInfo} as a tar; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=form) as file:
        for name, data in members:
            if isinstance(data, tarfile.TarInfo):
                file.addfile(data)
            else:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                file.addfile(info, io.BytesIO(data))
    return path


def samples(records, *, start=0, of=lambda record: record.name):
    """Members of a WebDataset: png, cls and txt of each record."""
    for n, record in enumerate(records, start):
        yield f"{n:06d}.png", record.png
        yield f"{n:06d}.cls", str(of(record)).encode()
        yield f"{n:06d}.txt", record.caption.encode()


def mutated(data, *, count, seed=0):
    """`count` damaged copies of bytes: some bytes changed, some cut off."""
    rng = np.random.default_rng(seed)
    for n in range(count):
        copy = bytearray(data)
        if n % 4 == 3:
            del copy[int(rng.integers(len(copy))) :]
        else:
            for position in rng.integers(0, len(copy), rng.integers(1, 12)):
                copy[position] = rng.integers(256)
        yield bytes(copy)
