"""The processes of one command on this machine: started, watched, and ended together.

Nothing here imports jax: who starts others has no business on their devices.
"""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from m3i_jax.build import ConfigError

GRACE = 45.0  # seconds from the first end to the signal: the others notice one, and leave, in 30
HURRY = 30.0  # seconds from the signal to the end of those that still are there: a step, a save
PAUSE = 0.1
PASSED_ON = (signal.SIGTERM, signal.SIGINT)
PEER_GONE = os.EX_UNAVAILABLE  # what those leave with that were left, `processes.GONE`
SAVED = os.EX_TEMPFAIL  # what those leave with that were asked: all together, behind a save
DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG of linux/prctl.h


class Place(NamedTuple):
    """What one process has of the machine.

    variables: of its environment, over those of the launcher.  cores: their numbers; () = all.
    """

    variables: Mapping[str, str]
    cores: tuple[int, ...]


class End(NamedTuple):
    """How the processes ended: the status, and the rank of the one that ended so first.

    asked: whether the launcher had been told to end them.
    """

    status: int
    rank: int
    asked: bool


def places(processes: int, *, devices: int | None, visible: Sequence[str]) -> list[Place]:
    """What each process of this machine has: its accelerators in their order, its share of cores.

    devices: of each process; None = an equal share of the accelerators, or the CPU as one device.
      Without accelerators that many devices are simulated.
    visible: names of the accelerators that the launcher may use, see `accelerators`.

    Raises:
      ConfigError: there are fewer accelerators than asked for, or they are no equal shares.
    """
    have = len(visible)
    if have and devices is None and have % processes:
        raise ConfigError(
            f"{have} accelerators are no equal shares of {processes} processes; say how many each "
            "has by --devices"
        )
    each = devices or max(have // processes, 1)
    if have and processes * each > have:
        raise ConfigError(
            f"{processes} processes of {each} accelerators want {processes * each}; here are {have}"
        )
    cores = _shares(sorted(_usable()), processes)
    if have:
        names = [",".join(visible[rank * each :][:each]) for rank in range(processes)]
        return [Place({"CUDA_VISIBLE_DEVICES": name}, share)
                for name, share in zip(names, cores, strict=True)]  # fmt: skip
    if devices is None:
        return [Place({}, share) for share in cores]
    said = os.environ.get("XLA_FLAGS", "")
    flag = f"{said} --xla_force_host_platform_device_count={devices}".strip()
    return [Place({"XLA_FLAGS": flag}, share) for share in cores]


def accelerators() -> list[str]:
    """GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    if os.environ.get("JAX_PLATFORMS", "").lower() == "cpu":
        return []
    if (said := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name.strip() for name in said.split(",") if name.strip()]
    found = [path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia[0-9]*")]
    return sorted(found, key=int)


def free_port() -> int:
    """A port of this machine that nobody listens to."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def launch(
    command: Sequence[str],
    own: Callable[[int], Sequence[str]],
    of: Sequence[Place],
    *,
    grace: float = GRACE,
    hurry: float = HURRY,
    tell: Callable[[str], None] = lambda sentence: print(sentence, file=sys.stderr, flush=True),
) -> End:
    """Runs `command` once for each place until all have ended, and says how.

    Where one ends otherwise than with 0, the others have `grace` seconds to notice and to leave by
    themselves, then they are asked by SIGTERM, and `hurry` seconds later they are killed. A SIGTERM
    or SIGINT of the launcher is passed on to all. What process 0 prints is printed as it is, lines
    of the others behind their rank. They do not outlive the launcher (on Linux).

    own: (index of the place) -> the words that only this process has.
    """
    with _Group(tell) as group:
        for index, place in enumerate(of):
            group.start([*command, *own(index)], place)
        return group.watch(grace, hurry)


