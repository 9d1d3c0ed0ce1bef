"""Hooks on moments made by hand: what is written when, and when a run gives up."""

import numpy as np
import pytest

from m3i_jax.training import hooks
from m3i_jax.training.loop import Moment


class Book:
    """A log that remembers."""

    def __init__(self):
        self.lines, self.rates, self.pictures = [], [], []

    def scalars(self, step, values):
        self.lines.append((step, float(values["train/loss"])))

    def progress(self, step, *, loss, images_per_second):
        self.rates.append((step, images_per_second))

    def images(self, step, pictures):
        self.pictures.append(step)


def moments(total, *, skipped=lambda step: 0):
    for step in range(1, total + 1):
        metrics = {"train/loss": np.float32(step), "optim/skipped": np.int32(skipped(step))}
        yield Moment(step, total, [], None, {"sample": step}, metrics, 0.0, step == total)


def test_lines_are_of_their_own_step_and_complete_before_a_checkpoint():
    book, on_disk = Book(), {}
    hook = hooks.logging(book, batch=4, every=2, flush=6)
    for moment in moments(7):
        hook(moment)
        on_disk[moment.step] = [step for step, _ in book.lines]
    assert book.lines == [(2, 2.0), (4, 4.0), (6, 6.0), (7, 7.0)]
    assert on_disk[3] == [] and on_disk[4] == [2], "reading lags, so that the device never waits"
    assert on_disk[6] == [2, 4, 6], "all that precedes a checkpoint is written before it"
    assert all(rate > 0 for _, rate in book.rates)


def test_a_run_that_is_never_finite_gives_up():
    hook = hooks.logging(Book(), batch=4, every=10)
    with pytest.raises(hooks.NotFinite, match="not been finite for 100 steps up to step"):
        for moment in moments(400, skipped=lambda step: max(0, step - 50)):
            hook(moment)


def test_a_run_with_a_bad_step_now_and_then_goes_on():
    book = Book()
    hook = hooks.logging(book, batch=4, every=10)
    for moment in moments(400, skipped=lambda step: step // 5):
        hook(moment)
    assert [step for step, _ in book.lines] == list(range(10, 401, 10))


def test_checkpoints_follow_their_interval_and_the_end():
    saved = []

    class Kept:
        def check(self):
            pass

        def save(self, step, items, meta, *, wait):
            saved.append((step, items, meta["sample"], wait))

    class State:
        def items(self):
            return "items"

    hook = hooks.saving(Kept(), state=lambda leaves: State(), meta=lambda m: m.position, every=3)
    for moment in moments(7):
        hook(moment)
    assert saved == [(3, "items", 3, False), (6, "items", 6, False), (7, "items", 7, True)]


def test_pictures_are_drawn_first_last_and_in_between():
    book = Book()
    draw = lambda state, batch, step: {"views": np.zeros((1, 1, 3))}  # noqa: E731
    hook = hooks.drawing(book, draw, state=lambda leaves: None, every=4)
    for moment in moments(9):
        hook(moment)
    assert book.pictures == [1, 4, 8, 9]


def test_zero_is_never_due():
    assert not hooks.due(10, 0) and hooks.due(10, 5) and not hooks.due(11, 5)
