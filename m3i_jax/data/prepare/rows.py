"""A record of a source as it is written into a prepared copy, or why it is left out."""

from typing import NamedTuple

from m3i_jax.data.prepare.image import made
from m3i_jax.data.sources.annotations import Annotations
from m3i_jax.data.sources.gone import Gone
from m3i_jax.data.sources.protocol import Source
from m3i_jax.data.sources.record import Record
from m3i_jax.data.views.annotated import resized


class Row(NamedTuple):
    """What becomes of record `index`.

    record: None where it cannot be read, and `broken` says why.   copied: whether its image has the
    bytes that it has in the source.   left_out: what of it could not be read.
    """

    index: int
    name: str
    record: Record | None = None
    copied: bool = False
    broken: str = ""
    left_out: str = ""


def row(source: Source, index: int, *, size: int, quality: int, root: str = "") -> Row:
    """Reads record `index`, resizes it where that is needed; safe from several threads.

    size, quality: as `image.made` has them.   root: what names of records begin with, and lose.

    Raises:
      MemoryError, Gone: which say something of the machine or of all records, not of this one.
    """
    name = source.where(index) if hasattr(source, "where") else f"record {index}"
    name = name.removeprefix(root).lstrip("/")
    try:
        sample = source[index]
        file = source.encoded(index) if hasattr(source, "encoded") else None
        image = made(sample.image, file, size=size, quality=quality)
    except (MemoryError, Gone):
        raise
    except Exception as error:  # noqa: BLE001, whatever a disk or a decoder raises
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        return Row(index, name, broken=f"{kind}{error}")
    said = Annotations(*(getattr(sample, name) for name in Annotations._fields))
    said = resized(said, sample.image.shape[:2], image.frame)
    record = Record(image.data, int(sample.label), sample.captions, name, said)
    return Row(index, name, record, image.copied, left_out=sample.left_out)
