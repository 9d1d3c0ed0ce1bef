"""What takes minutes says how far it is: at once, and then every few seconds."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from m3i_jax.training.progress import duration

LOG = logging.getLogger(__name__)
T = TypeVar("T")


def ticker(
    what: str,
    *,
    total: int,
    every: float = 5.0,
    first: int = 0,
    clock: Callable[[], float] = time.monotonic,
    say: Callable[..., None] = LOG.info,
) -> Callable[..., None]:
    """tick(done, detail=""): a line in the log, unless there was one less than `every` seconds ago.

    Such as "linear probe: strength 3 of 7, about 40s left: l2 0.01, iteration 120".
    first: how many were done before it began.
    say: writes a line, of a format and its values.
    """
    start, said = clock(), [-float("inf")]

    def tick(done: int, detail: str = "") -> None:
        now = clock()
        if now - said[0] < every:
            return
        said[0] = now
        passed = done - first
        left = (now - start) / passed * (total - done) if passed else None
        eta = f", about {duration(left)} left" if left is not None else ""
        at = min(done + 1, total)
        say("%s %d of %d%s%s", what, at, total, eta, f": {detail}" if detail else "")

    return tick


def rated(
    what: str,
    *,
    total: int,
    unit: str,
    clock: Callable[[], float] = time.monotonic,
    **options: Any,
) -> Callable[[int], None]:
    """tick(done), as of `ticker`, which says how many a second there were since it was first told.

    unit: of what is counted, such as "images".  options: of `ticker`.
    """
    begun: list[Any] = []

    def tick(done: int) -> None:
        begun[:] = begun or [
            ticker(what, total=total, first=done, clock=clock, **options),
            clock(),
            done,
        ]
        tell, start, first = begun
        speed = (done - first) / max(clock() - start, 1e-9)
        tell(done, f"{speed:.3g} {unit} a second" if done > first else "")

    return tick


def counted(
    items: Iterable[T],
    what: str,
    *,
    total: int,
    unit: tuple[int, str] | None = None,
    clock: Callable[[], float] = time.monotonic,
    **options,
) -> Iterator[T]:
    """The same items, with a line in the log now and then.

    unit: what there is in an item, such as (100, "images"), of which the line says how many a
      second.
    """
    tick, start = ticker(what, total=total, clock=clock, **options), clock()
    for done, item in enumerate(items):
        rate = done * unit[0] / max(clock() - start, 1e-9) if unit and done else 0
        tick(done, f"{rate:.3g} {unit[1]} a second" if rate else "")
        yield item
