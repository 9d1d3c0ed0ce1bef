"""All records of a split looked at, or some that are spread over it; kept in columns."""

import collections
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from m3i_jax.data.ahead import ahead
from m3i_jax.data.sources.protocol import Source
from m3i_jax.data.sources.subset import places
from m3i_jax.data.survey.look import DIGEST, Look, look
from m3i_jax.types import Array

Tick = Callable[[int], None]


class Looked(NamedTuple):
    """The records of a split that were looked at, in their order.

    source, split: what they are of.   broken, left_out: index -> why.
    indices, labels, heights, widths, sizes, digests: (N,), of those that can be read.
    formats, modes: how many there are of each.   captions: of each that can be read.
    several: indices of those whose file has frames behind the one that is read.
    """

    source: Source
    split: str
    broken: dict[int, str]
    left_out: dict[int, str]
    indices: Array
    labels: Array
    heights: Array
    widths: Array
    sizes: Array
    digests: Array
    formats: collections.Counter
    modes: collections.Counter
    captions: list[tuple[str, ...]]
    several: list[int]

    @property
    def count(self) -> int:
        """How many were looked at, broken ones included."""
        return len(self.indices) + len(self.broken)


def looked_at(
    source: Source, split: str, *, limit: int = 0, threads: int = 2, tick: Tick = lambda done: None
) -> Looked:
    """Looks at `limit` records, evenly spread, or at all; in `threads` threads.

    tick: is told how many are done.
    """
    chosen = places(len(source), limit or len(source)).tolist()
    table = Looked(source, split, {}, {}, *([] for _ in range(6)), *_counters(), [], [])
    with ThreadPoolExecutor(threads, thread_name_prefix="m3i-survey") as pool:
        for done, one in enumerate(ahead(pool, lambda index: look(source, index), chosen)):
            tick(done)
            _add(table, one)
    whole = lambda column: np.array(column, np.int64)  # noqa: E731
    return table._replace(
        indices=whole(table.indices),
        labels=whole(table.labels),
        heights=whole(table.heights),
        widths=whole(table.widths),
        sizes=whole(table.sizes),
        digests=np.frombuffer(b"".join(table.digests), f"S{DIGEST}"),
    )


def _counters() -> tuple[collections.Counter, collections.Counter]:
    return collections.Counter(), collections.Counter()


def _add(table: Looked, one: Look) -> None:
    if one.broken:
        table.broken[one.index] = one.broken
        return
    if one.left_out:
        table.left_out[one.index] = one.left_out
    table.indices.append(one.index)
    table.labels.append(one.label)
    table.heights.append(one.height)
    table.widths.append(one.width)
    table.sizes.append(one.size)
    table.digests.append(one.digest)
    table.formats[one.format] += 1
    table.modes[one.mode] += 1
    table.captions.append(one.captions)
    if one.several:
        table.several.append(one.index)
