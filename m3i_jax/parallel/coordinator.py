"""The store where the processes of a run meet, in a process of its own, beside process 0.

JAX keeps it within process 0, and aborts every other process, without a word, as soon as that one
is gone. Here it outlives process 0 as long as somebody is connected to it: the others read who is
silent, say so, and leave.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from m3i_jax.build import ConfigError

LISTENS = "listens"
NOWHERE = "127.0.0.1:0"  # where the store within process 0, which JAX makes anyway, is not met
PAUSE = 0.2  # seconds between two looks
LONGEST = 60.0  # seconds that it outlives process 0, at most
EARLIER = 45.0  # seconds that one of an earlier start is waited for
CONNECTIONS = ("/proc/self/net/tcp", "/proc/self/net/tcp6")
ESTABLISHED = "01"


def begin(address: str, count: int, *, heartbeat: int, earlier: float = EARLIER) -> None:
    """Starts it, and returns once it listens; it ends soon after this process, see `outlive`.

    It listens where `JAX_COORDINATOR_BIND_ADDRESS` says, or at the port of all networks.

    Args:
      address: HOST:PORT that the processes know.
      count: of processes.
      heartbeat: seconds without a sign after which JAX takes a process for gone.
      earlier: seconds to wait for the port, which the last start may still have.

    Raises:
      ConfigError: it cannot listen there.
    """
    port = address.rpartition(":")[2]
    _wait_for_earlier(port, earlier)
    bind = os.environ.get("JAX_COORDINATOR_BIND_ADDRESS", f"[::]:{port}")
    words = [sys.executable, "-m", __name__, bind, str(count), str(heartbeat), str(os.getpid())]
    quiet, path = {"TF_CPP_MIN_LOG_LEVEL": "2"}, os.pathsep.join(filter(None, sys.path))
    environment = quiet | dict(os.environ, PYTHONPATH=path)
    pipes = dict(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process = subprocess.Popen(words, env=environment, text=True, start_new_session=True, **pipes)
    if process.stdout.readline().strip() != LISTENS:
        said = process.communicate()[1].strip().splitlines()
        raise ConfigError(
            f"no store for the processes can be kept at '{address}': "
            f"{said[-1] if said else 'it ended without a word'}; is another program at this port?"
        )


def _wait_for_earlier(port: str, seconds: float) -> None:
    """Waits until nobody listens on a port of this machine: two who do would share who comes."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", int(port)), timeout=1.0).close()
            time.sleep(PAUSE)
            continue
        return
    raise ConfigError(
        f"port {port} of this machine is another program's; give --coordinator another one"
    )


def connected(port: int, lines: Iterable[str]) -> int:
    """How many are connected to a port of this machine, of the lines of Linux' tables."""
    rows = [line.split() for line in lines]
    at = f":{port:04X}"
    return sum(len(r) > 3 and r[1].endswith(at) and r[3] == ESTABLISHED for r in rows)


def _lines() -> list[str]:
    """Of the tables of connections that there are; elsewhere than on Linux none."""
    tables = [Path(name) for name in CONNECTIONS]
    return [line for table in tables if table.exists() for line in table.read_text().splitlines()]


def outlive(parent: int, wanted: Callable[[], bool], *, longest: float = LONGEST) -> None:
    """Returns when the parent is gone and nobody wants this process any more, or too long after."""
    while os.getppid() == parent:
        time.sleep(PAUSE)
    end = time.monotonic() + longest
    while wanted() and time.monotonic() < end:
        time.sleep(PAUSE)


def main(bind: str, count: str, heartbeat: str, parent: str) -> None:
    """Keeps the store."""
    # Who asks a run to leave asks all of its processes; this one has to be there until they have.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    from jaxlib import _jax  # all that it needs: jax itself takes seconds

    options = dict(heartbeat_timeout=int(heartbeat), shutdown_timeout=300, recoverable=False)
    store = _jax.get_distributed_runtime_service(bind, int(count), **options)
    print(LISTENS, flush=True)
    # Nobody reads these any more: a pipe that is full would stop it, one that is open a `tee`.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    port = int(bind.rpartition(":")[2])
    outlive(int(parent), lambda: connected(port, _lines()) > 0)
    del store
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
