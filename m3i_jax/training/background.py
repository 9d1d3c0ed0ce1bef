"""A thread that tells somebody of a run, and can neither stop nor slow it."""

import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from m3i_jax.training.trackers.tracker import Tracker

LOG = logging.getLogger(__name__)
ROOM = 1000  # entries that may wait


class Background:
    """One tracker on its thread. It is off from its first error on; what has no room is dropped.

    Both are said once; how many were dropped is said at the end.
    """

    def __init__(self, name: str, opened: Callable[[], Tracker], *, room: int = ROOM):
        """Opens the tracker on the thread; name: for sentences."""
        self.name, self.dropped, self.off = name, 0, False
        self._opened, self._queue = opened, queue.Queue(room)
        self._thread = threading.Thread(target=self._run, name=f"m3i-{name}", daemon=True)
        self._thread.start()

    def send(self, kind: str, step: int, content: dict[str, Any]) -> None:
        """Hands on "scalars" or "images", or drops them; never waits."""
        if self.off:
            return
        try:
            self._queue.put_nowait((kind, step, content))
        except queue.Full:
            self.dropped += 1
            if self.dropped == 1:
                LOG.warning(
                    "%s has fallen %d entries behind: what follows step %d is dropped until it "
                    "catches up; metrics.jsonl has all of it",
                    *(self.name, self._queue.maxsize, step),
                )

    def close(self, seconds: float) -> None:
        """Lets it finish what waits, for so many seconds at most."""
        end = time.monotonic() + seconds
        try:
            if not self.off:
                self._queue.put(None, timeout=max(0.0, seconds))
                self._thread.join(max(0.0, end - time.monotonic()))
        except queue.Full:
            pass
        if self._thread.is_alive() and not self.off:
            LOG.warning("%s has not ended within %.3g s and is left behind", self.name, seconds)
            self.off = True
        if self.dropped:
            LOG.warning("%s: %d entries were dropped", self.name, self.dropped)

    def _run(self) -> None:
        try:
            tracker = self._opened()
            while (entry := self._queue.get()) is not None:
                kind, step, content = entry
                (tracker.scalars if kind == "scalars" else tracker.images)(step, content)
                if self._queue.empty():
                    tracker.flush()
            tracker.close()
        except BaseException as error:  # noqa: BLE001, whatever a tracker raises, exits too
            if not self.off:
                why = f"{type(error).__name__}: {error}"
                LOG.warning("%s is off from here (%s); metrics.jsonl goes on", self.name, why)
            self.off = True
