"""Steps that are left out, made by hand: who is told of them when, and when a run gives up."""

import itertools

import numpy as np
import pytest

from m3i_jax.checkpoints.faults import NotFinite
from m3i_jax.training import skips
from m3i_jax.training.spikes import LOSS, NORM, SKIPPED, Spikes
from tests.training.toy_steps import infos


def met(total, left_out, *, before=0, taken=None):
    """The steps of which a hook tells, with the step at which it does; `taken`: to part behind."""
    told, now = [], [0]
    tell = lambda seen, why: told.append((now[0], seen.step, seen.position["sample"], why))  # noqa: E731
    hook = skips.watching(Spikes(), tell, before=before)
    for info in itertools.islice(infos(total), taken):
        now[0], count = info.step, before + sum(step <= info.step for step in left_out)
        loss = np.float32("nan") if info.step in left_out else np.float32(1)
        metrics = {LOSS: loss, NORM: np.float32(1), SKIPPED: np.int32(count)}
        hook(info._replace(metrics=metrics))
    if taken:
        hook(info._replace(metrics=metrics, last=True))
    return told


def test_every_step_that_is_left_out_is_told_once_and_late():
    why = "its loss is nan"
    expected = [(8, 1, 1, why), (8, 6, 6, why), (16, 7, 7, why), (24, 22, 22, why)]
    assert met(30, {1, 6, 7, 22, 29}) == [*expected, (30, 29, 29, why)]
    assert met(30, {1, 6, 7, 22, 29}, before=5) == [*expected, (30, 29, 29, why)]
    assert met(30, {9}, taken=9) == [(9, 9, 9, why)], "who leaves is told at once"


def test_a_run_that_is_never_finite_gives_up():
    with pytest.raises(NotFinite, match="for 100 steps up to step 150, where its loss is nan"):
        met(400, range(51, 400))


def test_a_run_with_a_bad_step_now_and_then_goes_on():
    left_out = {step for step in range(1, 400) if step % 100}
    assert len(met(400, left_out)) == len(left_out)
