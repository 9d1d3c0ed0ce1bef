"""The captions of a split in a file of their own, so that nobody reads images to collect them.

A line for each record, in order: a JSON list of its captions, in UTF-8.
"""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from m3i_jax import jsonfile, ordinary

MOST = 2**20 + 2**10  # bytes of a line: a record has its captions in a header of 2^20 at most


def lines(said: Iterable[Sequence[str]]) -> bytes:
    """What the file has of records with these captions."""
    texts = (json.dumps([*captions], ensure_ascii=False) for captions in said)
    return "".join(f"{text}\n" for text in texts).encode()


def read(place: Path, *, count: int) -> Iterator[str]:
    """Those of each of `count` records, as a `Sample` has them; "" of a line that is damaged.

    Raises:
      OSError: there is no such file.
    """
    with open(ordinary.opened(place, os.O_RDONLY), "rb") as file:
        for _ in range(count):
            yield _joined(file.readline(MOST))


def _joined(line: bytes) -> str:
    try:
        said = jsonfile.parse(line)
    except ValueError:
        return ""
    whole = isinstance(said, list) and all(isinstance(text, str) for text in said)
    return "\n".join(said) if whole else ""
