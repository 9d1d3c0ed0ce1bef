"""From a source to batches: shuffled for ever, resumable at any step, equal on any hosts.

    row g of the stream = crops(source[order(seed, ⌊g / r⌋)], rng(seed, g)), with one of its
    captions;   batch s = rows s B ... (s + 1) B - 1;   host p of n takes the p-th n-th of them

r is `Crops.repeats`, 1 but for repeated augmentation. A batch is a pure function of (seed, step):
threads and hosts change who computes it and nothing else, and the only state is the number of
samples already used. Worker *threads*, because decoding and resizing let go of the interpreter lock
and processes would pay for moving the pixels.
"""

import collections
import hashlib
import json
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from logging import getLogger
from typing import Any, NamedTuple, TypeVar

import grain
import numpy as np

from m3i_jax.build import ConfigError
from m3i_jax.data.captions import Captions
from m3i_jax.data.order import Ordered, order_of
from m3i_jax.data.sources.protocol import Sample, Source
from m3i_jax.data.sources.protocol import read as read_record
from m3i_jax.data.views.crops import Crops, center_crop, describe
from m3i_jax.types import Array, Batch

LOG = getLogger(__name__)
SINCE = ("contents", "times")  # fields that older fingerprints lack
VERSION = 1  # part of the fingerprint: count up whenever the same settings give other batches
AHEAD = 2  # batches that each stream keeps ready beyond those its threads are working on
LATE = 0.1  # seconds after which somebody who waits for a batch looks whether to leave
STALLED = 60.0  # seconds without a batch after which that is said
RATIO = 0.875  # of the short side that an evaluation keeps, where a source says no other
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


