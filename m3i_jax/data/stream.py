"""Batches that threads read ahead, row by row, and what keeps some of them on their way to devices.

Rows are the unit of work: threads take those of the nearest unfinished batch in order and write
each into its place, so that all of them work on the first batch. Worker *threads*, because decoding
and resizing let go of the interpreter lock and processes would pay for moving the pixels.
"""

import collections
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from logging import getLogger
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from m3i_jax import ordinary
from m3i_jax.data import buffers, cores
from m3i_jax.types import Batch

LOG = getLogger(__name__)
AHEAD = 2  # batches ahead beyond those whose rows the threads are working on
BYTES = 2**30  # that are read ahead at most, but for two batches that always are
MOST = 64  # threads by default: with more of them the interpreter lock has no room
LATE = 0.1  # seconds after which somebody who waits for a batch looks whether to leave
STALLED = 30.0  # seconds that a row, or a batch, may take before that is said
SHOWN = 3  # records that are named then
PATIENCE = 2.0  # seconds that closing waits for threads; a read that hangs is left behind

State = dict[str, Any]
T = TypeVar("T")


class Work(NamedTuple):
    """What a stream is made of.

    row: (step, index) -> a row of that step's batch: records of arrays, dicts and None, all of the
      same shapes. A pure function, called from several threads.
    rows: of a batch.
    first: step of the first batch.   last: step behind the last one; None = there is no end.
    where: names a row's record, for reports.
    name: of the stream, under which the log says once what is read ahead; "" = it does not.
    """

    row: Callable[[int, int], Any]
    rows: int
    first: int = 0
    last: int | None = None
    where: Callable[[int, int], str] = lambda step, index: f"row {index} of batch {step}"
    name: str = ""


class _Filling:
    """A batch of which some rows are there."""

    def __init__(self, rows: int):
        self.batch: Any = None
        self.missing = rows
        self.errors: dict[int, BaseException] = {}


