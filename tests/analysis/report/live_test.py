"""The page of a run that goes on: when it is written, that it costs little and can fail."""

import threading
import time
from types import SimpleNamespace

import pytest

from m3i_jax.analysis.report.live import SHARE, Live
from tests.training.toy_steps import infos


def config(report=True, every=4, images=0):
    return SimpleNamespace(log=dict(report=report, images=images), monitor=dict(every=every))


def run(live, steps=12):
    """All steps; each waits for the page that it began."""
    for info in infos(steps):
        for hook in live.hooks():
            hook(info)
            if live._thread:
                live._thread.join()


def test_the_page_is_written_with_every_monitor_and_set_of_pictures(tmp_path):
    written = []
    live = Live(tmp_path, config(every=4, images=6), write=written.append, clock=lambda: 0.0)
    run(live)
    assert written == [[tmp_path]] * 3  # at 4, 6 and 8; behind the last step the final one comes
    live.final()
    assert len(written) == 4


@pytest.mark.parametrize("block", [config(report=False), config(every=0)])
def test_who_does_not_ask_for_it_has_none_on_the_way(block, tmp_path):
    written = []
    live = Live(tmp_path, block, write=written.append)
    run(live)
    assert not written and bool(live.hooks()) == block.log["report"]
    live.final()
    assert len(written) == block.log["report"]


def test_a_slow_page_is_written_less_often(tmp_path):
    """One of a second must be followed by 1/SHARE seconds without."""
    now, written = [0.0], []

    def write(places):
        written.append(now[0])
        now[0] += 1.0

    live = Live(tmp_path, config(every=1), write=write, clock=lambda: now[0])
    (hook,) = live.hooks()
    for info in infos(400):
        now[0] += 1.0
        hook(info)
        if live._thread:
            live._thread.join()
    gaps = [b - a for a, b in zip(written, written[1:], strict=False)]
    assert len(written) > 2 and min(gaps) >= 1 / SHARE


def test_a_step_waits_for_no_page(tmp_path):
    free, started = threading.Event(), []
    write = lambda places: (started.append(places), free.wait(10))  # noqa: E731
    live = Live(tmp_path, config(every=1), write=write)
    (hook,) = live.hooks()
    before = time.monotonic()
    for info in infos(50):
        hook(info)
    assert time.monotonic() - before < 5 and len(started) == 1
    free.set()
    live.final()
    assert len(started) == 2


def test_a_failure_ends_no_run(tmp_path, caplog):
    def write(places):
        raise RuntimeError("a damaged disk")

    live = Live(tmp_path, config(), write=write, clock=lambda: 0.0)
    run(live)
    live.final()
    assert "report.html cannot be written (RuntimeError: a damaged disk)" in caplog.text


def test_the_page_is_that_of_the_work_directory(tmp_path):
    from tests.analysis.report.places import workdir

    Live(workdir(tmp_path / "run"), config()).final()
    assert "<h1>run</h1>" in (tmp_path / "run" / "report.html").read_text()
