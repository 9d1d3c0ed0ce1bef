"""Being asked to leave: a signal sets a flag, the loop polls it, saves, and exits with 75."""

import os
import signal
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

EXIT_PREEMPTED = 75  # BSD's EX_TEMPFAIL: run the same command again

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Preemption:
    """Context manager that turns the first SIGTERM or SIGINT into a flag, `requested`.

    The second signal ends the process at once with 128 + its number. The handlers work with one
    process as with many (JAX's own need `jax.distributed`); the earlier ones come back on exit.
    Enter it on the main thread and before anything slow, so that a signal during compilation or
    restoring counts too (RELIABILITY F4).
    """

    def __init__(self):
        # A plain attribute: an Event's lock could be held by the very thread that is interrupted.
        self.requested = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Preemption":
        self._before = {number: signal.signal(number, self._receive) for number in SIGNALS}
        return self

    def __exit__(self, *error: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def agreed(self) -> bool:
        """Whether any process has been asked to leave; all processes must call it together."""
        if jax.process_count() == 1:
            return self.requested
        flags = multihost_utils.process_allgather(np.asarray(self.requested))
        return bool(np.any(flags))

    def _receive(self, number: int, frame: Any) -> None:
        name = signal.Signals(number).name
        if self.requested:
            os.write(2, f"\n{name} again: leaving at once, nothing is saved\n".encode())
            os._exit(128 + number)
        self.requested = True
        text = f"\n{name}: leaving after this step and a checkpoint; once more leaves at once\n"
        os.write(2, text.encode())
