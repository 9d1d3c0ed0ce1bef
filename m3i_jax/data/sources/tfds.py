"""Data sets that TensorFlow Datasets prepared as ArrayRecord, read at random without TensorFlow.

DATA_DIR/NAME[/CONFIG]/VERSION/dataset_info.json, features.json, NAME-train.array_record-00000-of-…

https://www.tensorflow.org/datasets/data_source
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from m3i_jax.build import ConfigError, nearest
from m3i_jax.data.sources import annotations as pixels
from m3i_jax.data.sources import caption_files, contents, naming, tfds_folders
from m3i_jax.data.sources.annotation_forms import FORMS
from m3i_jax.data.sources.annotations import Annotations
from m3i_jax.data.sources.decoding import MAX_PIXELS, Decoder, bounded, decoder, unreadable
from m3i_jax.data.sources.folder_names import ORDER
from m3i_jax.data.sources.protocol import Account, NoSplit, Sample, listed
from m3i_jax.data.sources.subset import places
from m3i_jax.data.sources.tfds_folders import library
from m3i_jax.ranges import Count
from m3i_jax.texts import Filled

LOOKED_AT = 16  # records that show whether a split has labels
NAMES = {"train": ("train",), "test": ("test",), "val": ("validation", "val", "valid", "dev")}


class Features(NamedTuple):
    """What is read of a record: the names of features, "" or () = there is none.

    classes: of the label.   planes: images that are masks or depth.
    """

    image: str
    label: str
    caption: str
    classes: tuple[str, ...]
    planes: tuple[str, ...]


def tfds(
    root: Filled,
    *,
    data_dir: Filled | None = None,
    split: str | None = None,
    classes: Sequence[str] | None = None,
    captions: bool = True,
    annotations: bool = True,
    orientation: bool = False,
    max_pixels: Count = MAX_PIXELS,
    decode: Decoder | None = None,
) -> "Tfds":
    """Images of a data set of TensorFlow Datasets that was prepared in the ArrayRecord format.

    Needs tensorflow-datasets, not TensorFlow; nothing is downloaded.

    Args:
      root: the folder of a version, or around versions; or a name, `imagenet2012`, also with a
        config and a version, `cifar10_corrupted/fog_1:1.0.0`, which is looked for in `data_dir`.
      data_dir: folder of prepared data sets; None is $TFDS_DATA_DIR, or ~/tensorflow_datasets.
      split: "train" or "test".
      classes: of the training split, which another split is labelled with by name; None takes
        those of the features.
      captions: whether there are any to read: a feature of texts, `caption`, `text`, ...
      annotations: whether features of images called `mask`, `depth`, ... are read.
      orientation: turns photographs upright by their EXIF tag.
      max_pixels: larger images are refused from their header.
      decode: bytes -> (H, W, 3) uint8, in place of `decoding.decode_image`.

    Raises:
      NoSplit: there is no such split.
      ConfigError: there is no such data set, it has other files than ArrayRecord, or no images.
    """
    split = split or "train"
    if split not in ORDER:
        raise ConfigError(f"split is '{split}'{nearest(split, ORDER)}")
    builder = tfds_folders.opened(root, data_dir)
    read = _features(builder.info.features, captions=captions, annotations=annotations, what=root)
    there = builder.info.splits
    kinds = [name for kind in ORDER[split] for name in NAMES[kind] if name in there]
    if not kinds:
        raise NoSplit(f"'{root}' has no {split} split; there are {listed(sorted(there))}")
    reading = dict(decode=decoder(decode, orientation=orientation, max_pixels=max_pixels))
    reading |= dict(turned=orientation and decode is None, classes=classes)
    for kind in kinds:
        opened = Tfds(builder, kind, read, **reading)
        if opened.account.labelled:
            break
    return opened


class Tfds:
    """A source; see `tfds`. Labels are in the records, so that none is known without reading it."""

    name = "tfds"
    on_disk = True

    def __init__(
        self,
        builder: Any,
        split: str,
        features: Features,
        *,
        classes: Sequence[str] | None,
        decode: Decoder,
        turned: bool,
    ):
        """Of a split that is there; the rest as for `tfds`."""
        self._features, self._decode, self._turned = features, decode, turned
        self._split = split
        self._files = tfds_folders.files(builder, split)
        images = (features.image, *features.planes)
        skip = library().decode.SkipDecoding
        self._records = builder.as_data_source(split, decoders={name: skip() for name in images})
        if not len(self):
            raise ConfigError(f"the split '{split}' of '{builder.data_path}' has no records")
        self.classes = tuple(features.classes if classes is None else classes)
        codes = np.arange(len(features.classes), dtype=np.int32)
        self._labels = np.append(naming.numbered(codes, features.classes, classes).labels, -1)
        self.account = self._account()

    def __len__(self) -> int:
        """Number of records."""
        return len(self._records)

    def __getitem__(self, index: int) -> Sample:
        """Reads and decodes one record.

        Raises:
          ValueError: naming the record and what is wrong with it.
        """
        try:
            record = self._records[index]
            encoded = self._bytes(record)
            image = self._decode(encoded)
            forms = [(FORMS[name.casefold()], record[name]) for name in self._features.planes]
            said = Annotations(**{form.field: form.read(value) for form, value in forms})
            said = pixels.fitted(said, image, encoded=encoded, turned=self._turned)
            label, caption = int(self._labels[self._code(record)]), self._caption(record)
        except MemoryError:
            raise
        except Exception as error:  # whatever a reader or a decoder raises
            raise unreadable(self.where(index), error) from error
        return Sample(image, label, caption, **said._asdict())

    def encoded(self, index: int) -> bytes:
        """The bytes of one image."""
        return self._bytes(self._records[index])

    def captions(self) -> Iterator[str]:
        """All captions in order; no image is decoded."""
        if not self._features.caption:
            return itertools.repeat("", len(self))
        return (self._caption(self._records[index]) for index in range(len(self)))

    def fingerprint(self) -> str:
        """Digest of the names and sizes of the files, and of what is read of them."""
        return contents.named(self._files, self._features, len(self), self.name)

    def contents(self) -> dict[str, str]:
        """Digests of the bytes of the files and of their times."""
        return contents.looked_at(self._files)

    def where(self, index: int) -> str:
        """The folder, the split and the number of the record in it."""
        return f"{self._files[0].parent}: {self._split}[{index}]"

    def _bytes(self, record: Mapping[str, Any]) -> bytes:
        data = record[self._features.image]
        bounded(len(data))
        return data

    def _code(self, record: Mapping[str, Any]) -> int:
        """The number of a class as the features have it, -1 = none."""
        code = int(record[self._features.label]) if self._features.label else -1
        if not -1 <= code < len(self._features.classes):
            raise ValueError(f"its label is {code}, of {len(self._features.classes)} classes")
        return code

    def _caption(self, record: Mapping[str, Any]) -> str:
        if not self._features.caption:
            return ""
        said = record[self._features.caption]
        said = [said] if isinstance(said, bytes | str) else list(said)
        return caption_files.listed([t.decode() if isinstance(t, bytes) else str(t) for t in said])

    def _account(self) -> Account:
        """Of a few records, or of all where training lacks one of the classes."""
        names = self._features.classes
        lacking = [name for name, label in zip(names, self._labels, strict=False) if label < 0]
        chosen = range(len(self)) if lacking else places(len(self), LOOKED_AT).tolist()
        codes = np.array([self._looked(index) for index in chosen], np.int32)
        counts = np.bincount(codes[codes >= 0], minlength=len(names))
        unknown = {n: int(c) for n, c in zip(names, counts, strict=True) if n in lacking and c}
        labelled = int((self._labels[codes] >= 0).sum())
        labelled = labelled if lacking else len(self) * (labelled > 0)
        read = {"image": self._features.image, "label": self._features.label}
        read |= {"caption": self._features.caption}
        features = ", ".join(f"{kind} '{name}'" for kind, name in read.items() if name)
        note = f"{len(self)} records of '{self._split}' in '{self._files[0].parent}': {features}"
        return Account(labelled, unknown, (note, *filter(None, [naming.counts(unknown)])))

    def _looked(self, index: int) -> int:
        """The class of a record; -1 of one that is broken, which is said where it is read."""
        try:
            return self._code(self._records[index])
        except Exception:  # noqa: BLE001
            return -1


def _features(said: Mapping[str, Any], *, captions: bool, annotations: bool, what: str) -> Features:
    """Which features are read.

    Raises:
      ConfigError: none of them is an image.
    """
    of = library().features
    images = [name for name, one in said.items() if isinstance(one, of.Image)]
    planes = [n for n in images if n.casefold() in FORMS and FORMS[n.casefold()].plane]
    plain = [name for name in images if name not in planes]
    if not plain:
        raise ConfigError(f"'{what}' has no feature of images; there are {listed(said)}")
    labels = [name for name, one in said.items() if isinstance(one, of.ClassLabel)]
    label = "label" if "label" in labels else next(iter(labels), "")
    texts = {name.casefold(): name for name, one in said.items() if _is_text(one)}
    captioned = [texts[key] for key in caption_files.KEYS if key in texts]
    return Features(
        "image" if "image" in plain else plain[0],
        label,
        captioned[0] if captioned and captions else "",
        tuple(said[label].names) if label else (),
        tuple(planes) if annotations else (),
    )


def _is_text(feature: Any) -> bool:
    of = library().features
    return isinstance(getattr(feature, "feature", feature), of.Text)
