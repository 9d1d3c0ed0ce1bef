"""Group norm in float64, and behind a convolution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax.nn.group_norm import ConvGroupNorm, GroupNorm
from tests.heads.layers import conv_, wide


def normed_(p, x, groups):
    parts = x.reshape(*x.shape[:3], groups, -1)
    mean, var = (f(parts, axis=(1, 2, 4), keepdims=True) for f in (np.mean, np.var))
    return ((parts - mean) / np.sqrt(var + 1e-5)).reshape(x.shape) * p["scale"] + p["bias"]


@pytest.mark.parametrize("width, groups", [(64, 32), (12, 4), (5, 1)])
def test_groups_are_those_that_divide_the_channels(width, groups):
    rng = np.random.default_rng(0)
    x = np.float32(rng.normal(1, 3, size=(2, 4, 3, width)))
    params = {"scale": np.float32(rng.normal(size=width)), "bias": np.float32(np.arange(width))}
    got = GroupNorm().apply({"params": params}, x)
    np.testing.assert_allclose(got, normed_(wide(params), wide(x), groups), rtol=1e-5, atol=1e-5)
    kept = np.zeros((2, 4, 3), bool)
    kept[:, :3, :2] = True
    some = GroupNorm().apply({"params": params}, x, kept)[:, :3, :2]
    want = normed_(wide(params), wide(x[:, :3, :2]), groups)
    np.testing.assert_allclose(some, want, rtol=1e-5, atol=1e-5)


def test_behind_a_convolution():
    rng = np.random.default_rng(1)
    x, module = np.float32(rng.normal(size=(2, 5, 4, 6))), ConvGroupNorm(8, 3, bias=True)
    shapes = jax.eval_shape(module.init, jax.random.key(0), x)["params"]
    params = jax.tree.map(lambda leaf: np.float32(rng.normal(size=leaf.shape)), shapes)
    got = jax.jit(lambda p: module.apply({"params": p}, x))(params)
    p = wide(params)
    want = normed_(p["norm"], conv_(p["conv"], wide(x)), 8)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    smaller = ConvGroupNorm(8, 3, stride=2).init_with_output(jax.random.key(0), jnp.asarray(x))[0]
    assert smaller.shape == (2, 3, 2, 8)
