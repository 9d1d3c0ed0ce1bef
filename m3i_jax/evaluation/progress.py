"""What takes minutes says how far it is: at once, and then every few seconds."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from m3i_jax.training.log import duration

LOG = logging.getLogger(__name__)
T = TypeVar("T")


def ticker(
    what: str,
    *,
    total: int,
    every: float = 5.0,
    clock: Callable[[], float] = time.monotonic,
) -> Callable[..., None]:
    """tick(done, detail=""): a line in the log, unless there was one less than `every` seconds ago.

    Such as "linear probe: strength 3 of 7, about 40s left: l2 0.01, iteration 120".
    """
    start, said = clock(), [-float("inf")]

    def tick(done: int, detail: str = "") -> None:
        now = clock()
        if now - said[0] < every:
            return
        said[0] = now
        left = (now - start) / done * (total - done) if done else None
        eta = f", about {duration(left)} left" if left is not None else ""
        at = min(done + 1, total)
        LOG.info("%s %d of %d%s%s", what, at, total, eta, f": {detail}" if detail else "")

    return tick


def counted(items: Iterable[T], what: str, *, total: int, **how) -> Iterator[T]:
    """The same items, with a line in the log now and then."""
    tick = ticker(what, total=total, **how)
    for done, item in enumerate(items):
        tick(done)
        yield item
