"""Images that lie in NumPy files, as small data sets come; mapped into memory where they can be.

train.npz: images, labels, classes     x_train.npy, y_train.npy, x_test.npy, y_test.npy
train/images.npy, train/labels.npy     mnist.npz: x_train, y_train, x_test, y_test
"""

import os
import re
import shlex
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from m3i_jax import ordinary
from m3i_jax.build import ConfigError, nearest
from m3i_jax.data.sources import caption_files, contents, naming, urls
from m3i_jax.data.sources.annotation_forms import FORMS
from m3i_jax.data.sources.annotations import Annotations, checked
from m3i_jax.data.sources.folder_names import ORDER
from m3i_jax.data.sources.protocol import Account, NoSplit, Sample, listed
from m3i_jax.data.sources.split_words import split_of
from m3i_jax.texts import Filled
from m3i_jax.types import Array

SUFFIXES = (".npy", ".npz")
ROLES = {
    "images": "images image imgs img x data pixels",
    "labels": "labels label y targets target",
    "captions": "captions caption texts text",
    "classes": "classes classnames names",
    "mask": "masks mask",
    "depth": "depths depth",
    "box": "boxes box",
    "bbox": "bboxes bbox",
    "points": "points",
    "keypoints": "keypoints",
}
TEXT = 4 * 4096  # bytes of a label or captions: of each there is room for the longest
INFLATED = 2**30  # bytes of a compressed array, which is inflated at every start
HEADER = struct.Struct("<26xHH")  # of a member of a zip: how long its name is, and what follows


class Place(NamedTuple):
    """Where an array is: a file, and its name in it where that is an .npz."""

    file: Path
    member: str


class Held(NamedTuple):
    """The arrays of a split.

    images: (N, H, W, 3) or (N, H, W) uint8.   labels: (N,) int or text, or None.
    captions: (N,) texts, or None.   classes: (K,) texts, or None.   files: that these are in.
    annotations: (N, ...) of each role that `annotation_forms.FORMS` has.
    """

    images: Array
    labels: Array | None
    captions: Array | None
    classes: Array | None
    files: tuple[Path, ...]
    annotations: Mapping[str, Array]


def arrays(
    root: Filled,
    *,
    split: str | None = None,
    classes: Sequence[str] | None = None,
    captions: bool = True,
    annotations: bool = True,
    names: Filled | None = None,
) -> "Arrays":
    """Images in .npy and .npz files: (N, H, W, 3) or (N, H, W) uint8, with (N,) labels.

    Which array is which stands in its name, that of its file and that of the folder: a split
    (`train`, `test`, `val`; none is `train`) and `images` or `x`, `labels` or `y`, `captions`,
    `classes`, `masks`, `depth`, `boxes` or COCO's `bboxes`, `points` or COCO's `keypoints`; a
    box of NaN is none. A .npy file, and an .npz file that `numpy.savez` wrote, are mapped into
    memory; one of `savez_compressed` is read into it, up to a GiB an array.

    Args:
      root: the folder, or one .npz file.
      split: "train" or "test".
      classes: of the training split, which another split is labelled with by name; None looks
        for them there.
      captions: whether there are any to read.
      annotations: whether masks, depth, boxes and key points are read where there are some.
      names: a file with the name of class n in its line n, from 0 on, where no array has them.

    Raises:
      NoSplit: there are no images of this split.
      ConfigError: arrays of other shapes or types.
    """
    split = split or "train"
    if split not in ORDER:
        raise ConfigError(f"split is '{split}'{nearest(split, ORDER)}")
    place = Path(urls.local(root))
    splits = _splits(place)
    if classes is None and split == "test" and "train" in splits:
        classes = _labelled(_held(splits["train"], {}), place, names)[1]
    kinds = [kind for kind in ORDER[split] if kind in splits]
    if not kinds:
        there = listed(sorted(splits)) or "no array that is called images or x"
        raise NoSplit(f"'{root}' has no images of the {split} split; there are {there}")
    kind = next((kind for kind in kinds if "labels" in splits[kind]), kinds[0])
    held = _held(splits[kind], splits.get("train", {}))
    codes, own, note = _labelled(held, place, names)
    named = naming.numbered(codes, own, classes)
    notes = [
        f"{len(held.images)} images of {held.images.shape[1:]} in {listed(map(str, held.files))}"
    ]
    notes += [note] * bool(note) + [naming.counts(named.unknown)] * bool(named.unknown)
    account = Account(int((named.labels >= 0).sum()), named.unknown, tuple(notes))
    held = held if annotations else held._replace(annotations={})
    opened = Arrays(held, named.labels, named.classes, account, captions=captions)
    _require_fit(opened)
    return opened


