"""The figures of a data set for a terminal of 80 columns."""

import textwrap
import unicodedata
from collections.abc import Iterator, Sequence

from m3i_jax.analysis.report.markup import clean
from m3i_jax.analysis.survey import wording
from m3i_jax.data.survey.figures import Figures, Split

WIDTH = 80
INDENT = 14  # columns in front of what is said
NAME = 24  # columns of the name of a class
MOST = 12  # classes that have a row each


def text(of: Figures, doubts: Sequence[str]) -> str:
    """All of it; names of files and classes are text, whatever they hold."""
    lines = [line for split in of.splits for line in _split(of, split)]
    if doubts:
        lines += ["", "To think about:"]
        lines += [line for doubt in doubts for line in _wrapped(doubt, first="* ", rest="  ")]
    return "\n".join(lines).lstrip("\n")


def _split(of: Figures, split: Split) -> Iterator[str]:
    yield ""
    said = f"{of.name}, {split.split}: {split.readable} of {split.looked_at} images can be read"
    yield from _wrapped(said)
    for name, fact in wording.facts(split, crop=of.crop):
        yield from _wrapped(fact, first=f"  {name:<{INDENT - 2}}", rest=" " * INDENT)
        if name == "classes":
            yield from _bars(split)


def _bars(split: Split) -> Iterator[str]:
    bars = wording.histogram(split.classes, most=MOST)
    most = max((bar.count for bar in bars), default=0)
    wide = max((len(bar.said) for bar in bars), default=0)
    room = WIDTH - INDENT - NAME - wide - 3
    for bar in bars if most else ():
        filled = "#" * max(round(room * bar.count / most), bar.count > 0)
        yield f"{'':{INDENT}}{fitted(bar.name, NAME)} {bar.said:>{wide}} {filled}".rstrip()


def fitted(name: str, width: int) -> str:
    """A name in so many columns, cut off or filled up; letters of East Asia take two."""
    shown, used = "", 0
    name = clean(name)
    for letter in name:
        wide = columns(letter)
        if used + wide > width - (len(shown) < len(name) - 1):
            shown, used = shown + "…", used + 1
            break
        shown, used = shown + letter, used + wide
    return shown + " " * (width - used)


def columns(said: str) -> int:
    """How many columns of a terminal a text takes."""
    return sum(
        0 if unicodedata.combining(x) else 2 if unicodedata.east_asian_width(x) in "WF" else 1
        for x in said
    )


def _wrapped(said: str, *, first: str = "", rest: str = "") -> list[str]:
    """Lines of at most `WIDTH` columns; a long path is broken where it has to be."""
    options = dict(initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)
    lines = textwrap.wrap(clean(said, most=600), WIDTH, **options)
    if all(columns(line) <= WIDTH for line in lines):
        return lines
    return textwrap.wrap(clean(said, most=600), WIDTH // 2 + len(rest) // 2, **options)
