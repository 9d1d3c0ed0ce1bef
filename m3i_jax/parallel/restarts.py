"""Starting again what has failed, as long as it gets on.

What survives a process is its last checkpoint, and the same command goes on from it: so somebody
has to give the command again. Nobody should, where each try ends at the same step: then the step is
at fault, or the machine, and tries cost a cluster.
"""

import datetime
import os
import time
from collections.abc import Callable
from typing import NamedTuple

from m3i_jax.parallel.launching import PEER_GONE, End

NO_PROGRESS = os.EX_CONFIG  # 78: the same step failed as often as allowed
SIGNALLED = 128
UNEXPECTED = 1  # a traceback
LONGEST = 60.0  # seconds of pause, which doubles from one second with each failure at a step


class Failure(NamedTuple):
    """One try that failed.

    time: when it ended, ISO 8601, UTC.  step: of the newest checkpoint by then.
    status, rank: how the first process ended so, and which one it was.  seconds: that it took.
    """

    time: str
    step: int
    status: int
    rank: int
    seconds: float


def again(status: int) -> bool:
    """Whether a status may be another one next time.

    A config that cannot be run (2), data that cannot be read (65), numbers that are no longer
    finite (70, the same to the bit), a work directory in use (73) would be again what they were;
    who was asked to leave (75) has left.
    """
    return status in (UNEXPECTED, PEER_GONE, os.EX_OSERR, os.EX_IOERR) or status > SIGNALLED


def persevere(
    attempt: Callable[[], End],
    *,
    tries: int,
    step: Callable[[], int],
    keep: Callable[[Failure], None],
    tell: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Attempts until it ends well, or `tries` times at one step; returns the status.

    attempt: runs all to its end.
    step: of the newest checkpoint.
    keep: writes a failure down.
    tell: says what is done next.
    """
    failures: list[Failure] = []
    while True:
        start = time.monotonic()
        end = attempt()
        if end.asked or not again(end.status):
            return end.status
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        failure = Failure(now, step(), end.status, end.rank, time.monotonic() - start)
        failures.append(failure)
        keep(failure)
        here = sum(one.step == failure.step for one in failures)
        if here >= tries:
            tell(_report(failures, tries))
            return NO_PROGRESS if tries > 1 else end.status
        pause = min(2.0 ** (here - 1), LONGEST)
        tell(
            f"process {failure.rank} ended with {failure.status} behind step {failure.step}; "
            f"try {here + 1} of {tries} at this step follows in {pause:g} s"
        )
        sleep(pause)


def _report(failures: list[Failure], tries: int) -> str:
    """All failures as a table, and why nobody tries again."""
    rows = [f"{'time':25}  {'step':>9}  {'rank':>4}  {'status':>6}  {'seconds':>8}"]
    rows += [
        f"{one.time:25}  {one.step:9d}  {one.rank:4d}  {one.status:6d}  {one.seconds:8.1f}"
        for one in failures
    ]
    times = "once" if tries == 1 else f"{tries} times"
    return "\n".join([f"failed {times} behind step {failures[-1].step}, no more tries:", *rows])