class Arrays:
    """A source of arrays; see `arrays`."""

    name = "arrays"

    def __init__(
        self,
        held: Held,
        labels: Array,
        classes: tuple[str, ...],
        account: Account,
        *,
        captions: bool,
    ):
        """Of the arrays of a split, and (N,) numbers of classes."""
        self.labels, self.classes, self.account = labels, classes, account
        self._held, self._captions = held, captions and held.captions is not None

    def __len__(self) -> int:
        """Number of images."""
        return len(self._held.images)

    def __getitem__(self, index: int) -> Sample:
        """One image, grey in all three channels, its label and captions."""
        image = np.array(self._held.images[index])
        image = np.repeat(image[..., None], 3, -1) if image.ndim == 2 else image
        label, said = int(self.labels[index]), self._said(index, image)
        return Sample(image, label, self._caption(index), **said._asdict())

    def captions(self) -> Iterator[str]:
        """Those of all images; "" = none."""
        return (self._caption(index) for index in range(len(self)))

    def fingerprint(self) -> str:
        """Digest of names and sizes of the files, of labels and classes."""
        labels = np.ascontiguousarray(self.labels, "<i8").tobytes()
        said = (self._held.images.shape, zlib.crc32(labels), self.classes, self._captions)
        said += (*sorted(self._held.annotations),)
        return contents.named(self._held.files, *said)

    def contents(self) -> dict[str, str]:
        """Digests of the bytes of the files and of their times."""
        return contents.looked_at(self._held.files)

    def where(self, index: int) -> str:
        """The file, and the place of the image in it."""
        return f"{self._held.files[0]}: {index}"

    def _said(self, index: int, image: Array) -> Annotations:
        """What is said of an image, which fits it."""
        forms = [(FORMS[role], of[index]) for role, of in self._held.annotations.items()]
        said = Annotations(**{form.field: form.read(values) for form, values in forms})
        return checked(said, *image.shape[:2])

    def _caption(self, index: int) -> str:
        if not self._captions:
            return ""
        return caption_files.listed(str(self._held.captions[index]).splitlines())


def _require_fit(opened: Arrays) -> None:
    """Refuses annotations of another kind than the first image has.

    Raises:
      ConfigError: what is wrong with them.
    """
    roles = sorted(opened._held.annotations)
    fields = [FORMS[role].field for role in roles]
    if len({*fields}) < len(fields):
        raise ConfigError(f"{listed(roles)} say one thing twice; leave one of them there")
    try:
        opened[0] if len(opened) else None
    except ValueError as error:
        raise ConfigError(f"{opened.where(0)}: of the first image, {error}") from error


def _splits(place: Path) -> dict[str, dict[str, Place]]:
    """{split: {role: where it is}} of all arrays whose names say what they are.

    Raises:
      ConfigError: there is no such file or folder, or two arrays say that they are the same.
    """
    if not place.exists():
        beside = [p.name for p in place.parent.iterdir()] if place.parent.is_dir() else []
        raise ConfigError(f"there is no '{place}'{nearest(place.name, beside)}")
    folder = place if place.is_dir() else place.parent
    files = [place] if place.is_file() else sorted([*place.glob("*"), *place.glob("*/*")])
    splits: dict[str, dict[str, Place]] = {}
    for file in files:
        if file.suffix.lower() not in SUFFIXES or not file.is_file():
            continue
        for member in _members(file):
            said = file.relative_to(folder).with_suffix("") / member
            kind, role = _meant(str(said))
            here = Place(file, member)
            other = splits.setdefault(kind, {}).setdefault(role, here) if role else here
            if other != here:
                raise ConfigError(
                    f"'{other.file}' and '{file}' both have {role} of the {kind} split; leave one "
                    "of them there"
                )
    return {kind: parts for kind, parts in splits.items() if "images" in parts}


def _meant(name: str) -> tuple[str, str]:
    """The split and the role that a name says; "" = no role. The last word that says one counts."""
    words = [word for word in re.split(r"[\W_\d]+", name.lower()) if word]
    kinds = [kind for word in words if (kind := split_of(word))]
    roles = [role for word in words for role in ROLES if word in ROLES[role].split()]
    return (kinds or ["train"])[-1], (roles or [""])[-1]


def _members(file: Path) -> list[str]:
    """The names of the arrays in an .npz; "" of an .npy."""
    if file.suffix.lower() == ".npy":
        return [""]
    try:
        with zipfile.ZipFile(file) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        raise ConfigError(f"'{file}' is no sound .npz file: {error}") from error


