"""Images with boxes or polygons in YOLO's text files, one beside each image."""

import functools
import re
from collections.abc import Sequence
from pathlib import Path

from m3i_jax.build import ConfigError
from m3i_jax.data.sources import folder_tree, paired_folders, urls, yolo_files
from m3i_jax.data.sources.annotated_files import AnnotatedFiles, Said, said_by
from m3i_jax.data.sources.annotations import NONE, Annotations
from m3i_jax.data.sources.decoding import MAX_PIXELS, Decoder, decoder
from m3i_jax.data.sources.protocol import Account, listed
from m3i_jax.data.sources.texts import encoding
from m3i_jax.ranges import Count
from m3i_jax.texts import Filled

LABELS = re.compile(r"labels?")
BLANK = 64  # bytes of a file that are looked at before one says that it has no object


def yolo(
    root: Filled,
    *,
    split: str | None = None,
    classes: Sequence[str] | None = None,
    names: Filled | None = None,
    empty: bool = False,
    max_pixels: Count = MAX_PIXELS,
    decode: Decoder | None = None,
) -> AnnotatedFiles:
    """Images with the objects of text files of the same names, in YOLO's form (`yolo_files`).

    `images/` and `labels/` in a folder, with splits in them or around them; beside them a
    `data.yaml` or a `classes.txt` that names the categories. An image without a file has no object.
    A file with a line that is none is a record that cannot be read. Photographs are turned upright
    by their EXIF tag, as they are where such files are made.

    Args:
      root: the folder.
      split: "train" or "test", of which val stands in for the latter where there is no test.
      classes: of the training split; images have no labels.
      names: a file of names of the categories; None = the only one in the folder.
      empty: whether training has images without a file, or with an empty one, too. The test split
        has all images.
      max_pixels: larger images are refused from their header.
      decode: bytes -> (H, W, 3) uint8, in place of `decoding.decode_image`.

    Raises:
      NoSplit: there is no such split.
      ConfigError: folders, images or names are missing.
    """
    place, split = Path(urls.local(root)).expanduser(), split or "train"
    images, labels = paired_folders.halves(place, split, LABELS, what="label")
    object_names = yolo_files.names(place, names and urls.local(names))
    files, beside, notes = _paired(images, labels)
    if split == "train" and not empty:
        kept = [n for n, file in enumerate(beside) if file and not _blank(file)]
        if len(kept) < len(files):
            more = f"{len(kept)} images; left out {len(files) - len(kept)} without an object"
            notes += (f"{more}, which data.empty=True takes, too",)
        files, beside = [files[n] for n in kept], [beside[n] for n in kept]
    if not files:
        raise ConfigError(
            f"no image in '{images}' has a label of its name in '{labels}', or with an object"
        )
    count = len(object_names)
    said = Said(
        place,
        files,
        lambda index: functools.partial(_said, beside[index], count),
        [file for file in beside if file],
        settings=[empty] if empty else None,
    )
    return AnnotatedFiles(
        "yolo",
        said,
        decode=decoder(decode, orientation=True, max_pixels=max_pixels),
        account=Account(0, notes=notes),
        object_names=object_names,
    )


def _paired(images: Path, labels: Path) -> tuple[list[Path], list[Path | None], tuple[str, ...]]:
    """All images, the file of each or None, and sentences on what has no other half."""
    files = folder_tree.below(images)
    wanted = [labels / file.relative_to(images).with_suffix(".txt") for file in files]
    there = {*labels.rglob("*.txt")}
    beside = [file if file in there else None for file in wanted]
    bare = [str(file) for file, own in zip(files, beside, strict=True) if own is None]
    alone = sorted(map(str, there - {*wanted}))
    said = (
        f"{len(bare)} images have no file of labels, so no objects: {listed(bare)}" * bool(bare),
        f"left out {len(alone)} files of labels without an image: {listed(alone)}" * bool(alone),
    )
    return files, beside, tuple(filter(None, said))


def _blank(file: Path) -> bool:
    """Whether a file of labels has no line."""
    size = file.stat().st_size
    return not size or (size <= BLANK and not file.read_bytes().strip())


def _said(file: Path | None, count: int, height: int, width: int) -> Annotations:
    """What the file of an image says."""
    if file is None or _blank(file):
        return NONE._replace(objects=yolo_files.label("", count, height, width))
    read = lambda data: yolo_files.label(  # noqa: E731
        data.decode(encoding(data)).replace("\ufeff", ""), count, height, width
    )
    return NONE._replace(objects=said_by(file, read))
