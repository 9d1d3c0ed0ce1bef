"""Batches that threads read ahead, and what keeps some of them on their way to the devices.

Worker *threads*, because decoding and resizing let go of the interpreter lock and processes would
pay for moving the pixels.
"""

import collections
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from logging import getLogger
from typing import Any, TypeVar

import numpy as np

from m3i_jax.types import Batch

LOG = getLogger(__name__)
AHEAD = 2  # batches that each stream keeps ready beyond those its threads are working on
LATE = 0.1  # seconds after which somebody who waits for a batch looks whether to leave
STALLED = 60.0  # seconds without a batch after which that is said
PATIENCE = 2.0  # seconds that closing waits for threads; a read that hangs is left behind

State = dict[str, int]
T = TypeVar("T")


class Stream:
    """An iterator of (batch, state after it) that can be closed; also a context manager.

    batch: `Batch` of NumPy arrays, this host's rows.   state: {"sample": n}, n of the whole stream,
    the same on every host; give it to `batches(start=...)` to go on with the next batch.
    """

    def __init__(
        self,
        read: Callable[[int], Batch],
        *,
        batch: int,
        first: int,
        threads: int,
        leave: Callable[[], bool] = lambda: False,
    ):
        """Starts reading batches `first`, `first + 1`, ... with `read` in `threads` threads.

        leave: asked while a batch is late; True ends the stream, however long a read hangs.
        """
        self._batch, self._step, self._leave = batch, first, leave
        self._queue: collections.deque[Future] = collections.deque()
        self._depth = threads + AHEAD
        self._orders: queue.SimpleQueue = queue.SimpleQueue()
        # Daemons: neither closing nor the end of the program waits for a disk that hangs.
        self._threads = [
            threading.Thread(target=_serve, args=(self._orders, read), name="m3i-data", daemon=True)
            for _ in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def __iter__(self) -> "Stream":
        """The stream is its own iterator."""
        return self

    def __next__(self) -> tuple[Batch, State]:
        """The next batch; errors of the source surface here with their own type."""
        while self._threads and len(self._queue) < self._depth:
            order = Future()
            self._orders.put((order, self._step + len(self._queue)))
            self._queue.append(order)
        if not self._threads or not self._ready(self._queue[0]):
            raise StopIteration
        batch = self._queue.popleft().result()
        self._step += 1
        return batch, self.state()

    def _ready(self, order: Future) -> bool:
        """Waits for a batch; False where somebody wants to leave instead."""
        start, warned = time.monotonic(), False
        while not order.done():
            wait([order], LATE)
            if not order.done() and self._leave():
                return False
            if not warned and time.monotonic() - start > STALLED:
                LOG.warning("no batch for %g s: the data stalls", STALLED)
                warned = True
        return True

    def state(self) -> State:
        """Position after the batch that was handed out last."""
        return {"sample": self._step * self._batch}

    def close(self) -> None:
        """Stops the threads and forgets what they read ahead; closing twice is harmless."""
        for order in self._queue:
            order.cancel()
        for _ in self._threads:
            self._orders.put(None)
        end = time.monotonic() + PATIENCE
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        self._threads = []
        self._queue.clear()

    def __enter__(self) -> "Stream":
        """For `with batches(...) as stream`."""
        return self

    def __exit__(self, *_) -> None:
        """Closes the stream."""
        self.close()


def _serve(orders: queue.SimpleQueue, read: Callable[[int], Batch]) -> None:
    """Reads what is ordered, until the order is None."""
    while (item := orders.get()) is not None:
        order, step = item
        if order.set_running_or_notify_cancel():
            try:
                order.set_result(read(step))
            except BaseException as error:  # noqa: BLE001, it is raised where the batch is wanted
                order.set_exception(error)


def prefetch(
    stream: Iterator[tuple[Batch, State]], put: Callable[[Batch], T], *, depth: int = 2
) -> Iterator[tuple[T, State]]:
    """Keeps `depth` batches on their way to the device while one is trained on.

    Every batch travels with the state after it, so what is saved is the position of the training
    and not that of the prefetcher. Closing the generator closes the stream.

    Args:
      stream: of (batch, state), see `batches`.
      put: copies a host batch to the devices without waiting for it.
      depth: how many batches wait there.
    """
    waiting = collections.deque()
    try:
        for batch, state in stream:
            waiting.append((put(batch), state))
            if len(waiting) > depth:
                yield waiting.popleft()
        yield from waiting
    finally:
        if hasattr(stream, "close"):
            stream.close()


def stacked(rows: list[Any]) -> Any:
    """Stacks records of arrays, dicts and None, field by field, into new arrays."""
    first = rows[0]
    if first is None:
        return None
    if isinstance(first, dict):
        return {name: stacked([row[name] for row in rows]) for name in first}
    if isinstance(first, tuple):
        return type(first)(*(stacked(list(column)) for column in zip(*rows, strict=True)))
    return np.stack(rows)
