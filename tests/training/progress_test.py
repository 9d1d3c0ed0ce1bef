"""The progress line: news, and in between what the run is at."""

import io
import math
import time

from m3i_jax.training import log as logs
from m3i_jax.training import waiting
from m3i_jax.training.progress import SILENCE, Progress, duration


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_news_are_lines_or_stand_in_their_place(tmp_path):
    now = iter([0.0, 10.0, 20.0])
    out = io.StringIO()
    with logs.Log(tmp_path, total=1000, start=100, stream=out, clock=lambda: next(now)) as log:
        log.progress(200, loss=1.25, images_per_second=812.4)
        log.progress(400, loss=1.0, images_per_second=1624.8)
    lines = out.getvalue().splitlines()
    # 100 steps in 10 s, 800 to go; then 200 in 10 s, 600 to go.
    assert lines[0] == "step 200/1000 (20.0 %)  loss 1.2500  812 images/s  1m 20s left"
    assert lines[1] == "step 400/1000 (40.0 %)  loss 1.0000  1625 images/s  30s left"
    terminal = Terminal()
    with logs.Log(tmp_path, total=10, stream=terminal) as log:
        log.progress(1, loss=1.0, images_per_second=1.0)
        log.progress(2, loss=1.0, images_per_second=1.0)
    assert terminal.getvalue().count("\r") == 2 and terminal.getvalue().count("\n") == 1
    closed = io.StringIO()
    with logs.Log(tmp_path, total=10, stream=closed) as log:
        closed.close()
        log.progress(1, loss=1.0, images_per_second=1.0)


def test_between_news_it_says_the_step_and_what_is_done_beside_steps():
    clock, doing, terminal = [0.0], ["saving"], Terminal()
    line = Progress(total=40, start=0, stream=terminal, clock=lambda: clock[0])
    line._step, line._doing = 3, lambda: doing[0]
    assert line._now() == "step 3/40 (7.5 %), saving"
    clock[0], doing[0] = 5.0, ""
    line.news(10, loss=2.0, images_per_second=80.0, per_step=0.5)
    line._step = 12
    assert line._now() == "step 12/40 (30.0 %)  loss 2.0000  80 images/s  14s left"
    line._stream = io.StringIO()  # a file: a line where none was for long
    assert line._now() == ""
    clock[0] = 5.0 + SILENCE
    assert line._now().startswith("step 12/40")


def test_from_the_first_step_on_it_is_alive_until_it_is_closed(monkeypatch):
    told = []
    monkeypatch.setattr(waiting, "_said", lambda stream, text, end: told.append(text) or 0.01)
    monkeypatch.setattr(waiting.ticking.__wrapped__, "__kwdefaults__", {"quiet": 0.01})
    line = Progress(total=4, start=0, stream=Terminal())
    line.at(1, lambda: "")
    end = time.monotonic() + 5
    while "step 1/4 (25.0 %)" not in told and time.monotonic() < end:
        time.sleep(0.01)
    line.at(2, lambda: "measuring")
    while "step 2/4 (50.0 %), measuring" not in told and time.monotonic() < end:
        time.sleep(0.01)
    line.close()
    count = len(told)
    time.sleep(0.05)
    assert {"step 1/4 (25.0 %)", "step 2/4 (50.0 %), measuring"} <= {*told} and len(told) == count


def test_duration():
    table = {0: "0s", 59.9: "59s", 310: "5m 10s", 12000: "3h 20m", 183600: "2d 03h", math.inf: "?"}
    assert {seconds: duration(seconds) for seconds in table} == table