class Stream:
    """An iterator of (batch, state after it) that can be closed; also a context manager.

    batch: `Batch` of NumPy arrays, this host's rows.   state: {"sample": n}, n of the whole stream,
    the same on every host; give it to `batches(start=...)` to go on with the next batch.
    """

    def __init__(
        self,
        work: Work,
        *,
        batch: int,
        threads: int = 0,
        ahead: int = BYTES,
        leave: Callable[[], bool] = lambda: False,
        also: Mapping[str, Any] = MappingProxyType({}),
    ):
        """Starts reading.

        batch: rows of all hosts, which the state counts.   also: what else is in the state.
        threads: 0 = the cores that this process may use, see `cores`.
        ahead: bytes that may be read ahead, but for two batches, and the images being decoded.
        leave: asked while a batch is late; True ends the stream, however long a read hangs.
        """
        self._work, self._batch, self._leave, self._also = work, batch, leave, dict(also)
        self._count = threads or min(MOST, cores.usable())
        self._bytes, self._size = ahead, 0  # the size of a batch is known when it has a row
        self._step, self._next = work.first, work.first * work.rows
        self._filling: dict[int, _Filling] = {}
        self._reading: dict[int, float] = {}  # rows that threads are at, and since when
        self._changed = threading.Condition()
        # Daemons: neither closing nor the end of the program waits for a disk that hangs.
        self._threads = [
            threading.Thread(target=self._serve, name="m3i-data", daemon=True)
            for _ in range(self._count)
        ]
        for thread in self._threads:
            thread.start()

    def __iter__(self) -> "Stream":
        """The stream is its own iterator."""
        return self

    def __next__(self) -> tuple[Batch, State]:
        """The next batch; errors of the source surface here with their own type, and end it."""
        if not self._threads or self._step == self._work.last or not self._ready():
            raise StopIteration
        with self._changed:
            done = self._filling.pop(self._step)
            self._step += 1
            self._changed.notify_all()
        if done.errors:
            self.close()
            raise done.errors[min(done.errors)]
        return done.batch, self.state()

    def state(self) -> State:
        """Position after the batch that was handed out last."""
        return {"sample": self._step * self._batch, **self._also}

    def close(self) -> None:
        """Stops the threads and forgets what they read ahead; closing twice is harmless."""
        with self._changed:
            threads, self._threads, self._filling = self._threads, [], {}
            self._changed.notify_all()
        end = time.monotonic() + PATIENCE
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))

    def __enter__(self) -> "Stream":
        """For `with batches(...) as stream`."""
        return self

    def __exit__(self, *_) -> None:
        """Closes the stream."""
        self.close()

    def _serve(self) -> None:
        """Reads one row after the other, until the stream is closed or has ended."""
        while (number := self._taken()) is not None:
            step, index = divmod(number, self._work.rows)
            error = None
            try:
                row = self._work.row(step, index)
                if (batch := self._place(step, row)) is not None:
                    buffers.put(row, batch, index)
            except BaseException as met:  # noqa: BLE001, it is raised where the batch is wanted
                error = met
            self._done(number, error)

    def _taken(self) -> int | None:
        """The number of the next row to read; None when there is none any more."""
        with self._changed:
            while self._threads and self._next >= self._bound():
                if self._work.last is not None and self._next >= self._work.last * self._work.rows:
                    return None
                self._changed.wait()
            if not self._threads:
                return None
            number, self._next = self._next, self._next + 1
            self._filling.setdefault(number // self._work.rows, _Filling(self._work.rows))
            self._reading[number] = time.monotonic()
            return number

    def _bound(self) -> int:
        """The row that must not be read yet."""
        ahead = self._step + self.depth()
        last = ahead if self._work.last is None else min(ahead, self._work.last)
        return last * self._work.rows

    def depth(self) -> int:
        """How many batches are read ahead: one until its size is known."""
        if not self._size:
            return 1
        busy = math.ceil(self._count / self._work.rows)
        return max(2, min(busy + AHEAD, self._bytes // self._size))

    def _place(self, step: int, row: Any) -> Any:
        """The batch that a row is written into, made by the first one; None of a closed stream."""
        with self._changed:
            if (filling := self._filling.get(step)) is None:
                return None
            if filling.batch is None:
                filling.batch = buffers.empty(row, self._work.rows)
            known, self._size = self._size, self._size or max(1, buffers.size(filling.batch))
            if not known:
                self._changed.notify_all()
        if not known and self._work.name:
            ahead = self.depth()
            said = (self._work.name, self._count, ahead, ordinary.size(ahead * self._size))
            LOG.info("%s: %d threads read %d batches ahead, %s of memory", *said)
        return filling.batch

    def _done(self, number: int, error: BaseException | None) -> None:
        """Notes that a row is there, or what was met instead."""
        step, index = divmod(number, self._work.rows)
        with self._changed:
            del self._reading[number]
            if (filling := self._filling.get(step)) is None:  # closed in the meantime
                return
            filling.missing -= 1
            filling.errors |= {index: error} if error else {}
            if not filling.missing:
                self._changed.notify_all()

    def _ready(self) -> bool:
        """Waits for a batch; False where somebody wants to leave instead."""
        start, said = time.monotonic(), False
        while not self._full():
            if not self._threads or self._leave():
                return False
            said = said or self._stalls(start)
        return True

    def _full(self) -> bool:
        """Whether the next batch is there; waits a little where it is not."""
        with self._changed:
            there = lambda: (f := self._filling.get(self._step)) is not None and not f.missing  # noqa: E731
            return self._changed.wait_for(there, LATE)

    def _stalls(self, start: float) -> bool:
        """Whether the batch that is waited for since `start` takes too long, which is said."""
        now = time.monotonic()
        with self._changed:
            reading = sorted((since, number) for number, since in self._reading.items())
            filling = self._filling.get(self._step)
            missing = filling.missing if filling else self._work.rows
        late = [(now - since, number) for since, number in reading if now - since > STALLED]
        if not late and now - start <= STALLED:
            return False
        names = [
            f"{self._work.where(*divmod(number, self._work.rows))} ({seconds:.0f} s)"
            for seconds, number in late[:SHOWN]
        ]
        more = f" and {len(late) - SHOWN} more" if len(late) > SHOWN else ""
        why = "no row takes that long: the data are slow"
        if late:
            why = f"the data stall, reading {', '.join(names)}{more}"
        LOG.warning(
            "no batch for %.3g s; %d of its %d rows are missing; %s",
            *(now - start, missing, self._work.rows, why),
        )
        return True


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