def _held(parts: dict[str, Place], shared: dict[str, Place]) -> Held:
    """The arrays of a split; classes of training where it has none of its own."""
    roles = {"classes": shared["classes"]} | parts if "classes" in shared else parts
    read = {role: _array(place) for role, place in roles.items()}
    images, file = read["images"], parts["images"].file
    fits = images.ndim in (3, 4) and images.shape[3:] in ((), (3,)) and images.size
    if images.dtype != np.uint8 or not fits:
        raise ConfigError(
            f"'{file}' has images of {images.dtype} {images.shape}, expected uint8 (N, H, W, 3) or "
            "(N, H, W), none of them 0"
        )
    count = len(images)
    for role in ("labels", "captions"):
        array = read.get(role)
        if array is not None and (array.shape[:1] != (count,) or array.size != count):
            raise ConfigError(
                f"'{parts[role].file}' has {role} of shape {array.shape}, expected ({count},), one "
                "for each image"
            )
    said = {role: array for role, array in read.items() if role in FORMS}
    for role, array in said.items():
        if array.shape[:1] != (count,) or array.dtype.kind not in "biuf":
            raise ConfigError(
                f"'{parts[role].file}' has {role} of {array.dtype} {array.shape}, expected "
                f"numbers, ({count}, ...), one row for each image"
            )
    files = tuple(dict.fromkeys(place.file for place in roles.values()))
    others = (read.get(role) for role in ("labels", "captions", "classes"))
    return Held(images, *others, files, said)


def _array(place: Place) -> Array:
    """An array, mapped into memory where it is stored as it is; nothing is unpickled."""
    file, member = place
    try:
        if not member:
            return np.load(file, mmap_mode="r", allow_pickle=False)
        with zipfile.ZipFile(file) as archive:
            info = archive.getinfo(f"{member}.npy")
            if info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & 1:
                return _mapped(file, info)
            _require_small(place, info)
            with archive.open(info) as stream:
                _check(*_header(stream))
            with archive.open(info) as stream:
                return np.lib.format.read_array(stream, allow_pickle=False)
    except ConfigError:
        raise
    except Exception as error:  # a damaged header is read as Python, which raises anything
        why = str(error) or type(error).__name__
        raise ConfigError(f"'{file}' cannot be read: {why}") from error


def _require_small(place: Place, info: zipfile.ZipInfo) -> None:
    """Refuses what would take long, and all of its size in memory, at every start.

    Raises:
      ConfigError: how to unpack it once.
    """
    if info.file_size > INFLATED:
        root = place.file.parent / "npy"
        unpacked = shlex.join(map(str, [place.file, root / place.file.stem]))
        raise ConfigError(
            f"'{place.file}' has '{place.member}' of {info.file_size / 1e9:.1f} GB compressed, "
            f"which would be unpacked at every start. Unpack it once, python -m zipfile -e "
            f"{unpacked}, and read data.root={root}"
        )


def _mapped(file: Path, info: zipfile.ZipInfo) -> Array:
    """A member that is not compressed, mapped where it lies."""
    with open(ordinary.opened(file, os.O_RDONLY), "rb") as stream:
        stream.seek(info.header_offset)
        header = stream.read(HEADER.size)
        *_, name, extra = HEADER.unpack(header)
        stream.seek(name + extra, os.SEEK_CUR)
        shape, fortran, dtype = _check(*_header(stream))
        order = "F" if fortran else "C"
        return np.memmap(file, dtype, "r", stream.tell(), shape, order)


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether Fortran's order, and dtype of an array, whose values follow."""
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    return np.lib.format.read_array_header_2_0(stream)


def _check(shape: tuple[int, ...], fortran: bool, dtype: np.dtype) -> tuple:
    """The same, or why such an array is not read: a small file may hold very much of nothing."""
    if dtype.hasobject:
        raise ValueError("it holds objects, which are not unpickled")
    if dtype.kind in "SU" and dtype.itemsize > TEXT:
        letters = dtype.itemsize // (4 if dtype.kind == "U" else 1)
        raise ValueError(f"it holds texts of {letters} letters, more than {TEXT // 4}")
    return shape, fortran, dtype


def _labelled(held: Held, place: Path, file: str | None) -> tuple[Array, tuple[str, ...], str]:
    """(N,) numbers of names, -1 = none, the names, and a sentence on where they were read.

    Raises:
      ConfigError: labels that are neither numbers nor texts, or beyond the classes.
    """
    count = len(held.images)
    if held.labels is None:
        return np.broadcast_to(np.int32(-1), count), (), ""
    labels = np.asarray(held.labels).reshape(-1)
    if labels.dtype.kind not in "iuUS":
        raise ConfigError(f"labels are {labels.dtype}, expected whole numbers or texts")
    if held.classes is not None and labels.dtype.kind in "iu":
        names = tuple(map(str, held.classes.reshape(-1)))
        first, last = (labels.min(), labels.max()) if count else (0, -1)
        if not -1 <= first or last >= len(names):
            raise ConfigError(
                f"labels are from {first} to {last}, but there are {len(names)} classes"
            )
        return labels.astype(np.int32), names, ""
    met, codes = np.unique(labels.astype(str), return_inverse=True)
    some = np.array([bool(n) and not naming.NONE.fullmatch(n) for n in met.tolist()], bool)
    folder = place if place.is_dir() else place.parent
    called = naming.called(met[some].tolist(), folder, file)
    places = np.full(len(met), -1, np.int32)
    places[some] = called.places[:-1]
    return places[codes], called.names, called.note
