"""Being asked to leave: a signal sets a flag, the loop polls it, saves, and exits with 75."""

import contextlib
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

EXIT_PREEMPTED = os.EX_TEMPFAIL  # 75: run the same command again
PERIOD = 1.0  # seconds between two questions to the other processes, or one step if that is longer
SAME = 1.0  # seconds within which a second signal is the first: coreutils' timeout sends it twice
IN_PYTHON = 0.5  # seconds in which a main thread that is not in C has met a signal
MOST = 100  # steps between two of them at most

SIGNALS = (signal.SIGTERM, signal.SIGINT)
Handler = Callable[[int, Any], Any]


class Asked(BaseException):
    """Somebody asks to leave in the middle of what is given up; no error that code may forgive."""


class Preemption:
    """Context manager that turns the first SIGTERM or SIGINT into a flag, `requested`.

    A second signal, `SAME` behind the first or later, ends the process at once with 128 + its
    number. Both are met by a thread, as the main one may be compiling for minutes, where no handler
    of Python's runs. They work with one process as with many (JAX's own need `jax.distributed`);
    the earlier handlers come back on exit. Enter it on the main thread and before anything slow.

    holds: whether memory has what the disk has not; `hold` sets it. While it is False, leaving
      loses nothing: the first SIGTERM ends the process at once, with `EXIT_PREEMPTED`, and SIGINT
      is for whom it was before: a handler of the program's, which the thread calls where the main
      one does not, or else Python, as in a notebook, whose KeyboardInterrupt it is.
    """

    def __init__(self, *, holds: bool = True):
        # A plain attribute: an Event's lock could be held by the very thread that is interrupted.
        self.requested = False
        self._holds = holds
        self._before: dict[int, Any] = {}
        self._given_up = self._ending = False
        self._told: float | None = None  # when the first signal was met
        self._interrupt: Handler | None = None
        # Questions to the other processes: steps until the next one, and steps from the last one to
        # it; when the last one ended; seconds per step before that.
        self._left = self._steps = 0
        self._asked, self._pace = math.nan, math.inf

    def __enter__(self) -> "Preemption":
        inlet, self._outlet = os.pipe()
        os.set_blocking(self._outlet, False)
        self._thread = threading.Thread(
            target=self._listen, args=(inlet,), name="signals", daemon=True
        )
        self._thread.start()
        # The interpreter writes the number of every signal there, whatever the main thread does.
        self._outlet_before = signal.set_wakeup_fd(self._outlet, warn_on_full_buffer=False)
        self._interrupt = _of_program(signal.getsignal(signal.SIGINT))
        self._before = {number: signal.signal(number, self._flag) for number in SIGNALS}
        return self

    def __exit__(self, *error: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._outlet_before)
        os.close(self._outlet)
        self._thread.join(1.0)

    def hold(self, info: Any) -> None:
        """A hook: after a step there is something to save."""
        self._holds = True

    @contextlib.contextmanager
    def giving_up(self) -> Iterator[None]:
        """What is in it ends where the first signal meets it: a measure beside a run, of minutes.

        Only in a process that is alone; afterwards `at_once` tells whether it came to its end.
        """
        self._given_up = jax.process_count() == 1
        try:
            try:
                yield
            finally:
                self._given_up = False
        except Asked:  # also of a signal on the way out
            pass

    def at_once(self) -> bool:
        """Whether to leave in the middle of something: only a process that is alone may."""
        return self.requested and jax.process_count() == 1

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
        received = multihost_utils.process_allgather(np.float32([self.requested, self._pace]))
        asked, pace = np.max(received, axis=0)
        now, steps = time.monotonic(), self._steps
        # From end to end, as only then the devices have done the steps in between.
        self._pace = (now - self._asked) / steps if steps else math.inf
        self._asked = now
        self._steps = self._left = int(np.clip(PERIOD / pace, 1, MOST))
        return bool(asked)

    def _flag(self, number: int, frame: Any) -> None:
        if number == signal.SIGINT and not self._holds:
            if self._interrupt is None:
                raise KeyboardInterrupt
            self._ending = True
            return self._interrupt(number, frame)
        self.requested = True  # for what polls on the main thread right after a signal
        if self._given_up:
            self._given_up = False
            raise Asked

    def _listen(self, inlet: int) -> None:
        """Meets signals until the other end of the pipe is closed."""
        with os.fdopen(inlet, "rb", buffering=0) as numbers:
            while number := numbers.read(1):
                if number[0] in SIGNALS:
                    self._receive(number[0])

    def _receive(self, number: int) -> None:
        name, free = signal.Signals(number).name, not self._holds
        if free and number == signal.SIGINT and self._interrupt is not None:
            time.sleep(IN_PYTHON)
            return None if self._ending else self._interrupt(number, None)
        self.requested = self.requested or self._holds
        if self._told is not None:
            if time.monotonic() - self._told < SAME:
                return
            os.write(2, f"\n{name} again: leaving at once, nothing is saved\n".encode())
            os._exit(128 + number)
        self._told = time.monotonic()
        if free and number == signal.SIGTERM:
            os.write(2, f"\n{name}: leaving at once, there is nothing to save\n".encode())
            os._exit(EXIT_PREEMPTED)
        after = "what is compiling now" if free else "this step and a checkpoint"
        os.write(
            2, f"\n{name}: leaving after {after}; again, a second later, leaves at once\n".encode()
        )


def _of_program(handler: Any) -> Handler | None:
    """The handler that a program has set, under another `Preemption`, too; None of Python's own."""
    if isinstance(outer := getattr(handler, "__self__", None), Preemption):
        return outer._interrupt
    return None if handler is signal.default_int_handler or not callable(handler) else handler
