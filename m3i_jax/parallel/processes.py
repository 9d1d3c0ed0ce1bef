"""One process of many: how they join and agree, and how one notices that another is gone.

Nobody is rescued: what survives a peer that is gone is the last checkpoint. But no process waits
for ever. Each leaves a beat in JAX's own key-value store every few seconds, and ends with a
sentence when a peer's beats stop, dead or stopped, or when steps no longer end though all beat.
JAX's heartbeats, which end a process without a word, come after that.
"""

import contextlib
import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from m3i_jax.build import ConfigError, UserError

GONE = os.EX_UNAVAILABLE  # status of a process that cannot go on without the others
BEATS = "m3i_jax/beats/"
PAUSE = 2.0  # seconds between two beats
SILENT = 20.0  # seconds without one after which a peer is gone
HEARTBEAT = 40  # seconds after which JAX ends a process, should ours not have done so
LONGEST = 300.0  # seconds that a step may take, or ten times the longest so far
DONE = "done"


def join(
    *, coordinator: str | None = None, processes: int | None = None, process: int | None = None
) -> None:
    """Makes this process one of many; what is None is the cluster's to say.

    Raises:
      ConfigError: there is no coordinator, or it does not answer.
    """
    try:
        jax.distributed.initialize(
            coordinator, processes, process, heartbeat_timeout_seconds=HEARTBEAT
        )
    except (ValueError, TypeError, RuntimeError) as error:
        raise ConfigError(
            f"this cannot be one process of many: {str(error).splitlines()[0]} Start it under "
            "Slurm, Open MPI or on a pod, or give --coordinator=HOST:PORT --processes=N --process=I"
        ) from error


def anywhere(flag: bool) -> bool:
    """Whether `flag` is set on any process; all must ask together."""
    return bool(np.any(multihost_utils.process_allgather(np.asarray(flag))))


def gathered(rows: Any) -> np.ndarray:
    """The rows of all processes, joined in the order of the processes; all must ask together."""
    return np.asarray(multihost_utils.process_allgather(rows, tiled=True))


def from_first(*numbers: int) -> tuple[int, ...]:
    """The numbers that process 0 gives; all must ask together."""
    if jax.process_count() == 1:
        return numbers
    received = multihost_utils.broadcast_one_to_all(np.asarray(numbers))
    return tuple(int(number) for number in received)


def leave(sentence: str, *, status: int = GONE) -> None:
    """Ends the process at once: nothing that waits for other processes is waited for."""
    last = "" if status != GONE else "; the last checkpoint stays, the same command goes on from it"
    print(f"error: {sentence}{last}", file=sys.stderr, flush=True)
    os._exit(status)


def _dump(sentence: str) -> None:
    faulthandler.dump_traceback(all_threads=True)
    leave(sentence)


@contextlib.contextmanager
def together() -> Iterator[None]:
    """For the work of one process of many: ends it with a sentence where the others are gone.

    Errors end it at once, too: the others must not wait for a process that is winding up.
    """
    from jax._src.distributed import global_state  # there is no public way to the store

    stop = threading.Event()
    who = dict(me=jax.process_index(), count=jax.process_count(), silent=SILENT)
    beats = threading.Thread(
        target=beat, args=(global_state.client, stop), kwargs=who, name="beats", daemon=True
    )
    beats.start()
    try:
        yield
    except UserError as error:
        leave(str(error), status=error.status)
    except Exception as error:  # noqa: BLE001, what a collective raises whose peer is gone
        leave(f"{type(error).__name__}: {str(error).splitlines()[0]}; is another process gone?")
    stop.set()
    beats.join(SILENT)


def beat(
    store: Any,
    stop: threading.Event,
    *,
    me: int,
    count: int,
    pause: float = PAUSE,
    silent: float = SILENT,
    leave: Callable[[str], None] = leave,
) -> None:
    """Beats until `stop` is set, and leaves when a peer has been silent for too long.

    store: with `key_value_set` and `key_value_dir_get`, as `jax.distributed` has one.
    """
    heard = {rank: ("", time.monotonic()) for rank in range(count) if rank != me}
    number = 0
    while True:
        number, ending = number + 1, stop.wait(0.0 if number == 0 else pause)
        said = f"the coordinator, process 0, has been silent for {silent:g} s"
        timer = threading.Timer(silent, leave, (said,))  # one that is stopped does not even refuse
        timer.daemon = True
        if not ending:
            timer.start()
        try:
            store.key_value_set(f"{BEATS}{me}", DONE if ending else str(number), True)
            received = dict(store.key_value_dir_get(BEATS))
        except Exception as error:  # noqa: BLE001, a store that is gone, in the words of its client
            return None if ending else leave(f"the coordinator, process 0, is gone ({error})")
        finally:
            timer.cancel()
        if ending:
            return None
        now = time.monotonic()
        for rank, (last, then) in heard.items():
            value = received.get(f"{BEATS}{rank}", "")
            if value != last or value == DONE:
                heard[rank] = (value, now)
            elif now - then > silent:
                return leave(f"process {rank} of {count} has been silent for {now - then:.0f} s")


class Watchdog:
    """Ends the process when a step does not end: hooks around the others, `rest` first and `watch`
    last, so that compiling, saving and measuring take what they take.

    longest: seconds, or ten times the longest step so far.
    leave: what ends the process; tests pass another.
    """

    def __init__(self, *, longest: float = LONGEST, leave: Callable[[str], None] = _dump):
        self._longest, self._leave = longest, leave
        self._timer: threading.Timer | None = None
        self._start = time.monotonic()

    def watch(self, info: Any) -> None:
        """A hook: the next step begins."""
        self._start = time.monotonic()
        said = f"no step after {info.step} has ended for {self._longest:g} s"
        self._timer = threading.Timer(self._longest, self._leave, (said,))
        self._timer.daemon = True
        if not info.last:
            self._timer.start()

    def rest(self, info: Any) -> None:
        """A hook: the step has ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._longest = max(self._longest, 10 * (time.monotonic() - self._start))
