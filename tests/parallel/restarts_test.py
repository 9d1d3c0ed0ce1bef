"""What is started again, and when nobody tries any more."""

import pytest

from m3i_jax.parallel import restarts
from m3i_jax.parallel.launching import End


def persevered(ends, steps, *, tries):
    """(status, attempts made, failures kept, sentences, pauses) of attempts that end as given."""
    left, kept, told, pauses = list(zip(ends, steps, strict=True)), [], [], []
    reached = []

    def attempt():
        end, step = left.pop(0)
        reached.append(step)
        return end if isinstance(end, End) else End(end, 0, False)

    status = restarts.persevere(
        attempt,
        tries=tries,
        step=lambda: reached[-1],
        keep=kept.append,
        tell=told.append,
        sleep=pauses.append,
    )
    return status, len(reached), kept, told, pauses


def test_a_run_that_gets_on_is_started_again_as_often_as_it_takes():
    status, count, kept, _, pauses = persevered([137, 69, 1, 0], [10, 20, 30, 40], tries=2)
    assert (status, count) == (0, 4)
    assert [(one.step, one.status) for one in kept] == [(10, 137), (20, 69), (30, 1)]
    assert pauses == [1.0, 1.0, 1.0], "each is the first at its step"


def test_one_that_fails_at_the_same_step_ends_with_78_and_a_table():
    status, count, kept, told, pauses = persevered([137, 137, 137, 0], [5, 7, 7, 7], tries=2)
    assert (status, count) == (restarts.NO_PROGRESS, 3) == (78, 3)
    assert len(kept) == 3 and pauses == [1.0, 1.0]
    assert told[0].startswith("process 0 ended with 137 behind step 5; try 2 of 2")
    table = told[-1].splitlines()
    assert table[0] == "failed 2 times behind step 7, no more tries:" and len(table) == 5


def test_pauses_double_to_a_minute():
    *_, pauses = persevered([1] * 9, [0] * 9, tries=9)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]


def test_one_try_keeps_its_status():
    status, count, kept, told, _ = persevered([69], [3], tries=1)
    assert (status, count, len(kept)) == (69, 1, 1) and told[0].startswith("failed once behind")


@pytest.mark.parametrize("status", [0, 2, 65, 70, 73, 75])
def test_what_would_be_the_same_again_is_not_tried(status):
    assert persevered([status, 0], [0, 0], tries=5)[:3] == (status, 1, [])


@pytest.mark.parametrize("status", [1, 69, 74, 75, 137, 143])
def test_who_was_asked_to_end_all_does_not_start_them_again(status):
    assert persevered([End(status, 1, True), 0], [0, 0], tries=5)[:2] == (status, 1)
