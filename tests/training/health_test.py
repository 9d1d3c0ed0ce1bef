"""The watch tells collapse from a bad batch."""

import logging

from m3i_jax.training import health


def test_an_alarm_takes_patience_and_ends_with_its_cause(caplog):
    look = health.watch()
    with caplog.at_level(logging.WARNING):
        seen = [
            look(step, {"health/a/spread": spread, "health/a/rank": 9.0, "train/loss": 1.0})
            for step, spread in enumerate([0.9, 0.1, 0.9, 0.1, 0.1, 0.1, 0.1, 0.9])
        ]
    assert [found["health/alarm"] for found in seen] == [0, 0, 0, 0, 0, 1, 1, 0]
    assert len(caplog.records) == 1 and "a/spread is down to 0.1" in caplog.text


def test_rank_and_numbers_that_are_none_count_too():
    look = health.watch()
    for rank in (9.0, *[1.2] * health.PATIENCE):
        found = look(0, {"health/a/rank": rank, "health/b/rank": 9.0})
    assert found == {"health/alarm": 1.0}
    look = health.watch()
    for _ in range(health.PATIENCE):
        found = look(0, {"health/a/spread": float("nan")})
    assert found == {"health/alarm": 1.0}


def test_prototypes_that_fall_out_of_use_are_missed():
    look = health.watch()
    seen = [look(0, {"health/a/used": used})["health/alarm"] for used in (50, 40, 9, 8, 7, 30)]
    assert seen == [0, 0, 0, 0, 1, 0]


def test_what_starts_low_and_rises_is_no_collapse():
    look = health.watch()
    assert not any(look(0, {"health/text/spread": s})["health/alarm"] for s in (0.01, 0.02, 0.1))


def test_few_directions_are_no_collapse_while_the_target_spreads():
    look = health.watch()
    rows = [(3.2, 0.01), (1.6, 0.1), (1.5, 0.2), (1.6, 0.3), (1.8, 0.4), (2.1, 0.5)]
    for rank, spread in rows:
        found = look(0, {"health/text/rank": rank, "health/text/spread": spread})
        assert not found["health/alarm"]
    for _ in range(health.PATIENCE):
        found = look(0, {"health/text/rank": 1.5, "health/text/spread": 0.24})
    assert found["health/alarm"]


def test_a_run_that_goes_on_alarms_as_if_it_had_not_stopped():
    rows = [{"health/a/spread": s} for s in (0.9, 0.1, 0.1, 0.1, 0.1)]
    look = health.watch()
    straight = [look(i, row) for i, row in enumerate(rows)]
    for cut in range(len(rows)):
        look = health.watch(history=rows[:cut])
        assert [look(i, rows[i]) for i in range(cut, len(rows))] == straight[cut:]


def test_nothing_to_watch_says_nothing():
    assert health.watch()(0, {"train/loss": 1.0}) == {}
