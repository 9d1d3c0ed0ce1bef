"""Hooks on steps made by hand: what is written when."""

import itertools
import logging
import shutil

import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax.checkpoints.checkpoint import Checkpoints
from m3i_jax.checkpoints.faults import CheckpointError
from m3i_jax.checkpoints.storage import Storage, publish
from m3i_jax.training import hooks
from tests.training.toy_steps import Book, infos


def test_lines_are_of_their_own_step_and_complete_before_a_checkpoint():
    book, on_disk = Book(), {}
    hook = hooks.logging(book, batch=4, every=2, flush=lambda step: step == 6)
    for info in infos(7):
        hook(info)
        on_disk[info.step] = [step for step, _ in book.lines]
    assert book.lines == [(2, 2.0), (4, 4.0), (6, 6.0), (7, 7.0)]
    assert on_disk[3] == [] and on_disk[4] == [2], "reading lags, so that the device never waits"
    assert on_disk[6] == [2, 4, 6], "all that precedes a checkpoint is written before it"
    assert all(rate > 0 for _, rate in book.rates)


def test_a_step_that_is_parted_from_is_written_once_and_at_once():
    book = Book()
    hook = hooks.logging(book, batch=4, every=2)
    for info in itertools.islice(infos(9), 6):
        hook(info)
    hook(info._replace(last=True))
    assert [step for step, _ in book.lines] == [2, 4, 6]


class Late:
    """A number that the device has made at a time of its own."""

    def __init__(self, value, clock, at):
        self.value, self.clock, self.at = value, clock, at

    def block_until_ready(self):
        self.clock[0] = max(self.clock[0], self.at)
        return self

    def __array__(self, dtype=None, copy=None):
        self.block_until_ready()
        return np.asarray(self.value, dtype)


def test_a_rate_is_of_what_is_done_and_not_of_what_is_begun(monkeypatch):
    book, clock = Book(), [0.0]
    monkeypatch.setattr(hooks.time, "perf_counter", lambda: clock[0])
    hook = hooks.logging(book, batch=4, every=3)
    for info in infos(20):  # a step takes a second, and up to eight are begun before it ends
        clock[0] = max(clock[0], info.step - 8.0)
        hook(info._replace(metrics={"train/loss": Late(float(info.step), clock, info.step)}))
    assert [step for step, _ in book.lines] == [3, 6, 9, 12, 15, 18, 20]
    assert [rate for _, rate in book.rates] == [4.0] * 7


def test_utilisation_is_the_rate_over_what_the_peak_allows():
    for ceiling in (None, 2000.0):
        book = Book()
        hook = hooks.logging(book, batch=4, every=2, ceiling=ceiling)
        for info in infos(4):
            hook(info)
        for values in book.values:
            rate = values["perf/images_per_second"]
            assert values.get("perf/mfu") == (ceiling and rate / ceiling)


class State:
    """A training state that knows its step."""

    def __init__(self, step):
        self.step = step

    def items(self):
        return {"a": {"step": jnp.int32(self.step)}}


class Disk:
    """Refuses the attempts to seal a checkpoint whose numbers are given; the others go well."""

    def __init__(self, broken):
        self.broken, self.attempts = broken, 0

    def publish(self, path, data):
        self.attempts += 1
        if self.attempts in self.broken:
            raise OSError(28, "No space left on device")
        publish(path, data)


def save_all(folder, *, total, broken=(), every=8):
    """Runs the hook over `total` steps, waiting for every save; the steps that were saved."""
    disk, told = Disk(broken), []
    storage = Storage(publish=disk.publish)
    with Checkpoints(folder, keep=100, storage=storage, pauses=()) as kept:
        meta = lambda info: told.append(info.step) or info.position  # noqa: E731
        state = State(0)
        hook = hooks.saving(kept, state=lambda leaves: state, meta=meta, every=every, pause=0.01)
        for info in infos(total):
            state.step = info.step
            hook(info)
            if kept._pending:
                kept._pending.exception()  # until it has ended
        steps = kept.steps()
        for step in steps:
            assert kept.restore_item(step, "a")["step"] == kept.meta(step)["sample"] == step
    return told, steps


def test_checkpoints_follow_their_interval_and_the_end(tmp_path):
    assert save_all(tmp_path / "a", total=19) == ([8, 16, 19], [8, 16, 19])
    assert save_all(tmp_path / "b", total=3, every=0) == ([3], [3])


def test_a_checkpoint_that_failed_is_made_up_for_by_a_later_state(tmp_path, caplog):
    # 8 is sealed, 16 not, nor an eighth and a quarter of the interval later; half of it later, yes.
    told, steps = save_all(tmp_path, total=27, broken={2, 3, 4})
    assert told == [8, 16, 17, 18, 20, 24, 27] and steps == [8, 20, 24, 27]
    warned = [r.message for r in caplog.records if r.levelno == logging.WARNING]
    assert ["step 16 " in warned[0], "step 17 " in warned[1], "step 18 " in warned[2]] == [True] * 3
    assert len(warned) == 3 and "No space left" in warned[0] and "steps on disk: 8" in warned[0]


def test_the_last_checkpoint_is_tried_again_at_once(tmp_path):
    assert save_all(tmp_path, total=9, broken={2, 3})[1] == [8, 9]


@pytest.mark.parametrize("times", [1, 100])
def test_the_last_checkpoint_is_made_again_where_it_is_deleted_behind_its_save(tmp_path, times):
    """It is all in memory still, and the caller would have nothing to save."""
    folder, left = tmp_path / "run", [times]

    class Vanishing(Checkpoints):
        def _commit(self, step, *args):
            super()._commit(step, *args)
            if step == 9 and left[0]:
                left[0] -= 1
                shutil.rmtree(folder)

    with Vanishing(folder) as kept:
        hook = hooks.saving(kept, state=State, meta=lambda info: {}, every=8, pause=0.01)
        steps = [info._replace(leaves=info.step) for info in infos(9)]
        for info in steps[:-1]:
            hook(info)
        if times == 1:
            hook(steps[-1])
            assert kept.steps() == [9] and kept.restore_item(9, "a")["step"] == 9
            return
        with pytest.raises(CheckpointError, match="step 9 was saved, but .* deleted or moved"):
            hook(steps[-1])


def test_a_disk_that_never_recovers_stops_the_run_and_keeps_the_old_step(tmp_path):
    with pytest.raises(CheckpointError, match="No space left.*steps on disk: 8") as error:
        save_all(tmp_path, total=100, broken=range(2, 1000))
    # 16, 17, 18, 20 and 24 were tried; seen at 25.
    assert "step 24 " in str(error.value) and error.value.status == 74
    with pytest.raises(CheckpointError, match="step 7 .*steps on disk: 8"):
        save_all(tmp_path, total=7, broken=range(1, 1000))
    assert Checkpoints(tmp_path, read_only=True).latest() == 8


def test_a_disk_that_hangs_is_not_tried_again(tmp_path):
    class Hanging:
        def result(self, timeout):
            raise TimeoutError

    kept = Checkpoints(tmp_path, write=lambda path, arrays: Hanging())
    hook = hooks.saving(kept, state=lambda leaves: State(1), meta=lambda info: {}, every=1)
    first, second, *_ = infos(9)
    hook(first)
    with pytest.raises(CheckpointError, match="no end after"):
        hook(second)
    kept.close()
