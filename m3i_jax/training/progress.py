"""The progress line of a run, which is alive: the step, what is done beside steps, what is left."""

import contextlib
import math
import time
from collections.abc import Callable
from typing import TextIO

from m3i_jax.training.waiting import ticking

SILENCE = 15.0  # seconds without a line, where there is no terminal, after which there is one


class Progress:
    """Says how far a run is: in place on a terminal, in lines elsewhere.

    Every step is noted (`at`), every so often there is news of one (`news`). In between a terminal
    shows the step of each second; elsewhere a line is added where none was for `SILENCE` seconds.
    """

    def __init__(
        self,
        *,
        total: int,
        start: int,
        stream: TextIO,
        clock: Callable[[], float] = time.monotonic,
    ):
        """total: steps of the run.  start: that it goes on from.  clock: seconds, monotonic."""
        self._total, self._stream, self._clock = total, stream, clock
        self._mark, self._pace = (start, clock()), 0.0
        self._step, self._rest, self._open = start, "", False
        self._doing: Callable[[], str] = lambda: ""
        self._alive = contextlib.ExitStack()
        self._ticks = False

    def at(self, step: int, doing: Callable[[], str]) -> None:
        """A step is made; from the first one on the line is alive, until `close`."""
        self._step, self._doing = step, doing
        if not self._ticks:
            self._ticks = True
            self._alive.enter_context(ticking(self._now, self._stream))

    def news(
        self, step: int, *, loss: float, images_per_second: float, per_step: float | None
    ) -> None:
        """What came of a step.

        per_step: seconds of a step; None = those since the last news, compilation included.
        """
        (before, then), now = self._mark, self._clock()
        self._mark = (step, now)
        self._pace = (now - then) / max(1, step - before) if per_step is None else per_step
        self._rest = f"  loss {loss:.4f}  {images_per_second:.0f} images/s"
        with contextlib.suppress(OSError, ValueError):  # a closed terminal
            self._open = self._stream.isatty()
            text = self._line(max(step, self._step) if self._open else step)  # never backwards
            self._stream.write(f"\r{text}\x1b[K" if self._open else text + "\n")
            self._stream.flush()

    def close(self) -> None:
        """Leaves the line as it is."""
        self._alive.close()
        if self._open:
            print(file=self._stream)

    def _line(self, step: int) -> str:
        """Such as "step 13/40 (32.5 %)  loss 2.6371  318 images/s  42s left"."""
        text = f"step {step}/{self._total} ({100 * step / max(1, self._total):.1f} %)"
        if not self._rest:  # no news yet
            return text
        return f"{text}{self._rest}  {duration(self._pace * (self._total - step))} left"

    def _now(self) -> str:
        """What the line says by itself; "" where there were news just now."""
        doing = self._doing()
        text = self._line(self._step) + (f", {doing}" if doing else "")
        with contextlib.suppress(OSError, ValueError):
            if self._stream.isatty():
                self._open = True
                return text
        return text if self._clock() - self._mark[1] >= SILENCE else ""


def duration(seconds: float) -> str:
    """Seconds as "2d 03h", "3h 20m", "5m 10s" or "42s"."""
    if not math.isfinite(seconds):
        return "?"
    minutes, secs = divmod(int(max(0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours:02d}h"
    if hours:
        return f"{hours}h {minutes:02d}m"
    return f"{minutes}m {secs:02d}s" if minutes else f"{secs}s"
