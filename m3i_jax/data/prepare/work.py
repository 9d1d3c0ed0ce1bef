"""What is made of what: sources, a folder, settings; and all that decides the bytes of the copy."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image, features

from m3i_jax.data.prepare.parts import Part, parts
from m3i_jax.data.prepare.rows import Row, row
from m3i_jax.data.sources.protocol import Source
from m3i_jax.data.sources.skeletons import Skeleton

ARRAY_RECORD, TAR, FOLDER = "array_record", "tar", "folder"
FORMATS = (ARRAY_RECORD, TAR, FOLDER)
STRETCH = 1000  # records of a part of a folder
RECORDS = 10_000  # of a shard: some minutes of work, which a kill may lose
VERSION = 1  # count up whenever the same settings give other bytes


class Settings(NamedTuple):
    """How a copy is made.

    size: short side in pixels that larger images get; 0 resizes none.   quality: of their JPEG.
    shards: of the training split, 0 = one for each `RECORDS`; those of another one are as long.
    format: one of `FORMATS`.   seed: of a shuffled order; None = that of the source.
    """

    size: int = 256
    quality: int = 95
    shards: int = 0
    format: str = ARRAY_RECORD
    seed: int | None = None


class Work(NamedTuple):
    """Sources by split, "train" and perhaps "test", and the folder of their copy.

    root: what names of records begin with, and lose.
    """

    sources: Mapping[str, Source]
    folder: Path
    settings: Settings
    root: str = ""

    @property
    def named(self) -> tuple[tuple[str, ...], Skeleton | None, tuple[str, ...]]:
        """What the categories of masks, key points and categories of objects are called, see
        `Source`."""
        train = self.sources["train"]
        categories, objects = (
            tuple(getattr(train, name, ())) for name in ("categories", "object_names")
        )
        return categories, getattr(train, "skeleton", None), objects

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of training, which labels of all splits are numbers of."""
        return tuple(self.sources["train"].classes)

    def parts(self) -> list[Part]:
        """All parts of all splits, in their order."""
        settings, train, cut = self.settings, len(self.sources["train"]), []
        shards = settings.shards or -(-train // RECORDS)
        for split, source in self.sources.items():
            in_folder = settings.format == FOLDER
            count = len(source) / STRETCH if in_folder else shards * len(source) / train
            cut += parts(split, source, count=math.ceil(count), seed=settings.seed)
        return cut

    def row(self, source: Source, index: int) -> Row:
        """What is written of a record."""
        size, quality = self.settings.size, self.settings.quality
        return row(source, index, size=size, quality=quality, root=self.root)

    def made(self) -> dict[str, Any]:
        """All that decides the bytes, as plain JSON data."""
        sources = {
            split: {
                "name": source.name,
                "records": len(source),
                "fingerprint": source.fingerprint(),
                "contents": getattr(source, "contents", dict)().get("contents", ""),
            }
            for split, source in self.sources.items()
        }
        coders = {"pillow": Image.__version__, "jpeg": features.version("jpg") or ""}
        return {"version": VERSION, **self.settings._asdict(), **coders, "sources": sources}
