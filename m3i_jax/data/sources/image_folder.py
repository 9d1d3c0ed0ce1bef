"""Any folder of images: with a subfolder per class, or flat and unlabelled.

Nothing about a file is believed but its content, see `decoding`.
"""

import copy
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

from m3i_jax.data.sources import caption_files, contents, gone, places
from m3i_jax.data.sources.decoding import (
    MAX_BYTES,
    MAX_PIXELS,
    Decoder,
    bounded,
    decoder,
    unreadable,
)
from m3i_jax.data.sources.folder_labels import FOLDERS, LABELS, Labelled, look
from m3i_jax.data.sources.inside import Inside
from m3i_jax.data.sources.protocol import Sample
from m3i_jax.ranges import Count
from m3i_jax.texts import Filled, OneOf

SEEN_BYTES = 256 * 2**20  # of a folder whose contents are all looked at for a fingerprint
SEEN_FILES = 512  # of a larger one


def image_folder(
    root: Filled,
    *,
    split: str | None = None,
    classes: Sequence[str] | None = None,
    labels: Annotated[str, OneOf(*LABELS)] = FOLDERS,
    captions: bool = True,
    orientation: bool = False,
    max_pixels: Count = MAX_PIXELS,
    decode: Decoder | None = None,
) -> "ImageFolder":
    """Images below a folder, sorted by path.

    `root/CLASS/**/NAME.jpg` gives labelled images, the classes in alphabetical order;
    `root/NAME.jpg` unlabelled ones. Regular files with an image suffix are taken, also through
    links; what is hidden or a system's own (`@eaDir`, `lost+found`, ...) is left out and counted.

    Args:
      root: the folder, a zip file of one, or a folder in a zip file (`FILE.zip/FOLDER`); or a URL.
      split: "train" or "test": a folder in `root` whose name says so (train, Training, train2017;
        test, val, validation_set, ...). Where `root` has none it is the training split itself.
      classes: of the training split, which another split is labelled with by name; None looks
        for them there. A flat test split may have a list of labels (`data.sources.ilsvrc`).
      labels: "folders" gives every image the class of its folder, and refuses images beside such
        folders; to "some" these have none; to "none" no image has one, and nothing is a split.
      captions: reads the captions of NAME.jpg from NAME.txt beside it (or another of the files of
        `data.sources.caption_files`), one a line: UTF-8 or what a byte-order mark says, 4096 bytes
        at most. Lines that cannot be read are left out, and the record says so. Without such a file
        from metadata.csv or metadata.jsonl (`data.sources.metadata`), which give classes, too, to
        a flat folder.
      orientation: turns photographs upright by their EXIF tag. Off, as in the reference pipelines.
      max_pixels: larger images are refused from their header.
      decode: bytes -> (H, W, 3) uint8, in place of `decoding.decode_image`.

    Raises:
      ConfigError: the folder is missing, holds no images, or leaves open which are meant.
    """
    place = places.place(root)
    labelled = _with(look(place, split, classes=classes, captions=captions, labels=labels), place)
    decode = decoder(decode, orientation=orientation, max_pixels=max_pixels)
    return ImageFolder(labelled, captions=captions, decode=decode)


def _with(labelled: Labelled, place: Path | Inside) -> Labelled:
    """A split, of which its account says what was left out of a zip, too."""
    if not isinstance(place, Inside) or not place.archive.left_out:
        return labelled
    kinds = ", ".join(f"{count} {kind}" for kind, count in place.archive.left_out.most_common())
    notes = (*labelled.account.notes, f"left out of '{place.archive.path}': {kinds}")
    return labelled._replace(account=labelled.account._replace(notes=notes))


class ImageFolder:
    """A source of image files; see `image_folder`. Reading opens one file and keeps nothing."""

    name = "image_folder"
    on_disk = True

    def __init__(self, labelled: Labelled, *, captions: bool, decode: Decoder):
        """Of the files that were found; those that appear later are not seen."""
        self.folder, self.classes, self.labels = labelled.folder, labelled.classes, labelled.labels
        self._files, self.account = labelled.files, labelled.account
        self._texts, self._captions, self._decode = labelled.texts, captions, decode
        self._said, self._metadata = labelled.captions, labelled.metadata

    def __len__(self) -> int:
        """Number of image files."""
        return len(self._files)

    def __getitem__(self, index: int) -> Sample:
        """Reads and decodes one file.

        Raises:
          ValueError: naming the file and what is wrong with it, whatever the decoder raised.
          Gone: it is the folder that is not there any more.
        """
        file = self._files[index]
        try:
            image = self._decode(self.encoded(index))
        except MemoryError:
            raise
        except Exception as error:  # whatever a disk or a decoder raises
            gone.require(self.folder)
            raise unreadable(str(file), error) from error
        caption, left_out = self._caption(file)
        return Sample(image, int(self.labels[index]), caption, left_out=left_out)

    def decoded_by(self, change: Callable[[Decoder], Decoder]) -> "ImageFolder":
        """The same with another decoder, made of its own."""
        twin = copy.copy(self)
        twin._decode = change(self._decode)
        return twin

    def encoded(self, index: int) -> bytes:
        """The bytes of one file."""
        bounded(self._files[index].stat().st_size)
        return self._files[index].read_bytes()

    def captions(self) -> Iterator[str]:
        """All captions in order; no image is opened."""
        return (self._caption(file)[0] for file in self._files)

    def fingerprint(self) -> str:
        """Digest of the paths and sizes of all files and their captions, and of metadata."""
        digest = hashlib.sha256(f"captions {self._captions}".encode())
        for file in self._files:
            line = f"{file.relative_to(self.folder).as_posix()}\0{file.stat().st_size}\n"
            digest.update(line.encode("utf-8", "surrogateescape"))
            if text := self._texts.get(file):
                digest.update(f"caption {text.stat().st_size}\n".encode())
        for file in self._metadata:
            digest.update(_digest(file))
        return digest.hexdigest()[:16]

    def contents(self) -> dict[str, str]:
        """Digests of the files and captions: of their bytes, and of when they were written.

        Bytes of all of them where they are `SEEN_BYTES` at most, of `SEEN_FILES` evenly spread
        otherwise, or their tags, where a store has such; times of all.
        """
        stats = [(file, file.stat()) for file in self._read()]
        times, digest = hashlib.sha256(), hashlib.sha256()
        for _, stat in stats:
            times.update(f"{stat.st_mtime_ns}\n".encode())
        whole = sum(stat.st_size for _, stat in stats) <= SEEN_BYTES
        step = 1 if whole else -(-len(stats) // SEEN_FILES)
        for file, stat in stats[::step]:
            if tag := contents.tag(stat):
                digest.update(tag.encode())
            elif stat.st_size <= MAX_BYTES:  # a larger one is not read for training either
                digest.update(_digest(file))
        return {"contents": digest.hexdigest()[:16], "times": times.hexdigest()[:16]}

    def _read(self) -> Iterator[Path]:
        """The images, each with its captions behind it."""
        for file in self._files:
            yield file
            if text := self._texts.get(file):
                yield text

    def where(self, index: int) -> str:
        """The path of a record."""
        return str(self._files[index])

    def _caption(self, file: Path) -> tuple[str, str]:
        """The captions of an image, one a line, and what of them was left out."""
        text = self._texts.get(file)
        return caption_files.read(text) if text else (self._said.get(file, ""), "")


def _digest(file: Path) -> bytes:
    """Of a file's bytes; what cannot be read is left to what reads it as a record."""
    try:
        return hashlib.sha256(file.read_bytes()).digest()
    except (OSError, ValueError):  # of a disk, or of a zip
        return bytes(32)
