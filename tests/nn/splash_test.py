"""The library's kernel, interpreted, on padded rows of several blocks, against XLA's core."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax.nn import splash
from m3i_jax.nn.attention import Attention, Shared
from m3i_jax.training.planning import flops

HEADS, DIM, TOKENS = 2, 16, 130


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch):
    """130 tokens are two blocks of 128, of which most of the second is padding."""
    monkeypatch.setattr(splash, "BLOCK", 128)


def test_value_and_gradient_are_those_of_the_core(key):
    """Through the module, in both dtypes; queries and keys of size 3, for weights that differ."""
    x = jax.random.normal(key, (2, TOKENS, DIM))
    params = {"params": Attention(HEADS).init(key, x, Shared())["params"]}
    params = jax.tree.map(lambda w: 3 * w, params)
    for dtype, limit in ((jnp.float32, 1e-5), (jnp.bfloat16, 2e-2)):
        g = jax.random.normal(jax.random.fold_in(key, 1), x.shape).astype(dtype)

        @functools.partial(jax.jit, static_argnums=0)
        def both(core, params, x, g, dtype=dtype):
            module = Attention(HEADS, core=core, dtype=dtype)
            y, pull = jax.vjp(lambda p, x: module.apply(p, x, Shared())[0], params, x)
            return y, pull(g)

        found, right = (jax.tree.leaves(both(core, params, x, g)) for core in ("splash", "keep"))
        for a, b in zip(found, right, strict=True):
            a, b = np.float64(a), np.float64(b)
            assert np.linalg.norm(a - b) <= limit * np.linalg.norm(b)


@pytest.mark.parametrize("images", [8, 3], ids=["split", "whole"])
def test_the_gradient_is_the_same_on_eight_devices(key, images):
    """Rows that eight devices divide lie on them, each its own; others are done by all."""
    qkv = jax.random.normal(key, (images, TOKENS, 3 * DIM))
    run = lambda: jax.jit(jax.grad(lambda x: (splash.attend_long(HEADS, True, x) ** 2).sum()))  # noqa: E731
    want = run()(qkv)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = jax.sharding.NamedSharding(mesh, jax.P("data" if images == 8 else None))
    with jax.set_mesh(mesh):
        program = run().lower(jax.device_put(qkv, rows)).compile()
        got = program(jax.device_put(qkv, rows))
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)
    assert got.sharding.is_equivalent_to(rows, 3) and "all-gather" not in program.as_text()


def test_its_products_are_counted():
    """Forward 2 products of n² D a head and image, backward 5 and a sum, n with padding."""
    qkv = jax.ShapeDtypeStruct((4, TOKENS, 3 * DIM), jnp.float32)
    loss = lambda x: splash.attend_long(HEADS, True, x).sum()  # noqa: E731
    products = 4 * (2 + 5) * (2 * 256 * 256 * DIM)
    assert flops.count(loss, qkv) == products * 2 // 7
    assert products <= flops.count(jax.value_and_grad(loss), qkv) <= 1.01 * products


@pytest.mark.parametrize("tokens, blocks", [(128, 1), (130, 2), (1025, 9)])
def test_rows_are_padded_to_blocks_that_the_lanes_divide(tokens, blocks):
    count, size = splash.tiles(tokens)
    assert count == blocks and size % splash.LANES == 0
    assert tokens <= count * size < tokens + splash.LANES * count
