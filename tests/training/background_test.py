"""Whatever a tracker does, the run goes on, and what happened is said once."""

import threading
import time

import pytest

from m3i_jax.training.background import Background
from m3i_jax.training.trackers.tracker import Tracker


def test_all_is_handed_on_in_order_and_the_end_is_waited_for():
    seen = []

    def slow(step, content):
        time.sleep(0.01)
        seen.append((step, content))

    ends = dict(flush=lambda: seen.append("flush"), close=lambda: seen.append("close"))
    told = Background("x", lambda: Tracker(slow, slow, **ends))
    for step in range(3):
        told.send("scalars" if step else "images", step, {"x": step})
    while "flush" not in seen:
        time.sleep(0.001)
    told.close(5.0)
    assert [entry for entry in seen if entry != "flush"] == [
        *((step, {"x": step}) for step in range(3)),
        "close",
    ]


@pytest.mark.parametrize("where", ["opened", "scalars", "close"])
@pytest.mark.parametrize("error", [OSError("no route"), SystemExit(3)])
def test_an_error_is_said_once_and_ends_it(where, error, caplog):
    def fails(*args):
        raise error

    def nothing(*args):
        pass

    def opened():
        calls = {name: fails if where == name else nothing for name in ("scalars", "close")}
        return fails() if where == "opened" else Tracker(images=nothing, **calls)

    told = Background("x", opened)
    for step in range(5):
        told.send("scalars", step, {})
        time.sleep(0.002)
    told.close(5.0)
    told.send("scalars", 9, {})
    (record,) = caplog.records
    assert record.getMessage().startswith(f"x is off from here ({type(error).__name__}: {error})")


def test_one_that_hangs_costs_no_time_and_what_is_dropped_is_counted(caplog):
    free = threading.Event()
    told = Background("x", lambda: Tracker(lambda *_: free.wait(), lambda *_: None), room=10)
    start = time.monotonic()
    for step in range(100):
        told.send("scalars", step, {})
    told.close(0.1)
    assert time.monotonic() - start < 1
    said = [record.getMessage() for record in caplog.records]
    assert "fallen 10 entries behind: what follows step" in said[0]
    assert said[1:] == [
        "x has not ended within 0.1 s and is left behind",
        f"x: {told.dropped} entries were dropped",
    ]
    assert told.dropped in (89, 90)  # one may have been taken already
    free.set()


def test_one_that_catches_up_goes_on(caplog):
    seen, free = [], threading.Event()

    def slow(step, content):
        free.wait()
        seen.append(step)

    told = Background("x", lambda: Tracker(slow, slow), room=2)
    for step in range(6):
        told.send("scalars", step, {})
    free.set()
    while len(seen) < 6 - told.dropped:
        time.sleep(0.001)
    told.send("scalars", 6, {})
    told.close(5.0)
    assert seen[-1] == 6 and len(seen) == 7 - told.dropped
