"""Captions of a split: how many images have one, how long they are, what a tokenizer lacks."""

import collections
import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from m3i_jax.data.captions import Captions
from m3i_jax.data.survey.spans import Span, span

SHOWN = 30  # words that are named
WORD = re.compile(r"\w+(?:['’]\w+)*")


class Captioned(NamedTuple):
    """Figures of captions.

    images: that have one or more.   captions: all of them.
    tokens: of a caption, with the special ones, before it is cut.   length: tokens that are kept.
    cut: captions that are longer.   vocabulary: of the tokenizer.
    unknown: tokens that the tokenizer does not know, of `parts` in all; unknown_words: the most
      frequent of them.   words: the most frequent ones, in lower case.
    """

    images: int
    captions: int
    tokens: Span
    length: int
    cut: int
    vocabulary: int
    parts: int
    unknown: int
    unknown_words: tuple[tuple[str, int], ...]
    words: tuple[tuple[str, int], ...]


def captioned(captions: Iterable[tuple[str, ...]], tokenizer: Captions) -> Captioned:
    """Figures of the captions of images, of which some may have none or several."""
    images, lengths = 0, []
    words: collections.Counter = collections.Counter()
    unknown: collections.Counter = collections.Counter()
    parts = 0
    for own in captions:
        images += bool(own)
        for caption in own:
            words.update(WORD.findall(caption.lower()))
            own = tokenizer.parts(caption)
            parts += len(own)
            unknown.update(letters.lower() for letters, known in own if not known)
            lengths.append(len(own) + tokenizer.specials * bool(own))
    return Captioned(
        images=images,
        captions=len(lengths),
        tokens=span(lengths),
        length=tokenizer.length,
        cut=int((np.array(lengths) > tokenizer.length).sum()),
        vocabulary=tokenizer.vocabulary,
        parts=parts,
        unknown=unknown.total(),
        unknown_words=_frequent(unknown),
        words=_frequent(words),
    )


def _frequent(counted: collections.Counter) -> tuple[tuple[str, int], ...]:
    """The most frequent words, ties in the order of their letters."""
    return tuple(sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:SHOWN])
