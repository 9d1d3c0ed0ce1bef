"""The figures of a data set: what was looked at, counted."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from m3i_jax.data.captions import Captions
from m3i_jax.data.survey import duplicates
from m3i_jax.data.survey.captioned import Captioned, captioned
from m3i_jax.data.survey.duplicates import Duplicates, where
from m3i_jax.data.survey.spans import Span, span
from m3i_jax.data.survey.split import Looked


class Fault(NamedTuple):
    """A record that cannot be read, or not all of it, and why."""

    index: int
    record: str
    reason: str


class Split(NamedTuple):
    """Figures of a split.

    records: in it.   looked_at: of them, of which is all that follows but classes.
    broken, left_out: records that cannot be read, and those of which a part cannot.
    labelled: with a label.   counted: records that were asked for one, broken ones too where the
      source knows labels without reading.   classes: name -> records.
    height, width, short_side, megapixels: of the images.   smaller: images whose short side is
      shorter than the crop.   formats, modes: how many of each.   bytes: of all.   file: bytes of
      one.   several: files with frames behind the one that is read.   captions: None where there
      are none.
    """

    split: str
    records: int
    looked_at: int
    readable: int
    broken: tuple[Fault, ...]
    left_out: tuple[Fault, ...]
    labelled: int
    counted: int
    classes: dict[str, int]
    height: Span
    width: Span
    short_side: Span
    megapixels: Span
    smaller: int
    formats: dict[str, int]
    modes: dict[str, int]
    bytes: int
    file: Span
    duplicates: Duplicates
    several: int
    captions: Captioned | None


class Figures(NamedTuple):
    """Figures of a data set.

    crop: side of the views in pixels.   shared: images of the test split that training has, too;
      None where one of the two is not there.
    """

    name: str
    crop: int
    splits: tuple[Split, ...]
    shared: Duplicates | None


def figures(
    name: str, splits: Sequence[Looked], *, crop: int, tokenizer: Captions | None = None
) -> Figures:
    """Counts what was looked at.

    crop: side of the views of a run.   tokenizer: of its captions; None where there are none.
    """
    own = tuple(_split(one, crop, tokenizer) for one in splits)
    return Figures(name, crop, own, duplicates.across(*splits) if len(splits) == 2 else None)


def to_dict(record: Any) -> Any:
    """Records as objects of JSON, each field by its name."""
    if hasattr(record, "_asdict"):
        return {name: to_dict(value) for name, value in record._asdict().items()}
    if isinstance(record, dict):
        return {name: to_dict(value) for name, value in record.items()}
    return [to_dict(value) for value in record] if isinstance(record, tuple | list) else record


def _split(of: Looked, crop: int, tokenizer: Captions | None) -> Split:
    labels = _labels(of)
    classes = of.source.classes
    counts = np.bincount(labels[labels >= 0], minlength=len(classes))
    short = np.minimum(of.heights, of.widths)
    return Split(
        split=of.split,
        records=len(of.source),
        looked_at=of.count,
        readable=len(of.indices),
        broken=_faults(of, of.broken),
        left_out=_faults(of, of.left_out),
        labelled=int((labels >= 0).sum()),
        counted=len(labels),
        classes={name: int(count) for name, count in zip(classes, counts, strict=False)},
        height=span(of.heights),
        width=span(of.widths),
        short_side=span(short),
        megapixels=span(of.heights * of.widths / 1e6),
        smaller=int((short < crop).sum()),
        formats=dict(of.formats.most_common()),
        modes=dict(of.modes.most_common()),
        bytes=int(of.sizes.sum()),
        file=span(of.sizes),
        duplicates=duplicates.within(of),
        several=len(of.several),
        captions=captioned(of.captions, tokenizer) if tokenizer else None,
    )


def _labels(of: Looked) -> np.ndarray:
    """Those of all records where the source knows them; of those that were read otherwise."""
    labels = getattr(of.source, "labels", None)
    return of.labels if labels is None else np.asarray(labels)


def _faults(of: Looked, reasons: dict[int, str]) -> tuple[Fault, ...]:
    return tuple(Fault(i, where(of.source, i), why) for i, why in sorted(reasons.items()))
