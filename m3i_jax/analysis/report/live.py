"""The page of a run that goes on: written anew with every look at it, on a thread."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax

from m3i_jax.analysis.report import page
from m3i_jax.training import lengths, schema
from m3i_jax.training.config import Config
from m3i_jax.training.loop import Hook, StepInfo

LOG = logging.getLogger(__name__)
SHARE = 0.01  # of the run's time that writing may take
PATIENCE = 30.0  # seconds that the last page waits for the one before


class Live:
    """Writes the page of one run, where its `config.log.report` asks for it.

    No run ends because of it: what fails is said, and the page that is there stays.
    """

    def __init__(
        self,
        workdir: str | Path,
        config: Config,
        *,
        write: Callable[[Sequence[str | Path]], Any] = page.write,
        clock: Callable[[], float] = time.monotonic,
    ):
        """write, clock: tests pass others."""
        log, monitor = schema.Log(**config.log), schema.Monitor(**config.monitor)
        self._workdir, self._write, self._clock = workdir, write, clock
        self._wanted, self._every = log.report, (monitor.every, log.images)
        self._thread: threading.Thread | None = None
        self._next = clock()

    def hooks(self) -> list[Hook]:
        """For `training.session.train(watch=...)`, behind the hooks that measure and draw."""
        return [self._look] if self._writes() else []

    def final(self) -> None:
        """The page of a run that has ended, with all of its files."""
        if self._thread is not None:
            self._thread.join(PATIENCE)
        if self._writes() and self._idle():
            self._work()

    def _look(self, info: StepInfo) -> None:
        """Begins a page, unless the last one is not done or writing takes too much of the time."""
        due = any(lengths.due(info.step, every) for every in self._every)
        if due and not info.last and self._idle() and self._clock() >= self._next:
            self._thread = threading.Thread(target=self._work, name="report", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        began = self._clock()
        try:
            self._write([self._workdir])
        except Exception as error:  # noqa: BLE001, whatever a damaged file brings about
            LOG.warning("report.html cannot be written (%s: %s)", type(error).__name__, error)
        self._next = self._clock() + (self._clock() - began) / SHARE

    def _writes(self) -> bool:
        return self._wanted and not jax.process_index()

    def _idle(self) -> bool:
        return self._thread is None or not self._thread.is_alive()