def batches(
    source: Source,
    *,
    batch: int,
    seed: int,
    crops: Crops,
    tokenizer: Captions | None = None,
    threads: int = 2,
    start: State | None = None,
    process_index: int = 0,
    process_count: int = 1,
    leave: Callable[[], bool] = lambda: False,
) -> Stream:
    """The endless training stream of `source`, every record once per epoch, reshuffled each time.

    With r repeats, r rows in succession are of one record: N rows, an epoch, are of N / r records,
    and r epochs of all of them.

    Args:
      source: where the samples come from.
      batch: global batch size, over all hosts.
      seed: of the order and of the crops, 0 <= seed < 2^32.
      crops: (sample, generator) -> row, see `Crops`.
      tokenizer: turns captions into `Batch.text`, one drawn from those of a sample; None leaves
        it None.
      threads: how many batches are read at once.
      start: a state that a stream gave; None starts at the first sample.
      process_index, process_count: this host and the number of hosts (`jax.process_index()`, ...).
        Host p holds rows p B / n ... of every batch, the order in which
        `jax.make_array_from_process_local_data` joins them.
      leave: asked while a batch is late; True ends the stream.

    Raises:
      ConfigError: sizes that do not divide, or a state that lies inside a batch.
    """
    if batch < 1 or batch % process_count:
        raise ConfigError(
            f"a batch of {batch} cannot be divided among {process_count} processes; "
            f"the nearest larger batch is {-(-max(batch, 1) // process_count) * process_count}"
        )
    if threads < 1:
        raise ConfigError(f"threads is {threads}, expected at least 1")
    sample = start["sample"] if start else 0
    if sample % batch:
        raise ConfigError(
            f"the data position, sample {sample}, is not a multiple of the batch size {batch}; "
            "the stream that it was saved from had another batch size"
        )
    local = batch // process_count
    rows = _rows(source, seed=seed, crops=crops, tokenizer=tokenizer)

    def read(step: int) -> Batch:
        first = step * batch + process_index * local
        return _stack([rows[first + i] for i in range(local)])

    return Stream(read, batch=batch, first=sample // batch, threads=threads, leave=leave)


def fingerprint(
    source: Source, *, seed: int, batch: int, crops: Crops, tokenizer: Captions | None = None
) -> dict[str, Any]:
    """Everything that decides what the stream yields, by name, as plain JSON data.

    Saved with the position: a resumed run compares field by field and names what has changed.
    """
    fields = {
        "source": f"{source.name} {source.fingerprint()}",
        "length": len(source),
        "seed": seed,
        "batch": batch,
        "crops": dict(describe(crops)),
        "tokenizer": tokenizer.digest() if tokenizer else None,
        "version": VERSION,
        **getattr(source, "contents", dict)(),
    }
    return json.loads(json.dumps(fields))  # tuples become lists, as they do in a checkpoint


def changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """In what two fingerprints differ, one phrase for each field.

    A fingerprint from before there were some fields is not held against them. Other times of the
    same contents are no change, since a copy has others; the log tells them.
    """
    names = [name for name in sorted(then.keys() | now.keys()) if then.get(name) != now.get(name)]
    names = [name for name in names if name in then or name not in SINCE]
    if names == ["times"]:
        LOG.warning(
            "files of the data were written or copied since the checkpoint; their names, sizes "
            "and what was looked at of their contents are as they were"
        )
    return [
        f"{name} was {then.get(name)!r}, is now {now.get(name)!r}"
        for name in names
        if name != "times"
    ]


def digest(fields: dict[str, Any]) -> str:
    """A short name for a fingerprint, for logs."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]


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


class Rows(NamedTuple):
    """One batch of an evaluation pass.

    batch: `Batch` with the view "a"; rows that only fill it up, and those of records that cannot
      be read, are black, with label -1.
    real: (B,) bool, False for those rows. Sums must be masked with it: padding never counts.
    mask: (B, size, size) uint8 categories where the source has them and they were asked for.
    lost: (B,) bool, True for records that cannot be read, of a source that forgives them.
    """

    batch: Batch
    real: Array
    mask: Array | None = None
    lost: Array | None = None


def epoch(
    source: Source,
    *,
    batch: int,
    size: int,
    ratio: float | None = None,
    tokenizer: Captions | None = None,
    masks: bool = False,
    threads: int = 2,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterator[Rows]:
    """One pass over `source` in order, for evaluation; only the last batch is padded.

    Args:
      source: where the samples come from.
      batch: global batch size, over all hosts.
      size: height and width of the view, see `crops.center_crop`.
      ratio: share of the short side that is kept; the source's own `evaluation_ratio` when None,
        or 0.875.
      tokenizer: turns captions into `Batch.text`, the first of each sample.
      masks: whether to hand out the category masks, cut like the images.
      threads: how many batches are read at once.
      process_index, process_count: this host and the number of hosts, as in `batches`.
    """
    if batch < 1 or batch % process_count:
        raise ConfigError(f"a batch of {batch} cannot be divided among {process_count} processes")
    ratio = getattr(source, "evaluation_ratio", RATIO) if ratio is None else ratio
    local, total = batch // process_count, len(source)

    def row(index: int) -> Rows:
        record = read_record(source, index) if index < total else None
        real = record is not None
        sample = record if real else Sample(np.zeros((size, size, 3), np.uint8))
        view, box = center_crop(sample.image, size=size, ratio=ratio)
        text = tokenizer.encode((*sample.captions, "")[0]) if tokenizer else None
        mask = None
        if masks:
            shape = sample.image.shape[:2]
            mask = np.zeros(shape, np.uint8) if sample.mask is None else sample.mask
            mask, _ = center_crop(mask, size=size, ratio=ratio, nearest=True)
        row = Batch({"a": view}, {"a": box}, np.int32(sample.label), text)
        return Rows(row, real, mask, lost=index < total and not real)

    def read(step: int) -> Rows:
        first = step * batch + process_index * local
        return _stack([row(first + i) for i in range(local)])

    steps = -(-total // batch)
    with Stream(read, batch=batch, first=0, threads=threads) as stream:
        for _ in range(steps):
            yield next(stream)[0]


def _rows(
    source: Source, *, seed: int, crops: Crops, tokenizer: Captions | None
) -> grain.MapDataset:
    """Row number -> row; grain keys generators by the number."""

    def row(sample: Sample, rng: np.random.Generator) -> Batch:
        views = crops(sample, rng)
        if tokenizer is None:
            return views
        captions = sample.captions or ("",)
        # Drawn after the views, and only where there is a choice: one caption costs no number.
        chosen = captions[rng.integers(len(captions))] if len(captions) > 1 else captions[0]
        return views._replace(text=tokenizer.encode(chosen))

    samples = Ordered(source, order_of(source, seed=seed), times=crops.repeats)
    return grain.MapDataset.source(samples).random_map(row, seed=seed)


def _stack(rows: list[Any]) -> Any:
    """Stacks records of arrays, dicts and None, field by field, into new arrays."""
    first = rows[0]
    if first is None:
        return None
    if isinstance(first, dict):
        return {name: _stack([row[name] for row in rows]) for name in first}
    if isinstance(first, tuple):
        return type(first)(*(_stack(list(column)) for column in zip(*rows, strict=True)))
    return np.stack(rows)
