"""The loop counts steps, hands every hook the moment, and stops when asked."""

import itertools

import jax.numpy as jnp

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
    moments = []
    fit(advance, [jnp.float32(0)], stream(), start=0, total=3, hooks=[moments.append])
    assert [m.position["sample"] for m in moments] == [1, 2, 3]
    assert [float(m.metrics["total"]) for m in moments] == [0, 1, 3]
    assert [m.last for m in moments] == [False, False, True]
    assert moments[-1].waited >= moments[0].waited >= 0


def test_it_stops_when_asked_and_tells_the_hooks():
    asked, moments = iter([False, False, True, True]), []
    _, step = fit(
        advance, [jnp.float32(0)], stream(), start=0, total=9,
        hooks=[moments.append], stop=lambda: next(asked),
    )  # fmt: skip
    assert step == 2 and moments[-1].last


def test_nothing_is_read_where_nothing_is_left_to_do():
    def never():
        raise AssertionError("the stream was read")
        yield

    leaves, step = fit(advance, [1], never(), start=5, total=5)
    assert (leaves, step) == ([1], 5)
