"""Where the time of a run went, over all its starts: how much of it moved the training on.

    goodput = seconds in steps that count / seconds since the first start

What was computed and is lost with a process, and the time until the next start, count for nothing:
a line of the log that is dropped at a resume takes its seconds with it. So the sums stand in the
log, and whoever goes on goes on from the last line that is left.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

# What time is spent on besides steps, and what each of them is.
KINDS = {
    "starting": "starts, until the end of the first step",
    "compiling": "compiling the step",
    "data": "waiting for data",
    "measuring": "monitors, validation, pictures",
    "saving": "checkpoints, as far as steps waited for them",
}
STEPS, ELAPSED, SHARE = "perf/seconds/steps", "perf/seconds/elapsed", "perf/goodput"


class Ledger:
    """Seconds by kind, from the start of a process on; rows of the log before it are its past.

    Args:
      history: rows of the log that stay.
      began: when the run was started first, in seconds of `now`; None = it starts here.
      start: when this process began its work, in seconds of `clock`.
    """

    def __init__(
        self,
        history: Iterable[Mapping[str, Any]] = (),
        *,
        began: float | None = None,
        start: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ):
        self._clock = clock
        self._start = clock() if start is None else start
        last = next((row for row in reversed(list(history)) if ELAPSED in row), {})
        read = lambda name: float(last.get(name, 0.0))  # noqa: E731
        self._spent = {kind: read(f"perf/seconds/{kind}") for kind in KINDS}
        self._steps = read(STEPS)
        # A clock that was set back makes no time undone.
        here = 0.0 if began is None else now() - (clock() - self._start) - began
        self._before = max(read(ELAPSED), here)
        self._own = dict.fromkeys(KINDS, 0.0)  # of this process
        self.doing = ""  # the kind that time is being spent on, "" in steps
        self._waited = 0.0  # for data, until the first step had ended

    def spending(self, kind: str, act: Callable[..., T]) -> Callable[..., T]:
        """The same function, such as a hook, whose time is booked under `kind`."""

        def timed(*args: Any) -> T:
            before, self.doing = self._clock(), kind
            try:
                return act(*args)
            finally:
                self._own[kind] += self._clock() - before
                self.doing = ""

        return timed

    def started(self, waited: float) -> None:
        """The first step has ended; `waited` as of `row`.

        All time before it went into starting, but for what was compiled.
        """
        compiled = self._own["compiling"]
        starting = self._clock() - self._start - compiled
        self._own = dict.fromkeys(KINDS, 0.0) | dict(starting=starting, compiling=compiled)
        self._waited = waited

    def row(self, waited: float) -> dict[str, float]:
        """What the log says after a step; `waited`: seconds for data, of this process so far."""
        own = self._own | {"data": waited - self._waited}
        total = self._clock() - self._start
        spent = {kind: self._spent[kind] + own[kind] for kind in KINDS}
        steps = self._steps + max(total - sum(own.values()), 0.0)
        elapsed = self._before + total
        seconds = {f"perf/seconds/{kind}": value for kind, value in spent.items()}
        return seconds | {STEPS: steps, ELAPSED: elapsed, SHARE: steps / max(elapsed, 1e-9)}
