"""Image files with what other files say of their pixels: a mask, depth, key points."""

import copy
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from m3i_jax.data.sources import contents, gone, places, sample_objects
from m3i_jax.data.sources.annotations import Annotations, checked
from m3i_jax.data.sources.decoding import Decoder, bounded, reason, unreadable
from m3i_jax.data.sources.inside import Inside
from m3i_jax.data.sources.protocol import Account, Sample
from m3i_jax.data.sources.skeletons import Skeleton
from m3i_jax.types import Array


class Said(NamedTuple):
    """What files say of images.

    folder: around all of them, which names are shortened by.
    files: the image of each record; several records may be of one.
    read: (index) -> `Annotations` of a record, before it is known whether they fit its image; or,
      where they depend on its size, (height, width) -> those.
    beside: the files that `read` reads, for digests.   settings: what else decides what it gives.
    where: (index) -> more on a record than its image, for reports.
    """

    folder: Path | Inside
    files: Sequence[Path | Inside]
    read: Callable[[int], Annotations | Callable[[int, int], Annotations]]
    beside: Sequence[Path | Inside]
    settings: object = None
    where: Callable[[int], str] = lambda index: ""


class AnnotatedFiles:
    """A source of image files without labels; reading opens the files of one record.

    categories: see `Source`; () = it has no masks.   skeleton: the same; None = no key points.
    object_names: of objects, see `Source`.   image_ids: what the file calls each image.
    image_counts: of each category of objects, see `Source`; None = nobody can say.
    repeats: how often an epoch shows each record, see `Source`; None = once.
    people: of key points a `person_files.Person` for each record; `person` gives one.
    truth: () -> `person_files.Truth`, of key points; None = there are none.
    """

    on_disk = True
    classes: tuple[str, ...] = ()

    def __init__(
        self,
        name: str,
        said: Said,
        *,
        decode: Decoder,
        account: Account,
        categories: tuple[str, ...] = (),
        object_names: tuple[str, ...] = (),
        skeleton: Skeleton | None = None,
        people: Sequence[Any] = (),
        truth: Callable[[], Any] | None = None,
        image_ids: Sequence[int] = (),
        repeats: Array | None = None,
        image_counts: Sequence[int] | None = None,
    ):
        """Of files that were found; those that appear later are not seen."""
        self.name, self.account, self._said, self._decode = name, account, said, decode
        self.categories, self.skeleton, self._people = categories, skeleton, people
        self.truth, self.object_names = truth, object_names
        self._image_ids, self.repeats, self.image_counts = image_ids, repeats, image_counts

    def __len__(self) -> int:
        """Number of records."""
        return len(self._said.files)

    def __getitem__(self, index: int) -> Sample:
        """Reads and decodes the files of one record.

        Raises:
          ValueError: naming the record and what is wrong with its image or annotations.
          Gone: it is the folder that is not there any more.
        """
        try:
            image = self._decode(self.encoded(index))
            said, left_out = self._said.read(index), ""
            if callable(said):
                said = said(*image.shape[:2])
            if said.objects is not None:
                objects, left_out = sample_objects.inside(said.objects, *image.shape[:2])
                said = said._replace(objects=objects)
            said = checked(said, *image.shape[:2])
        except MemoryError:
            raise
        except Exception as error:  # whatever a disk or a decoder raises
            gone.require(self._said.folder)
            raise unreadable(self.where(index), error) from error
        return Sample(image, left_out=left_out, **said._asdict())

    def person(self, index: int) -> Any:
        """What is known of the person of a record, see `people`."""
        return self._people[index]

    def image_id(self, index: int) -> int:
        """The number that the file has for the image of a record."""
        return self._image_ids[index]

    def decoded_by(self, change: Callable[[Decoder], Decoder]) -> "AnnotatedFiles":
        """The same with another decoder, made of its own."""
        twin = copy.copy(self)
        twin._decode = change(self._decode)
        return twin

    def encoded(self, index: int) -> bytes:
        """The bytes of the image of a record."""
        return content(self._said.files[index])

    def captions(self) -> Iterator[str]:
        """There are none."""
        return ("" for _ in self._said.files)

    def fingerprint(self) -> str:
        """Digest of the paths and sizes of all files, and of the settings."""
        said = self.name, self._said.settings, self.categories, self.skeleton, len(self)
        said += (self.object_names,) * bool(self.object_names)
        digest = hashlib.sha256(repr(said).encode())
        for file in self._all():
            line = f"{file.relative_to(self._said.folder).as_posix()}\0{file.stat().st_size}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))
        return digest.hexdigest()[:16]

    def contents(self) -> dict[str, str]:
        """Digests of what is in the files, see `contents.looked_at`."""
        return contents.looked_at(self._all())

    def where(self, index: int) -> str:
        """The path of an image, and which record of it this is."""
        return f"{self._said.files[index]}{self._said.where(index)}"

    def _all(self) -> list[Path | Inside]:
        """Every file once, those of images first."""
        files = dict.fromkeys((*self._said.files, *self._said.beside))
        return [file for file in files if file.is_file()]


def content(file: Path | Inside) -> bytes:
    """The bytes of a file that may be an image.

    Raises:
      ValueError: it is larger than one may be, or nothing.
      OSError: it cannot be read.
    """
    bounded(file.stat().st_size)
    return places.content(file)


def said_by(file: Path | Inside, read: Callable[[bytes], Any]) -> Any:
    """What a file beside an image says.

    Raises:
      ValueError: naming the file and what is wrong with it.
    """
    try:
        return read(content(file))
    except (OSError, ValueError) as error:
        raise ValueError(f"'{file}': {reason(error)}") from error
