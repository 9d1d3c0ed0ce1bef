"""What a source of data is: an indexed collection of samples, and nothing more."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from m3i_jax.build import ConfigError, nearest
from m3i_jax.data.sources.decoding import Decoder
from m3i_jax.data.sources.sample_objects import SampleObjects

SHOWN = 3  # names in a sentence


class NoSplit(ConfigError):
    """A source has no such split; the message says what was looked for."""


class Sample(NamedTuple):
    """One record as the host sees it, before any crop.

    image: (H, W, 3) uint8.   label: index into the source's classes, -1 = none.
    caption: "" = none; several captions of one image are lines of their own.
    mask: (H, W) uint8, numbers of the source's `categories`, 255 = nobody has named this pixel; of
      a source without them 0 = background, c + 1 = class c.   None where there is none.
    box: (4,) float32 top, left, height, width of the object in pixels.   None where there is none.
    depth: (H, W) float32 in the data set's unit; 0 or not finite = not measured.   Or None.
    points: (K, 3) float32 row, column, visibility of key points in pixels from the upper left
      corner, as a box is; visibility 0 = not labelled, 1 = hidden, 2 = visible.   Or None.
    objects: all that are there, with boxes and categories; None = nobody has said.
    other: another frame of the same video, whose box has the same object: what it looks like, for a
      tracker that searches `image`.   None where the record is no pair.
    left_out: what of the record could not be read, as words for a report; "" = nothing.
    """

    image: np.ndarray
    label: int = -1
    caption: str = ""
    mask: np.ndarray | None = None
    box: np.ndarray | None = None
    depth: np.ndarray | None = None
    points: np.ndarray | None = None
    left_out: str = ""
    objects: SampleObjects | None = None
    other: "Sample | None" = None

    @property
    def captions(self) -> tuple[str, ...]:
        """The captions one by one; () where there is none."""
        return tuple(line for line in self.caption.split("\n") if line.strip())


class Account(NamedTuple):
    """What a source knows of its labels without reading a record.

    labelled: records with a label.
    unknown: how many records are of each class that training lacks; these have no label.
    notes: sentences on what was found and what was left out, which `data.source` logs.
    warnings: such as make numbers of this split worth less.
    """

    labelled: int
    unknown: Mapping[str, int] = MappingProxyType({})
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class Component(NamedTuple):
    """One of the sources that a mixture is made of.

    length: of its records.  weight: how often it is drawn beside the others; None = by its length.
    """

    name: str
    length: int
    weight: float | None = None


@runtime_checkable
class Source(Protocol):
    """A data set: any object with these members; nothing has to be inherited.

    Reading must be a pure function of the index and safe from several threads at once.

    name: for logs and reports.
    classes: names of the labels, () if unlabelled: those of the *training* split, in its order,
      whichever split this is. `data.source` hands them to what opens another split, which labels
      its records by name: a class that training lacks gives the label -1 and is in `account`.

    Some members are optional:
    where(index) -> str: names a record in reports (a path).
    encoded(index) -> bytes: the image as it lies on a disk or in a container, JPEG or another of
      `decoding.FORMATS`; of sources whose images are decoded.
    decoded_by(change) -> Source: the same records with images by another decoder, which may make
      them smaller; without what is said of them in pixels. Wrappers have it, too.
    evaluation_ratio: float, the share of the short side that an evaluation crop keeps
      (`crops.center_crop`; 0.875 where a source does not say).
    account: `Account`; without it every record has a label wherever there are classes.
    categories: names of the categories of pixels, which masks have the numbers of.
    object_names: names of the categories of objects, which `Sample.objects` has the numbers of; of
      a source without them these are its classes.
    image_counts: (C,) how many images show each of these categories; None = nobody can say.
    skeleton: `skeletons.Skeleton`, what the key points of a record are called.
    person(index) -> `person_files.Person`, what an evaluation asks of the person of a record.
    image_id(index) -> int: what `truth` calls the image of a record.
    truth() -> what an evaluation holds predictions against, of all of the split's files.
    repeats: (N,) float64, how often an epoch of training shows each record, 1 or more, in the mean;
      None, or no member: once.
    labels: (N,) integers, those of all records, where they are known without reading one;
      else None, or no member.
    on_disk: True where records are files, which may be broken; a small source of them is read
      through before a run.
    contents() -> dict[str, str]: digests of what the records hold, by "contents", and of when they
      were written, by "times"; for sources whose `fingerprint` does not look into them.
    read(index) -> Sample | None: of a source that replaces broken records (`robust`), the record
      itself or None.
    components: of a mixture, a tuple of `Component`, whose records follow each other.
    epoch_of: of a mixture, the component of whose records an epoch is one pass; "" = of all.
    """

    name: str
    classes: tuple[str, ...]

    def __len__(self) -> int:
        """Number of records."""

    def __getitem__(self, index: int) -> Sample:
        """The record with this number, 0 <= index < len(self)."""

    def captions(self) -> Iterable[str]:
        """`Sample.caption` of all records in order, without decoding an image."""

    def fingerprint(self) -> str:
        """A digest that changes whenever a record would."""


def read(source: Source, index: int) -> Sample | None:
    """Record `index` and no substitute; None where a source that forgives cannot read it."""
    return source.read(index) if hasattr(source, "read") else source[index]


def where(source: Source, index: int) -> str:
    """How reports name a record: as the source does, or by its number."""
    return source.where(index) if hasattr(source, "where") else f"record {index}"


def component_of(source: Source, index: int) -> range:
    """The records of the component that has this one; all of them where there are none."""
    first = 0
    for component in getattr(source, "components", ()):
        if index < first + component.length:
            return range(first, first + component.length)
        first += component.length
    return range(len(source))


def decoded_by(source: Source, change: Callable[[Decoder], Decoder]) -> Source:
    """The same records with their images decoded by `change` of the decoder; `source` itself where
    it decodes none."""
    return source.decoded_by(change) if hasattr(source, "decoded_by") else source


def account(source: Source) -> Account:
    """What a source says of its labels, or what the protocol says of one that is silent."""
    silent = Account(labelled=len(source) if source.classes else 0)
    return getattr(source, "account", silent)


def unlabelled(source: Source, *, split: str) -> str:
    """Why the records have no labels at all, as a sentence; "" where there are some."""
    if not source.classes:
        return f"the {split} split has no classes: it is not sorted into a folder for each"
    if not account(source).labelled:
        return f"no image of the {split} split has a label of {listed(source.classes)}"
    return ""


def require_labels(source: Source, *, split: str, what: str) -> None:
    """Refuses a split that a number about classes cannot be made of.

    Records without a label are fine as long as there are others: they do not count.

    Raises:
      ConfigError: it has a class that training lacks, or no label at all; what is to be done.
    """
    if unknown := account(source).unknown:
        names = sorted(unknown)
        hint = nearest(names[0], source.classes) if source.classes else ""
        raise ConfigError(
            f"{what} cannot count {sum(unknown.values())} images of the {split} split: training "
            f"has no class {listed(names)}{hint}"
        )
    if reason := unlabelled(source, split=split):
        raise ConfigError(f"{what} needs classes, but {reason}")
    if len(source.classes) == 1:
        raise ConfigError(
            f"{what} tells classes apart, but training has one only, {listed(source.classes)}"
        )


def listed(names: Iterable[str]) -> str:
    """'bird', 'cat', 'dog' and 7 more."""
    names = list(names)
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(f"'{name}'" for name in names[:SHOWN]) + rest
