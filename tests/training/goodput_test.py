"""Where the time of a run went, by clocks that are moved by hand."""

import pytest

from m3i_jax.training.goodput import ELAPSED, KINDS, SHARE, STEPS, Ledger
from m3i_jax.training.loop import StepInfo

INFO = StepInfo(1, 9, [], None, None, {}, 0.0, False)


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self, at=0.0):
        self.at = at

    def __call__(self):
        return self.at

    def passes(self, seconds):
        self.at += seconds


def run(clock, ledger, *, waited=0.0):
    """A start of 30 s, 5 of them waited, 8 compiled, then 100 s of which 12 are no steps."""
    clock.passes(22)
    assert ledger.spending("compiling", lambda what: clock.passes(8) or what)("step") == "step"
    ledger.started(5.0)
    ledger.spending("saving", lambda info: clock.passes(2))(INFO)
    ledger.spending("measuring", lambda info: clock.passes(3))(INFO)
    clock.passes(95)
    return ledger.row(5.0 + 7.0)


def test_it_knows_what_is_being_done():
    ledger, seen = Ledger(), []
    ledger.spending("saving", lambda: seen.append(ledger.doing))()
    assert seen == ["saving"] and ledger.doing == ""


def test_every_second_is_booked_once():
    clock = Clock(1000.0)
    row = run(clock, Ledger(clock=clock, now=clock))
    assert row == {
        "perf/seconds/starting": 22.0,
        "perf/seconds/compiling": 8.0,
        "perf/seconds/data": 7.0,
        "perf/seconds/measuring": 3.0,
        "perf/seconds/saving": 2.0,
        STEPS: 88.0,
        ELAPSED: 130.0,
        SHARE: 88 / 130,
    }


def test_a_second_start_goes_on_from_the_lines_that_are_left_and_the_gap_is_lost():
    wall, clock = Clock(5000.0), Clock(70.0)
    first = run(clock, Ledger(clock=clock, now=wall))
    wall.at, clock.at = 5000.0 + 130.0 + 60.0, 3.0  # a minute later, on another machine
    second = run(clock, Ledger([{"step": 5}, first], began=5000.0, clock=clock, now=wall))
    assert second[STEPS] == 2 * 88.0 and second["perf/seconds/starting"] == 44.0
    assert second[ELAPSED] == 130.0 + 60.0 + 130.0
    told = sum(second[f"perf/seconds/{kind}"] for kind in KINDS)
    assert second[ELAPSED] - told - second[STEPS] == pytest.approx(60.0), "lost between the two"


def test_a_clock_that_was_set_back_makes_no_time_undone():
    wall, clock = Clock(5000.0), Clock()
    first = run(clock, Ledger(clock=clock, now=wall))
    back = Ledger([first], began=5000.0, clock=clock, now=Clock(100.0))
    assert back.row(0.0)[ELAPSED] == first[ELAPSED]


def test_a_hook_that_fails_is_booked_too():
    clock = Clock()
    ledger = Ledger(clock=clock, now=clock)
    ledger.started(0.0)

    def fails(info):
        clock.passes(4)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        ledger.spending("saving", fails)(INFO)
    assert ledger.row(0.0)["perf/seconds/saving"] == 4.0
