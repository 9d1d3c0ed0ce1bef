"""One process of many: how they join and agree, and how one notices that another is gone.

Nobody is rescued: what survives a peer that is gone is the last checkpoint. But no process waits
for ever. Each leaves a beat in JAX's own key-value store every few seconds, and ends with a
sentence when a peer's beats stop, dead or stopped, or when steps no longer end though all beat.
JAX's heartbeats, which end a process without a word, come after that.
"""

import contextlib
import faulthandler
import math
import os
import re
import socket
import statistics
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from m3i_jax.build import ConfigError, UserError
from m3i_jax.parallel import plain
from m3i_jax.parallel.coordinator import NOWHERE, begin
from m3i_jax.types import Share

T = TypeVar("T")

GONE = os.EX_UNAVAILABLE  # status of a process that cannot go on without the others
UNEXPECTED = 1  # status of a program that ends by a traceback
BEATS = "m3i_jax/beats/"
PAUSE = 2.0  # seconds between two beats
SILENT = 20.0  # seconds without one after which a peer is gone
HEARTBEAT = 40  # seconds after which JAX ends a process, should ours not have done so
LONGEST = 300.0  # seconds that a step may take, or ten times the median
LATEST = 100  # steps whose median that is
DONE = "done"
FAILED = "failed"
# What the runtime puts in front of its own words where what it meets is not of the program.
STATUS = re.compile("(ABORTED|CANCELLED|DEADLINE_EXCEEDED|INTERNAL|UNAVAILABLE|UNKNOWN): ")
GONE_FIRST = "the coordinator, process 0, is gone ({})"
PATIENCE = 1800.0  # seconds for all to join
LATER = 60  # seconds after ours that JAX's patience ends
TELL = 15.0  # seconds between two sentences of one who waits
# Variables in which schedulers say of how many machines a job is, and what says so of a value.
HOSTS: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("SLURM_STEP_NUM_NODES", lambda value: value.isdecimal() and int(value) > 1),
    ("SLURM_JOB_NUM_NODES", lambda value: value.isdecimal() and int(value) > 1),
    ("TPU_WORKER_HOSTNAMES", lambda value: len(set(value.split(","))) > 1),
    ("MEGASCALE_NUM_SLICES", lambda value: value.isdecimal() and int(value) > 1),
)


def join(
    *,
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    devices: Sequence[int] | None = None,
    patience: float = PATIENCE,
) -> None:
    """Makes this process one of many; what is None is the cluster's to say.

    devices: numbers of its own among those of the machine; None = all that it sees.
    patience: seconds to wait for the others; hosts of a pod come up minutes apart.

    Raises:
      ConfigError: there is no coordinator, or others cannot reach it. Where they do not come in
        time the process leaves with `GONE`: JAX would abort it.
    """
    _check_reach(coordinator)
    long = math.ceil(patience) + LATER
    try:
        with _waiting(patience, coordinator):
            found = _found(coordinator, processes, process, devices, long)
            if found[2] == 0 and found[0] and found[1]:
                begin(found[0], found[1], heartbeat=HEARTBEAT)
            jax.distributed.initialize(
                *found,
                cluster_detection_method="deactivate",
                initialization_timeout=long,
                heartbeat_timeout_seconds=HEARTBEAT,
                coordinator_bind_address=NOWHERE,
            )
        # CPUs connect at the first collective, within 30 s or never: done while all are here.
        multihost_utils.sync_global_devices("joined")
    except (ValueError, TypeError, RuntimeError) as error:
        raise ConfigError(
            f"this cannot be one process of many: {str(error).splitlines()[0]} Start it under "
            "Slurm, Open MPI or on a pod, or give --coordinator=HOST:PORT --processes=N --process=I"
        ) from error


def _found(
    coordinator: str | None,
    processes: int | None,
    process: int | None,
    devices: Sequence[int] | None,
    seconds: int,
) -> tuple[str | None, int | None, int | None, Sequence[int] | None]:
    """What is None filled in, where JAX knows the cluster, in `seconds` at most."""
    from jax._src.clusters import ClusterEnv  # `initialize` would ask it, and not say what it found

    said = coordinator or os.environ.get("JAX_COORDINATOR_ADDRESS")
    known = said, processes, process, devices
    return ClusterEnv.auto_detect_unset_distributed_params(*known, None, seconds)


@contextlib.contextmanager
def _waiting(patience: float, coordinator: str | None) -> Iterator[None]:
    """Says every `TELL` seconds that others are waited for, and leaves when that took too long."""
    joined, start = threading.Event(), time.monotonic()
    where = coordinator or "the coordinator that the cluster names"

    def wait() -> None:
        while not joined.wait(min(TELL, max(start + patience - time.monotonic(), 0.01))):
            waited = time.monotonic() - start
            if waited >= patience:
                leave(f"the others have not joined at {where} within {patience:g} s; is process 0 "
                      "there, is the port open, have all been started?")  # fmt: skip
            print(f"waiting for the others at {where}, {waited:.0f} s", file=sys.stderr, flush=True)

    threading.Thread(target=wait, name="joining", daemon=True).start()
    try:
        yield
    finally:
        joined.set()


