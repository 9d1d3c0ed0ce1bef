"""Being asked to leave: a signal sets a flag, the loop polls it, saves, and exits with 75."""

import math
import os
import signal
import time
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

EXIT_PREEMPTED = os.EX_TEMPFAIL  # 75: run the same command again
PERIOD = 1.0  # seconds between two questions to the other processes, or one step if that is longer
MOST = 100  # steps between two of them at most

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
        # Questions to the other processes: steps until the next one, and steps from the last one to
        # it; when the last one ended; seconds per step before that.
        self._left = self._steps = 0
        self._asked, self._pace = math.nan, math.inf

    def __enter__(self) -> "Preemption":
        self._before = {number: signal.signal(number, self._receive) for number in SIGNALS}
        return self

    def __exit__(self, *error: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def agreed(self) -> bool:
        """Whether to leave: asked once per step by the loop of every process.

        One process knows at once. Several agree by asking each other, which waits for the steps
        that the devices still have to do; so they ask about every `PERIOD`, or after every step
        if steps are longer, and their common pace decides, so that all ask after the same step.
        """
        if jax.process_count() == 1:
            return self.requested
        self._left -= 1
        if self._left > 0:
            return False
        told = multihost_utils.process_allgather(np.float32([self.requested, self._pace]))
        asked, pace = np.max(told, axis=0)
        now, steps = time.monotonic(), self._steps
        # From end to end, as only then the devices have done the steps in between.
        self._pace = (now - self._asked) / steps if steps else math.inf
        self._asked = now
        self._steps = self._left = int(np.clip(PERIOD / pace, 1, MOST))
        return bool(asked)

    def _receive(self, number: int, frame: Any) -> None:
        name = signal.Signals(number).name
        if self.requested:
            os.write(2, f"\n{name} again: leaving at once, nothing is saved\n".encode())
            os._exit(128 + number)
        self.requested = True
        text = f"\n{name}: leaving after this step and a checkpoint; once more leaves at once\n"
        os.write(2, text.encode())
