"""The loop counts steps, tells every hook of each step, and stops when asked."""

import itertools

import jax.numpy as jnp
import pytest

from m3i_jax.training.loop import fit


def advance(leaves, batch):
    total = leaves[0] + batch
    return [total], {"total": total}


def stream():
    return ((jnp.float32(i), {"sample": i + 1}) for i in itertools.count())


def test_hooks_see_every_step_in_order():
    seen = []
    hooks = [lambda m: seen.append(("one", m.step)), lambda m: seen.append(("two", m.step))]
    leaves, step = fit(advance, [jnp.float32(0)], stream(), start=3, total=5, hooks=hooks)
    assert step == 5 and float(leaves[0]) == 0 + 1
    assert seen == [("one", 4), ("two", 4), ("one", 5), ("two", 5)]


def test_a_moment_belongs_to_the_step_just_taken():
    steps = []
    fit(advance, [jnp.float32(0)], stream(), start=0, total=3, hooks=[steps.append])
    assert [m.position["sample"] for m in steps] == [1, 2, 3]
    assert [float(m.metrics["total"]) for m in steps] == [0, 1, 3]
    assert [m.last for m in steps] == [False, False, True]
    assert steps[-1].waited >= steps[0].waited >= 0


def test_it_stops_when_asked_and_tells_the_hooks():
    asked, steps = iter([False, False, True, True]), []
    _, step = fit(
        advance, [jnp.float32(0)], stream(), start=0, total=9,
        hooks=[steps.append], stop=lambda: next(asked),
    )  # fmt: skip
    assert step == 2 and steps[-1].last


def parted(stream, hooks=(), start=0):
    """What happens at steps when the stream or a hook ends a run of nine: (hook, step, last)."""
    seen = []
    note = lambda who: lambda m: seen.append((who, m.step, m.last, m.leaving))  # noqa: E731
    log, save = note("log"), note("save")
    how = dict(start=start, total=9, hooks=[log, *hooks, save], parting=[log, save])
    try:
        step = fit(advance, [jnp.float32(0)], stream, **how)[1]
    except LookupError:
        step = None
    return step, seen


@pytest.mark.parametrize("fails", [False, True])
def test_a_stream_that_ends_or_fails_lets_what_is_there_be_saved(fails):
    def short():
        yield from itertools.islice(stream(), 2)
        if fails:
            raise LookupError("a shard")

    step, seen = parted(short())
    regular = [(who, at, False, False) for at in (1, 2) for who in ("log", "save")]
    assert seen == [*regular, ("log", 2, True, True), ("save", 2, True, True)]
    assert step == (None if fails else 2)
    assert parted(iter([])) == (0, []), "nothing was done, so there is nothing to save"


def test_a_hook_that_fails_beside_the_training_loses_no_step():
    def monitor(info):
        if info.step == 2:
            raise LookupError("no such image")

    _, seen = parted(stream(), [monitor])
    assert seen[-3:] == [("log", 2, False, False), ("log", 2, True, True), ("save", 2, True, True)]


def test_a_save_that_fails_is_not_tried_by_the_loop():
    def save(info):
        saves.append(info.step)
        raise LookupError("no disk")

    saves = []
    with pytest.raises(LookupError, match="no disk"):
        fit(advance, [jnp.float32(0)], stream(), start=0, total=9, hooks=[save], parting=[save])
    assert saves == [1]


def test_nothing_is_read_where_nothing_is_left_to_do():
    def never():
        raise AssertionError("the stream was read")
        yield

    leaves, step = fit(advance, [1], never(), start=5, total=5)
    assert (leaves, step) == ([1], 5)


def test_a_loop_that_a_hook_ends_closes_behind_that_step():
    seen, closed = [], []
    hooks = [lambda info: seen.append(info.step)]
    close = [lambda info: closed.append((info.step, info.last))]
    advance = lambda leaves, batch: (leaves, {})  # noqa: E731
    stream = ((None, None) for _ in range(9))
    how = dict(start=0, total=9, hooks=hooks, closing=close)
    assert fit(advance, (), stream, ended=lambda: len(seen) >= 4, **how) == ((), 4)
    assert seen == [1, 2, 3, 4] and closed == [(4, True)]
    assert fit(advance, (), stream, ended=lambda: True, **how) == ((), 0), "no step at all"
    assert closed == [(4, True)]
