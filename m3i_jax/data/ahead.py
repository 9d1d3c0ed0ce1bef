"""Results of several threads in the order in which they were asked for, and how many can be."""

import collections
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from typing import TypeVar

AHEAD = 8  # results that wait, as each may be a large image
Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


def cores() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):  # which macOS lacks
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def ahead(
    pool: Executor, call: Callable[[Asked], Answer], values: Iterable[Asked], *, most: int = AHEAD
) -> Iterator[Answer]:
    """call(value) of each value in order, made by a pool; `most` of them wait at once.

    What `call` raises is raised where its result would be, and what was asked for beyond is
    forgotten, as it is where the iterator is closed.
    """
    waiting: collections.deque = collections.deque()
    try:
        for value in values:
            waiting.append(pool.submit(call, value))
            if len(waiting) > most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