def _check_reach(coordinator: str | None) -> None:
    """Refuses a coordinator on the loopback where the job has other hosts: each of them would wait
    for itself.

    Raises:
      ConfigError: so.
    """
    if coordinator is None:
        return
    host = coordinator.rpartition(":")[0].strip("[]")
    others = next((name for name, many in HOSTS if many(os.environ.get(name, ""))), None)
    if others and (host in ("localhost", "::1") or host.startswith("127.")):
        raise ConfigError(
            f"the coordinator '{coordinator}' is this machine alone, but {others} says that the "
            "job has several; give the name of the machine of process 0, as the others know it"
        )


def anywhere(flag: bool) -> bool:
    """Whether `flag` is set on any process; all must ask together."""
    return bool(np.any(multihost_utils.process_allgather(np.asarray(flag))))


def gathered(rows: Any) -> np.ndarray:
    """The rows of all processes, joined in the order of the processes; all must ask together."""
    return np.asarray(multihost_utils.process_allgather(rows, tiled=True))


def own_share() -> Share:
    """Every which records of a data set this process looks at, where all together look at all."""
    return Share((jax.process_index(),), jax.process_count())


def by_number(rows: Sequence[tuple[int, T]], share: Share) -> list[T]:
    """What all processes of a share have made of records, in the order of the records.

    rows: (number of a record, what was made of it), of this process, of `plain` data.
    share: of this process; of one process, nobody else is asked; else all must ask together.
    """
    rows = list(rows)
    if share.count > 1:
        own = np.frombuffer(plain.to_bytes(rows), np.uint8)
        sizes = gathered(np.array([len(own)]))
        sent = gathered(np.pad(own, (0, int(sizes.max()) - len(own)))[None])
        told = zip(sent, sizes, strict=True)
        rows = [row for part, size in told for row in plain.from_bytes(part[:size].tobytes())]
    return [made for _, made in sorted(rows, key=lambda row: row[0])]


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

    store, me, stop = global_state.client, jax.process_index(), threading.Event()
    who = dict(me=me, count=jax.process_count(), silent=SILENT)
    beats = threading.Thread(target=beat, args=(store, stop), kwargs=who, name="beats", daemon=True)
    beats.start()
    try:
        yield
    except UserError as error:
        _say_failed(store, me)
        leave(str(error), status=error.status)
    except Exception as error:  # noqa: BLE001
        if _of_a_collective(error):
            # Which one is gone, the beats will know, and end the process with that; it takes them
            # so long. The coordinator's end is known at once, and JAX aborts those who do not
            # leave before it.
            if _refuses(global_state.coordinator_address):
                leave(GONE_FIRST.format(_first_line(error)))
            beats.join(SILENT + 3 * PAUSE)
            leave(f"{type(error).__name__}: {_first_line(error)}; is another process gone?")
        traceback.print_exc()  # a fault of ours, which the others must not wait for
        _say_failed(store, me)
        leave(f"{type(error).__name__}: {_first_line(error)}", status=UNEXPECTED)
    stop.set()
    beats.join(SILENT)


def _of_a_collective(error: Exception) -> bool:
    """Whether it is what a collective raises whose peer is gone: an error of the runtime, or where
    it ran at once a ValueError with the runtime's status in front."""
    return isinstance(error, jax.errors.JaxRuntimeError) or (
        isinstance(error, ValueError) and bool(STATUS.match(str(error)))
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "")


def _refuses(address: str) -> bool:
    """Whether nobody listens at HOST:PORT on a machine that is there."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=1.0).close()
    except ConnectionRefusedError:
        return True
    except OSError:  # a machine that is gone or stopped does not even refuse
        return False
    return False


def _say_failed(store: Any, me: int) -> None:
    """Tells the others that this process ends, so that they need not wait for its silence."""
    say = threading.Thread(
        target=lambda: store.key_value_set(f"{BEATS}{me}", FAILED, True), daemon=True
    )
    say.start()
    say.join(1.0)  # a store that does not answer is not waited for


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
            return None if ending else leave(GONE_FIRST.format(error))
        finally:
            timer.cancel()
        if ending:
            return None
        now = time.monotonic()
        for rank, (last, then) in heard.items():
            value = received.get(f"{BEATS}{rank}", "")
            if value == FAILED:
                return leave(f"process {rank} of {count} has ended with an error, see what it said")
            if value != last or value == DONE:
                heard[rank] = (value, now)
            elif now - then > silent:
                return leave(f"process {rank} of {count} has been silent for {now - then:.0f} s")


class Watchdog:
    """Ends the process when a step does not end: hooks around the others, `rest` first and `watch`
    last, so that compiling, saving and measuring take what they take.

    A step may take max(longest, 10 · the median of the latest steps): one that was slow, as it
    waited for data, makes nobody wait longer from then on.

    longest: seconds.
    leave: what ends the process; tests pass another.
    """

    def __init__(self, *, longest: float = LONGEST, leave: Callable[[str], None] = _dump):
        self._longest, self._leave = longest, leave
        self._timer: threading.Timer | None = None
        self._seconds: deque[float] = deque(maxlen=LATEST)
        self._start = time.monotonic()

    def watch(self, info: Any) -> None:
        """A hook: the next step begins."""
        self._start = time.monotonic()
        usual = statistics.median(self._seconds or (0.0,))
        longest = max(self._longest, 10 * usual)
        said = f"no step after {info.step} has ended for {longest:g} s"
        self._timer = threading.Timer(longest, self._leave, (said,))
        self._timer.daemon = True
        if not info.last:
            self._timer.start()

    def rest(self, info: Any) -> None:
        """A hook: the step has ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._seconds.append(time.monotonic() - self._start)
