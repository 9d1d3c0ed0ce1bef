"""Figures of a data set as words, the same in a terminal and on a page."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from m3i_jax.data.survey.captioned import Captioned
from m3i_jax.data.survey.duplicates import Duplicates
from m3i_jax.data.survey.figures import Split
from m3i_jax.data.survey.spans import Span

WORDS = 12  # of captions that are named
BINS = 8  # rows of a histogram
UNITS = ("bytes", "kB", "MB", "GB", "TB")


class Bar(NamedTuple):
    """A row of a histogram: what it is of, how much, and in words how much."""

    name: str
    count: int
    said: str


def facts(of: Split, *, crop: int) -> Iterator[tuple[str, str]]:
    """(what, how it is) of a split, what there is none of left out."""
    if of.looked_at < of.records:
        yield "looked at", f"{many(of.looked_at, 'record')}, evenly spread over {of.records}"
    if of.broken:
        yield "broken", f"{len(of.broken)}, such as: {of.broken[0].reason}"
    if of.left_out:
        yield "in part", f"{len(of.left_out)}, such as: {of.left_out[0].reason}"
    yield "classes", _classes(of)
    yield "size", _sizes(of)
    yield "megapixels", _span(of.megapixels, digits=3)
    share = of.smaller / max(of.readable, 1)
    small = f"{many(of.smaller, 'image')} ({share:.0%})"
    yield f"below {crop}", f"{small} with a side that is shorter than the crop"
    yield "formats", counts(of.formats)
    yield "colours", counts(of.modes)
    least, middle, most = map(bytes_said, of.file)
    yield "bytes", f"{bytes_said(of.bytes)} in all; an image {least} to {most}, median {middle}"
    if of.captions:
        yield from _captions(of.captions, of.readable)
    if of.duplicates.count:
        yield "twice", twice(of.duplicates)


def twice(of: Duplicates) -> str:
    """How many images are there before, and one of them."""
    one, other = of.pairs[0]
    return f"{of.count} with the pixels of one before: '{one}' is '{other}'"


def counts(of: Mapping[str, int]) -> str:
    """Such as "JPEG 8, PNG 2"."""
    return ", ".join(f"{name} {count}" for name, count in of.items()) or "none"


def many(count: int, what: str) -> str:
    """Such as "1 image", "2 images"."""
    return f"{count} {what}{'s' * (count != 1)}"


def bytes_said(count: float) -> str:
    """Such as "1.24 MB"."""
    power = 0
    while count >= 999.5 and power < len(UNITS) - 1:
        count, power = count / 1000, power + 1
    return f"{count:.3g} {UNITS[power]}"


def histogram(classes: Mapping[str, int], *, most: int) -> list[Bar]:
    """The images of each class; of more than `most` classes, how many have so many images."""
    ranked = sorted(classes.items(), key=lambda item: -item[1])
    if len(ranked) <= most:
        return [Bar(name, count, str(count)) for name, count in ranked]
    low, high = ranked[-1][1], ranked[0][1]
    width = -(-(high - low + 1) // BINS)
    bars = []
    for start in range(low, high + 1, width):
        stop = start + width - 1
        inside = sum(start <= count <= stop for _, count in ranked)
        name = f"{start} to {stop} images" if width > 1 else many(start, "image")
        bars.append(Bar(name, inside, f"{inside} class{'es' * (inside != 1)}"))
    return bars


def _classes(of: Split) -> str:
    if not of.classes:
        return f"none; {many(of.counted, 'image')} without a label"
    ranked = sorted(of.classes.items(), key=lambda item: item[1])
    (small, few), (large, most) = ranked[0], ranked[-1]
    middle = ranked[len(ranked) // 2][1]
    return (
        f"{len(of.classes)}, from {many(few, 'image')} ({small}) to {most} ({large}), median "
        f"{middle}; {of.labelled} with a label, {of.counted - of.labelled} without"
    )


def _sizes(of: Split) -> str:
    return f"width {_span(of.width)}; height {_span(of.height)}; short side {_span(of.short_side)}"


def _span(of: Span, *, digits: int = 6) -> str:
    if of.least == of.most:
        return f"{of.least:.{digits}g}"
    return f"{of.least:.{digits}g} to {of.most:.{digits}g}, median {of.median:.{digits}g}"


def _captions(of: Captioned, readable: int) -> Iterator[tuple[str, str]]:
    share = of.images / max(readable, 1)
    yield "captions", f"{of.captions}, of {of.images} of {many(readable, 'image')} ({share:.0%})"
    yield (
        "tokens",
        f"{_span(of.tokens)} in a caption, of which {of.length} are kept: {of.cut} cut off; "
        f"vocabulary of {of.vocabulary}",
    )
    unknown = f": {counts(dict(of.unknown_words[:WORDS]))}" if of.unknown else ""
    yield "unknown", f"{of.unknown} of {of.parts} tokens{unknown}"
    yield "words", counts(dict(of.words[:WORDS]))
