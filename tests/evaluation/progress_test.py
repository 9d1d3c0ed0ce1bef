"""Lines at once and then now and then, with what is left at the pace so far."""

import logging

from m3i_jax.evaluation import progress


def lines(caplog):
    return [record.message for record in caplog.records]


def test_the_first_line_comes_at_once_and_the_others_are_rare(caplog):
    caplog.set_level(logging.INFO)
    now = [0.0]
    tick = progress.ticker("strength", total=7, every=5.0, clock=lambda: now[0])
    for second in range(20):
        now[0] = float(second)
        tick(second // 4, f"iteration {second}")
    assert lines(caplog) == [
        "strength 1 of 7: iteration 0",
        "strength 2 of 7, about 30s left: iteration 5",
        "strength 3 of 7, about 25s left: iteration 10",
        "strength 4 of 7, about 20s left: iteration 15",
    ]


def test_counting_hands_everything_through(caplog):
    caplog.set_level(logging.INFO)
    assert list(progress.counted(iter("abc"), "batch", total=3, every=0.0)) == list("abc")
    assert [line.split(",")[0] for line in lines(caplog)] == [
        "batch 1 of 3",
        "batch 2 of 3",
        "batch 3 of 3",
    ]


def test_what_goes_on_is_rated_by_what_was_done_since(caplog):
    caplog.set_level(logging.INFO)
    now = [0.0]
    tick = progress.rated("image", total=100, unit="images", clock=lambda: now[0])
    for done in (50, 60):
        tick(done)
        now[0] += 5
    tick(70)
    assert "image 51 of 100" in caplog.messages[0] and "left" not in caplog.messages[0]
    assert "image 71 of 100, about 15s left: 2 images a second" in caplog.messages[-1]
