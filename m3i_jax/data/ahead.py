"""Results of several threads in the order in which they were asked for."""

import collections
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from typing import TypeVar

AHEAD = 8  # results that wait, as each may be a large image
Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


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
