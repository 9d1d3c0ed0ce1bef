"""What products of a traced function read and write, counted by hand."""

import jax
import jax.numpy as jnp
from jax import lax

from m3i_jax.training.planning import operands
from m3i_jax.training.planning.operands import Operand

ROWS, LOOPS, WIDTH = 6, 3, 5


def traced(function, *shapes):
    return jax.make_jaxpr(function)(*(jax.ShapeDtypeStruct(s, jnp.float32) for s in shapes)).jaxpr


def blocks(x, w, *, dtype=jnp.float32):
    def turn(x, w):  # keeps a copy of each weight for the backward pass
        return (x.astype(dtype) @ w.astype(dtype)).astype(x.dtype), None

    return lax.scan(turn, x, w)[0]


def test_operands_and_results_of_each_turn_as_products_take_them():
    """Three turns of (6, 5) by (5, 5) and one convolution, for each of 6 images."""

    def step(x, w, image, kernel):
        return blocks(x, w), lax.conv(image, kernel, (1, 1), "SAME")

    step = traced(step, (ROWS, WIDTH), (LOOPS, WIDTH, WIDTH), (ROWS, 2, 4, 4), (2, 2, 3, 3))
    arrays = {ROWS * WIDTH: 2 * LOOPS, WIDTH * WIDTH: LOOPS, ROWS * 2 * 16: 2, 2 * 2 * 9: 1}
    for dtype, width in (("float32", 4), ("bfloat16", 2)):
        want = {Operand(size * width / ROWS, times) for size, times in arrays.items()}
        assert set(operands.of(step, ROWS, dtype=dtype)) == want


def test_attention_and_what_nobody_reads_count_nothing():
    def step(q, k, w):
        q @ w
        return jnp.einsum("bnd,bmd->bnm", q, k)

    assert operands.of(traced(step, (2, 3, 5), (2, 3, 5), (5, 7)), 2, dtype="float32") == ()


def test_gradients_of_blocks_are_summed_for_each_pass_and_others_once():
    """Blocks pass twice, two of the three of `w` once more in front of one of `v`."""

    def loss(params, x):
        joined = jnp.concatenate([params["w"][:2], params["v"]])
        passes = (x, params["w"]), (x[:2], params["w"]), (x, joined)
        seen = (blocks(*each, dtype=jnp.bfloat16) for each in passes)
        return sum(y.sum() for y in seen) + (x @ params["head"]).sum()

    params = {"w": jnp.ones((LOOPS, WIDTH, WIDTH)), "v": jnp.ones((1, WIDTH, WIDTH))}
    params["head"] = jnp.ones((WIDTH, 9))
    step = jax.make_jaxpr(jax.grad(loss))(params, jnp.ones((ROWS, WIDTH))).jaxpr
    assert operands.summed(step, params) == 4 * (9 * WIDTH * WIDTH + WIDTH * 9)
