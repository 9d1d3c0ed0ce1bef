"""What a text of a config may be, said where its default stands; `build.check` holds configs to it.

    path: Filled
    branch: Annotated[str, OneOf("ema", "online")] = "ema"
    freeze: Pattern | None = None

Patterns are those of `re`, which goes back and tries again, of some as often as 2^length. Here each
of them is refused unless its ways through a path can be counted, and are few.
"""

import re
from collections.abc import Sequence
from itertools import zip_longest
from re import _constants as ops  # as `sre_parse` is called since Python 3.11
from re import _parser as parser
from typing import Annotated, Any

from m3i_jax.spelling import likeliest

SHOWN = 8  # words in a sentence
LONGEST = 1000  # letters of a pattern
REACH, STOPS = 100, 10  # letters in a path; and how many of them end an open repeat, if one can
MOST = 10**5  # ways through a path that a pattern may have
REPEATS = (ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT)
# Of towers, decoders and methods: parts of paths, in which blocks and stages mean something.
NAME = re.compile(r"(?!(blocks?|stages?)_?\d*$)[A-Za-z0-9_-]{1,64}")
NAMES = "up to 64 letters, digits, '_' and '-', and neither 'blocks' nor 'stages'"


class OneOf:
    """One of several words."""

    def __init__(self, *words: str):
        """words: all that there are."""
        self.words = words

    def __str__(self) -> str:
        """All of them."""
        return f"one of {', '.join(word or repr('') for word in self.words)}"

    def holds(self, text: str) -> bool:
        """Whether it is one of them."""
        return text in self.words

    def expected(self, text: str) -> str:
        """The end of a sentence about another one."""
        meant = likeliest(text, self.words)
        more = ", …" if len(self.words) > SHOWN else ""
        hint = f"; did you mean '{meant}'?" if meant else ""
        return f"{OneOf(*self.words[:SHOWN])}{more}{hint}"


class SomeOf(OneOf):
    """One of several words, or some of them with commas between them."""

    def holds(self, text: str) -> bool:
        """Whether all of them are."""
        return not self._wrong(text)

    def expected(self, text: str) -> str:
        """The end of a sentence about a text in which a word is another, the first such word."""
        return super().expected(self._wrong(text)[0])

    def _wrong(self, text: str) -> list[str]:
        return [word for word in split(text) if word not in self.words] if text.strip() else [""]


def split(words: str | Sequence[str]) -> tuple[str, ...]:
    """The words of a text with commas between them; of a list, the words in it."""
    parts = words.split(",") if isinstance(words, str) else words
    return tuple(part.strip() for part in parts)


class NotEmpty:
    """A text with something to see in it."""

    def __str__(self) -> str:
        """What it is."""
        return "text"

    def holds(self, text: str) -> bool:
        """Whether there is."""
        return bool(text.strip())

    def expected(self, text: str) -> str:
        """The end of a sentence about one without."""
        return "a text that is not empty"


class Expression:
    """A regular expression that is matched in no time."""

    def __init__(self, *, empty: bool = False):
        """empty: whether it may be left out by an empty text."""
        self.empty = empty

    def __str__(self) -> str:
        """What it is."""
        return "a pattern, or an empty text" if self.empty else "a pattern"

    def holds(self, text: str) -> bool:
        """Whether it is one."""
        return not (wrong(text) if text else not self.empty)

    def expected(self, text: str) -> str:
        """The end of a sentence about one that is none."""
        return f"a pattern: {wrong(text) or 'an empty one matches everything'}"


Filled = Annotated[str, NotEmpty()]
Pattern = Annotated[str, Expression()]
PatternOrNone = Annotated[str, Expression(empty=True)]


def wrong(pattern: str) -> str:
    """What keeps a regular expression from being matched in no time, as a sentence; or ""."""
    if len(pattern) > LONGEST:
        return f"this one is longer than {LONGEST} letters"
    try:
        re.compile(pattern)
        ways = _ways(list(parser.parse(pattern)))
    except (re.error, OverflowError, RecursionError) as error:
        return f"{pattern!r} is not a pattern, {error}"
    if ways > MOST:
        return "it repeats what is a repeat or a choice itself, or has too many open repeats"
    return ""


def _ways(items: Sequence[tuple[Any, Any]]) -> float:
    """How many ways a pattern, as parsed, has through a path, at most and about."""
    ways = 1.0
    for (kind, inside), behind in zip_longest(items, items[1:]):
        if kind in REPEATS:
            ways *= _repeats(*inside, behind)
        elif kind is ops.BRANCH:
            ways *= sum(_ways(list(choice)) for choice in inside[1])
        elif kind is ops.SUBPATTERN:
            ways *= _ways(list(inside[-1]))
        elif kind in (ops.ASSERT, ops.ASSERT_NOT):
            ways *= _ways(list(inside[1]))
        elif kind is ops.ATOMIC_GROUP:
            ways *= _ways(list(inside))
        elif kind is ops.GROUPREF_EXISTS:
            ways *= sum(_ways(list(choice)) for choice in inside[1:] if choice)
    return ways


def _repeats(least: int, most: int, inside: Any, behind: Any) -> float:
    """Ways of a repeat; an open one ends anywhere, or at few places if a letter follows it."""
    once = _ways(list(inside))
    if most == 1:
        return once + (least == 0)
    if once > 1 or most is not ops.MAXREPEAT and most > REACH:
        return float("inf")
    if least == most:
        return 1.0
    return STOPS if behind is None or behind[0] in (ops.LITERAL, ops.AT) else REACH
