"""The product against jnp.dot, in both dtypes and under every transformation."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from m3i_jax.nn.linear import Linear, dot, einsum
from m3i_jax.parallel.constrain import summed_in


def operands(key, shape=(4, 5, 24), features=16):
    a, b, c = jax.random.split(key, 3)
    x = jax.random.normal(a, shape)
    w = jax.random.normal(b, (shape[-1], features))
    g = jax.random.normal(c, (*shape[:-1], features))
    return x, w, g


def pulled(f, x, w, g):
    y, pull = jax.vjp(f, x, w)
    return y, *pull(g.astype(y.dtype))


@pytest.mark.parametrize("shape", [(24,), (7, 24), (4, 5, 24), (2, 3, 4, 24)])
def test_float32_is_jnp_dot(key, shape):
    x, w, g = operands(key, shape)
    # The same products in another order of summation: a few units of float32 rounding.
    for mine, theirs in zip(pulled(dot, x, w, g), pulled(jnp.dot, x, w, g), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=2e-6, atol=2e-6)


def test_bfloat16_accumulates_in_float32(key):
    x, w, g = operands(key, (8, 64, 48), 32)
    half = x.astype(jnp.bfloat16)
    y, dx, dw = pulled(dot, half, w, g)
    assert (y.dtype, dx.dtype, dw.dtype) == (jnp.bfloat16, jnp.bfloat16, jnp.float32)
    # Operands rounded beforehand are exact in float64, so that only the result is rounded:
    # once to bfloat16 (2^-8 of the value) for y and dx, not at all for dW.
    xr, wr, gr = (
        np.asarray(v.astype(jnp.bfloat16).astype(jnp.float32), np.float64) for v in (x, w, g)
    )
    for mine, exact in ((y, xr @ wr), (dx, gr @ wr.T)):
        mine = np.asarray(mine, np.float64)
        np.testing.assert_allclose(mine, exact, rtol=2**-7.9, atol=1e-5 * np.abs(exact).max())
    exact = np.einsum("bnk,bnm->km", xr, gr)
    np.testing.assert_allclose(dw, exact, atol=1e-6 * np.abs(exact).max())


def test_gradients_that_devices_sum_in_bfloat16_are_off_by_its_rounding(key):
    """Each of eight devices rounds its own sum once, to 8 bits: by 2^-9 of it at most."""
    x, w, g = operands(key, (64, 5, 24), 16)
    x, g = (v.astype(jnp.bfloat16) for v in (x, g))
    rows = NamedSharding(jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,)), P("data"))

    @functools.partial(jax.jit, in_shardings=(rows, None, rows))
    def grads(x, w, g):
        whole = pulled(dot, x, w, g)[2]
        with summed_in("bfloat16"):
            return whole, pulled(dot, x, w, g)[2]

    with jax.set_mesh(rows.mesh):
        whole, rounded = grads(x, w, g)
        assert "bf16" in re.search("dot_general.*24x16.*", grads.lower(x, w, g).as_text())[0]
    assert rounded.dtype == jnp.float32 and (whole != rounded).any()
    # Own sums may cancel each other, so the bound is one of their sizes; the sum of the rounded may
    # be rounded again, at each of three levels of a tree.
    each = [v.astype(jnp.float32).reshape(8, 8, *v.shape[1:]) for v in (x, g)]
    own = jnp.einsum("dbnk,dbnm->dkm", *each)
    assert (abs(whole - rounded) <= 4 * 2.0**-9 * abs(own).sum(0)).all()


def test_transformations_change_nothing(key):
    x, w, g = operands(key)
    loss = lambda x, w: (dot(x, w) * g).sum()  # noqa: E731
    want = jax.grad(loss, (0, 1))(x, w)
    each = jax.vmap(jax.grad(lambda x, w, g: (dot(x, w) * g).sum(), (0, 1)), (0, None, 0))
    dx, dw = each(x, w, g)

    def scanned(x, w):
        body = lambda total, xg: (total + (dot(xg[0], w) * xg[1]).sum(), None)  # noqa: E731
        return jax.lax.scan(body, 0.0, (x, g))[0]

    forms = {
        "jit": jax.jit(jax.grad(loss, (0, 1)))(x, w),
        "vmap": (dx, dw.sum(0)),
        "scan": jax.grad(scanned, (0, 1))(x, w),
        "remat": jax.grad(jax.checkpoint(loss), (0, 1))(x, w),
    }
    for name, got in forms.items():
        for a, b in zip(got, want, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5, err_msg=name)


def test_sharded_over_the_batch(key):
    x, w, g = operands(key, (8, 5, 24))
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    grad = jax.jit(jax.grad(lambda x, w: (dot(x, w) * g).sum(), (0, 1)))
    want = grad(x, w)
    got = grad(jax.device_put(x, NamedSharding(mesh, P("data"))), w)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("spec", ["bhqd,bhkd->bhqk", "bqhd,bkhd->bhqk"])
def test_einsum_in_both_dtypes(key, spec):
    x, y = jax.random.normal(key, (2, 2, 3, 4, 8))
    f = functools.partial(einsum, spec)
    want, pull = jax.vjp(functools.partial(jnp.einsum, spec), x, y)
    g = jax.random.normal(jax.random.fold_in(key, 1), want.shape)
    for got, exact in zip(pulled(f, x, y, g), (want, *pull(g)), strict=True):
        np.testing.assert_allclose(got, exact, rtol=1e-5, atol=1e-5)
    z, dx, dy = pulled(f, x.astype(jnp.bfloat16), y.astype(jnp.bfloat16), g)
    assert (z.dtype, dx.dtype, dy.dtype) == (jnp.float32, jnp.bfloat16, jnp.bfloat16)
    for got, exact in zip((z, dx, dy), (want, *pull(g)), strict=True):
        # Three roundings to 8 bits of terms that may cancel.
        np.testing.assert_allclose(np.asarray(got, np.float32), exact, rtol=0.05, atol=0.06)


def test_layer_names_dtypes_and_init(key):
    layer = Linear(48, dtype=jnp.bfloat16)
    x = jnp.ones((2, 3, 96))
    params = layer.init(key, x)["params"]
    assert {k: (v.shape, v.dtype.name) for k, v in params.items()} == {
        "kernel": ((96, 48), "float32"),
        "bias": ((48,), "float32"),
    }
    bound = (6 / (96 + 48)) ** 0.5
    assert 0.98 * bound < np.abs(params["kernel"]).max() <= bound
    assert not params["bias"].any()
    assert layer.apply({"params": params}, x).dtype == jnp.bfloat16
    assert set(Linear(4, bias=False).init(key, x)["params"]) == {"kernel"}


def test_bias_gradient_is_summed_in_float32(key):
    layer, x = Linear(2, dtype=jnp.bfloat16), jnp.ones((41, 25, 4))
    params = layer.init(key, x)["params"]
    grad = jax.grad(lambda p: layer.apply({"params": p}, x).astype(jnp.float32).sum())(params)
    # 1025 has no bfloat16 representation; a sum rounded to it would be 1024.
    np.testing.assert_array_equal(grad["bias"], 41.0 * 25)
