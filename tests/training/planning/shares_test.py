"""Shares of one device of the axis `tensor`: by hand, and beside a program that was compiled."""

import functools

import jax
import jax.numpy as jnp
import pytest

from m3i_jax.nn.mlp import Mlp
from m3i_jax.parallel import sharding
from m3i_jax.parallel.constrain import by_rows
from m3i_jax.training.assemble import assemble
from m3i_jax.training.planning import estimate, flops, shares
from m3i_jax.training.planning.estimate import Layout

ROWS, DIM, WAYS = 8, 16, 4
ONE = 2 * ROWS * DIM * DIM  # FLOPs of a product of DIM columns
X = jax.ShapeDtypeStruct((ROWS, DIM), jnp.float32)


def share(fn, *shapes):
    """That of one of `WAYS` devices, of a function; what it takes in all."""
    with sharding.tracing(sharding.absent(1, 1, tensor=WAYS)):
        traced = flops.live(jax.make_jaxpr(fn)(*shapes).jaxpr)
    return shares.of(traced, [False] * len(traced.invars), WAYS), flops.of(traced)


def test_two_layers_are_shared_and_what_they_make_is_summed_once_in_each_direction():
    layers = Mlp(ratio=4.0)
    params = jax.eval_shape(functools.partial(layers.init, jax.random.key(0)), X)
    found, whole = share(layers.apply, params, X)
    assert whole == 8 * ONE and found.products == 8 * ONE / WAYS
    assert found.summed == 4 * ROWS * DIM and found.split == [False]

    def loss(params, x):
        return jnp.square(layers.apply(params, x)).sum()

    both, whole = share(jax.grad(loss, argnums=(0, 1)), params, X)
    assert whole == 24 * ONE and both.products == whole / WAYS
    assert both.summed == 2 * found.summed


@pytest.mark.filterwarnings("ignore:.*do not divide over tensor")
def test_what_is_not_split_is_done_by_all():
    layers = Mlp(ratio=33 / 16)
    params = jax.eval_shape(functools.partial(layers.init, jax.random.key(0)), X)
    found, whole = share(layers.apply, params, X)
    assert found.products == whole and found.summed == 0
    # In a loop; by each device for itself.
    looped = lambda x, w: jax.lax.scan(lambda y, _: (y @ w, None), x, None, length=3)[0]  # noqa: E731
    w = jax.ShapeDtypeStruct((DIM, DIM), jnp.float32)
    assert share(looped, X, w)[0].products == 3 * ONE
    own, whole = share(lambda x: by_rows(lambda one: one @ one.T, x), X)
    assert own.products == 2 * ROWS * ROWS * DIM and whole == WAYS * own.products
    with pytest.raises(ValueError, match="its length is not known"):
        share(lambda x, w: jax.lax.while_loop(lambda y: y.sum() < 0, lambda y: y @ w, x), X, w)


def test_bytes_of_a_chip_are_those_that_the_compiled_step_is_given(shrunk, monkeypatch):
    monkeypatch.setattr(sharding, "SMALL", 2**7)  # so that toys are split, too
    config = shrunk("cappa", mesh={"data": 2, "fsdp": 2, "tensor": 2})
    run = assemble(config, images=100)
    with jax.set_mesh(run.mesh):
        traced = run.compiled().trace(jax.tree.leaves(run.abstract), run.batch_shape())
        given = traced.lower().compile().memory_analysis().argument_size_in_bytes
    own = estimate.of_state(run.abstract, Layout(2, 2, tensor=2))
    size = lambda tree: sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))  # noqa: E731
    rest = run.abstract.replace(params=None, optimizer=None, slots=None)
    # JAX gives a key of random numbers its words, and a program no argument that it does not read.
    assert given == pytest.approx(
        sum(own.values()) + size(rest) + size(run.batch_shape()) / 4, rel=1e-3
    )
    one = estimate.of_state(run.abstract, Layout(4, 2))
    assert sum(own.values()) < 0.75 * sum(one.values())
