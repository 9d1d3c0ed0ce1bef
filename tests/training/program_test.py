"""A step compiles once, and not at all where somebody has its program."""

import jax
import jax.numpy as jnp

from m3i_jax.training.program import Program, compiling
from m3i_jax.training.step import Advance


def test_a_step_compiles_at_its_first_call_or_not_at_all(capsys):
    traced, said = [], []

    def step(leaves, batch, total, warmup):
        traced.append(total)
        return [leaves[0] + batch / total], {"late": jnp.maximum(warmup, total)}

    short = Advance(jax.jit(step), 4, 1)
    first = compiling(short, "compiling", then=said.append)
    assert not traced, "nothing is traced before it is called"
    for _ in range(2):
        (leaf,), metrics = first([jnp.zeros(2)], jnp.ones(2))
        assert leaf.tolist() == [0.25, 0.25] and metrics["late"] == 4
    assert len(traced) == 1 and [type(program) for program in said] == [Program]
    longer = compiling(Advance(jax.jit(step), 8, 2), "", program=said[0], then=said.append)
    (leaf,), metrics = longer([jnp.zeros(2)], jnp.ones(2))
    assert leaf.tolist() == [0.125, 0.125] and metrics["late"] == 8
    assert len(traced) == 1 and said[1] is said[0], "the same program, of another length"
    assert capsys.readouterr().err == ""
