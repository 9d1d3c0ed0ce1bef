"""Norms against float64 NumPy, and the learned scale."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from m3i_jax.nn.norms import BatchNorm, LayerNorm, UnitNorm, at_most


def reference(x, axes, eps):
    x = np.asarray(x, np.float64)
    centred = x - x.mean(axes, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axes, keepdims=True) + eps)


@pytest.mark.parametrize("norm, axes", [(LayerNorm(eps=1e-3), (2,)), (BatchNorm(eps=1e-3), (0, 1))])
def test_formula(key, norm, axes):
    x = 3 * jax.random.normal(key, (4, 5, 16)) + 1
    params = norm.init(key, x)["params"]
    assert params["scale"].shape == params["bias"].shape == (16,)
    scale, bias = np.linspace(0.5, 2, 16), np.linspace(-1, 1, 16)
    params = {"scale": jnp.float32(scale), "bias": jnp.float32(bias)}
    want = reference(x, axes, 1e-3) * scale + bias
    np.testing.assert_allclose(norm.apply({"params": params}, x), want, rtol=1e-5, atol=1e-5)
    half = norm.clone(dtype=jnp.bfloat16).apply({"params": params}, x)
    assert half.dtype == jnp.bfloat16
    # float32 statistics, one rounding of the result (2^-8).
    np.testing.assert_allclose(np.float32(half), want, rtol=2**-7.9, atol=1e-5)


def test_two_passes_survive_a_large_mean(key):
    x = 4096 + jax.random.normal(key, (3, 512))
    y = LayerNorm(affine=False).apply({}, x)
    # x itself is rounded to 2^-11 here, and so is the error; E[x²] − E[x]² would be off by ~1.
    np.testing.assert_allclose(y, reference(x, (1,), 1e-6), atol=2e-3)


def test_gradient_by_finite_differences(key):
    x = jax.random.normal(key, (3, 4, 8))
    weights = jax.random.normal(jax.random.fold_in(key, 1), x.shape)
    step = np.asarray(jax.random.normal(jax.random.fold_in(key, 2), x.shape), np.float64)
    for norm, axes in ((LayerNorm(affine=False), (2,)), (BatchNorm(affine=False), (0, 1))):
        grad = jax.grad(lambda x, n=norm: (n.apply({}, x) * weights).sum())(x)
        after, before = (
            (reference(np.asarray(x) + t * step, axes, norm.eps) * np.asarray(weights)).sum()
            for t in (1e-5, -1e-5)
        )
        slope = (after - before) / 2e-5
        np.testing.assert_allclose((np.asarray(grad) * step).sum(), slope, rtol=1e-4)


def test_batch_norm_is_global_over_devices(key):
    x = jax.random.normal(key, (16, 3, 8)) * jnp.arange(1.0, 17)[:, None, None]
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    norm = jax.jit(lambda x: BatchNorm(affine=False).apply({}, x))
    sharded = norm(jax.device_put(x, NamedSharding(mesh, P("data"))))
    np.testing.assert_allclose(sharded, norm(x), rtol=1e-5, atol=1e-6)


def test_unit_norm_and_its_scale(key):
    x = jax.random.normal(key, (4, 8)).at[0].set(0.0)
    y = UnitNorm().apply({}, x)
    np.testing.assert_allclose(jnp.linalg.norm(y, axis=-1), [0, 1, 1, 1], rtol=1e-6)
    assert jnp.isfinite(jax.grad(lambda x: UnitNorm().apply({}, x).sum())(x)).all()
    scaled = UnitNorm(scaled=True)
    params = scaled.init(key, x)["params"]
    np.testing.assert_allclose(scaled.apply({"params": params}, x), y / 0.07, rtol=1e-5)
    y100 = scaled.apply({"params": {"logit_scale": jnp.float32(9.0)}}, x)
    np.testing.assert_allclose(y100, 100 * y, rtol=1e-5)


def test_a_scale_beyond_its_limit_comes_back():
    up, down = (jax.grad(lambda s, c=c: c * at_most(s, 1.0)) for c in (-1.0, 1.0))
    # Descent would raise s: held. Descent would lower s: passes.
    assert (up(2.0), down(2.0)) == (0.0, 1.0)
    assert (up(0.5), down(0.5)) == (-1.0, 1.0)
    assert (at_most(jnp.float32(2.0), 1.0), at_most(jnp.float32(0.5), 1.0)) == (1.0, 0.5)
