"""MNIST and data sets of its form: grey images and labels in idx files, plain or gzipped.

An idx file is a header and the values: two zero bytes, the type, the number of dimensions, each
dimension as four bytes with the largest first (LeCun et al. 1998, http://yann.lecun.com/exdb/mnist).
"""

import gzip
import hashlib
import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import urls
from m3i_jax.data.sources.protocol import NoSplit, Sample, Source, listed
from m3i_jax.data.sources.relabelled import relabelled
from m3i_jax.texts import Filled

PART = 2**20  # bytes that are read at once
UBYTE = 8  # the type of every file of this kind
FILES = {"train": "train", "test": "t10k"}  # what their names begin with
GARMENTS = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def fashion_mnist(
    split: str,
    *,
    classes: Sequence[str] | None = None,
    root: Filled = "/usr/share/datasets/fashion-mnist",
    captions: bool = False,
) -> Source:
    """Fashion-MNIST: 60 000 + 10 000 grey images of garments, 28×28, in ten classes.

    Xiao et al. 2017, https://arxiv.org/abs/1708.07747, MIT. Debian has it as the package
    dataset-fashion-mnist, whose files lie where `root` looks.

    Args:
      split: "train" or "test".
      classes: of the training split, where these are not the ten.
      root: the folder of the four idx files, plain or gzipped.
      captions: whether the name of its class, in small letters, is the caption of an image.

    Raises:
      NoSplit: another split, or one whose files are not there.
      ConfigError: a file that holds something else.
    """
    hint = "; Debian's package dataset-fashion-mnist has them, or --config.data.root=FOLDER"
    return _read("fashion_mnist", root, split, GARMENTS, classes, captions, hint=hint)


def mnist(
    root: Filled, *, split: str, classes: Sequence[str] | None = None, captions: bool = False
) -> Source:
    """MNIST: 60 000 + 10 000 grey images of handwritten digits, 28×28.

    LeCun et al. 1998. Also KMNIST and others of ten classes, whose names are then the digits'.

    Args:
      root: the folder of the four idx files, plain or gzipped.
      split: "train" or "test".
      classes: of the training split, where these are not the ten.
      captions: whether the name of its class is the caption of an image.

    Raises:
      NoSplit: another split, or one whose files are not there.
      ConfigError: a file that holds something else.
    """
    return _read("mnist", root, split, DIGITS, classes, captions, hint="")


class Idx:
    """A source of grey images in memory; see `fashion_mnist`."""

    evaluation_ratio = 1.0  # small and square: evaluation resizes, it cuts nothing

    def __init__(
        self,
        name: str,
        split: str,
        images: np.ndarray,
        labels: np.ndarray,
        classes: tuple[str, ...],
        *,
        captions: bool = False,
    ):
        """Of (N, H, W) uint8 images and (N,) numbers of classes."""
        self.name, self.classes, self.labels = name, classes, labels
        self._split, self._images = split, images
        self._words = [c.lower() for c in classes] if captions else [""] * len(classes)

    def __len__(self) -> int:
        """Number of images."""
        return len(self._images)

    def __getitem__(self, index: int) -> Sample:
        """One image, its grey in all three channels, and its label."""
        label = int(self.labels[index])
        return Sample(np.repeat(self._images[index, ..., None], 3, -1), label, self._words[label])

    def captions(self) -> list[str]:
        """Those of all images; "" = none."""
        return [self._words[label] for label in self.labels]

    def where(self, index: int) -> str:
        """How reports name a record."""
        return f"{self.name}/{self._split}/{index}"

    def fingerprint(self) -> str:
        """Digest of all images, labels and captions."""
        digest = hashlib.sha256(f"{self.name} {self._images.shape} {self._words}".encode())
        for array in (self._images, self.labels.astype("<i8")):
            digest.update(np.ascontiguousarray(array))
        return digest.hexdigest()[:16]


def _read(
    name: str,
    root: str,
    split: str,
    names: tuple[str, ...],
    classes: Sequence[str] | None,
    captions: bool,
    *,
    hint: str,
) -> Source:
    """The images and labels of a split, which fit together."""
    if split not in FILES:
        raise NoSplit(f"{name} has no split '{split}', expected {' or '.join(FILES)}")
    folder = Path(urls.local(root))
    paths = [_found(folder, split, kind, hint) for kind in ("images-idx3", "labels-idx1")]
    images, labels = (_values(path, rank) for path, rank in zip(paths, (3, 1), strict=True))
    if len(images) != len(labels) or not len(images):
        raise ConfigError(
            f"'{paths[0]}' has {len(images)} images and '{paths[1]}' {len(labels)} labels, "
            "expected as many, and some"
        )
    if max(labels) >= len(names):
        raise ConfigError(
            f"'{paths[1]}' has the label {max(labels)}, but {name} has {len(names)} classes"
        )
    idx = Idx(name, split, images, labels.astype(np.int32), names, captions=captions)
    return relabelled(idx, classes)


def _found(
    folder: Path, split: str, kind: Literal["images-idx3", "labels-idx1"], hint: str
) -> Path:
    """The file of a split; some mirrors write .idx3 and .idx1 for -idx3 and -idx1."""
    stem = f"{FILES[split]}-{kind}-ubyte"
    names = [f"{form}{end}" for form in (stem, stem.replace("-idx", ".idx")) for end in ("", ".gz")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    there = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    has = f", which has {listed(there)}" if there else " (no such folder)" * (not folder.is_dir())
    raise NoSplit(f"no file {stem}, plain or .gz, in '{folder}'{has}{hint}")


def _values(path: Path, rank: int) -> np.ndarray:
    """The bytes of an idx file in its shape.

    Raises:
      ConfigError: it is none, of another type or number of dimensions, or longer or shorter.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            shape = _shape(path, stream.read(4 + 4 * rank), rank)
            expected = math.prod(shape)
            values = np.frombuffer(_at_most(stream, expected + 1), np.uint8)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ConfigError(f"'{path}' is no sound gzip file: {error}") from error
    except (OSError, MemoryError) as error:
        raise ConfigError(f"'{path}' cannot be read: {error or 'it is too large'}") from error
    if len(values) != expected or not expected:
        more = "or more " * (len(values) > expected)
        raise ConfigError(f"'{path}' has {len(values)} {more}values, but its header says {shape}")
    return values.reshape(shape)


def _shape(path: Path, head: bytes, rank: int) -> tuple[int, ...]:
    """What the header of an idx file says."""
    if len(head) < 4 + 4 * rank or tuple(head[:4]) != (0, 0, UBYTE, rank):
        raise ConfigError(
            f"'{path}' begins with {list(head[:4])}, expected {[0, 0, UBYTE, rank]}: an idx file "
            f"of bytes in {rank} dimension{'s' * (rank > 1)}"
        )
    return tuple(int(size) for size in np.frombuffer(head, ">u4", rank, 4))


def _at_most(stream: BinaryIO, size: int) -> bytes:
    """So many bytes, or all that there are: a little of gzip may become very much."""
    parts = []
    while size and (part := stream.read(min(size, PART))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