class _Group:
    """Processes that end together."""

    def __init__(self, tell: Callable[[str], None]):
        self._tell = tell
        self._children: list[subprocess.Popen] = []
        self._readers: list[threading.Thread] = []
        self._asked: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> "_Group":
        self._before = {number: signal.signal(number, self._ask) for number in PASSED_ON}
        return self

    def __exit__(self, *error: object) -> None:
        for child in self._children:  # none is left, whatever went wrong
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            child.wait()
        for reader in self._readers:
            reader.join(1.0)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def start(self, words: Sequence[str], place: Place) -> None:
        """Starts one process, in a session of its own, so that signals come by the launcher."""
        rank, parent = len(self._children), os.getpid()
        library = ctypes.CDLL(None) if sys.platform == "linux" else None

        def tied() -> None:  # between fork and exec: nothing but two calls into the kernel
            if library is not None:
                library.prctl(DIES_WITH_PARENT, signal.SIGTERM)
                if os.getppid() != parent:
                    os._exit(PEER_GONE)

        pipe = subprocess.PIPE if rank else None
        child = subprocess.Popen(
            words,
            env={**os.environ, **place.variables},
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            start_new_session=True,
            preexec_fn=tied,
        )
        self._children.append(child)
        if place.cores and hasattr(os, "sched_setaffinity"):
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(child.pid, place.cores)
        for source, target in ((child.stdout, sys.stdout), (child.stderr, sys.stderr)):
            if source is not None:
                work = threading.Thread(target=_pass_on, args=(source, target, rank), daemon=True)
                work.start()
                self._readers.append(work)

    def watch(self, grace: float, hurry: float) -> End:
        """Waits for all; those that stay when one has failed are asked, then killed."""
        ends: list[tuple[int, int]] = []  # (rank, status), in their order
        deadline, own = None, None  # own: how many ended before the launcher did anything
        while True:
            told = {rank for rank, _ in ends}
            for rank, child in enumerate(self._children):
                if rank not in told and child.poll() is not None:
                    ends.append((rank, _status(child.returncode)))
            left = [child for child in self._children if child.poll() is None]
            if not left and len(ends) == len(self._children):
                return _verdict(ends[:own], asked=self._asked is not None)
            now = time.monotonic()
            failed = [pair for pair in ends if pair[1] not in (0, SAVED)]
            if failed and deadline is None:
                rank, status = failed[0]
                self._tell(f"process {rank} of {len(self._children)} has ended with {status}")
                deadline = now + grace
            elif deadline is not None and now > deadline:
                self._end(left, kill=own is not None)
                own, deadline = len(ends) if own is None else own, now + hurry
            time.sleep(PAUSE)

    def _end(self, left: Sequence[subprocess.Popen], *, kill: bool) -> None:
        ranks = ", ".join(str(self._children.index(child)) for child in left)
        self._tell(f"process {ranks} stays: {'killed' if kill else 'asked to leave'}")
        for child in left:
            with contextlib.suppress(ProcessLookupError):
                child.kill() if kill else child.terminate()

    def _ask(self, number: int, frame: object) -> None:
        self._asked = number
        for child in self._children:
            if child.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    child.send_signal(number)


def _verdict(ends: Sequence[tuple[int, int]], *, asked: bool) -> End:
    """The first failure that is not that of a process which others left; 0 where there is none."""
    failed = [(rank, status) for rank, status in ends if status]
    own = [(rank, status) for rank, status in failed if status != PEER_GONE]
    rank, status = (own or failed or [(0, 0)])[0]
    return End(status, rank, asked)


def _status(code: int) -> int:
    """The status of a process as a shell has it: 128 + n where signal n ended it."""
    return 128 - code if code < 0 else code


def _pass_on(source: IO[bytes], target: IO[str], rank: int) -> None:
    """Prints the lines of a process behind its rank until it closes them."""
    for line in iter(source.readline, b""):
        text = line.decode(errors="backslashreplace").rsplit("\r", 1)[-1]
        target.write(f"[{rank}] {text}")
        target.flush()


def _usable() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def _shares(cores: Sequence[int], processes: int) -> list[tuple[int, ...]]:
    """Equal shares of the cores, neighbours together; () for all where there are too few."""
    each = len(cores) // processes
    return [tuple(cores[rank * each :][:each]) for rank in range(processes)]
