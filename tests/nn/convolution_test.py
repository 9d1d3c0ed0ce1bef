"""Convolutions against sums over windows in float64, and how they start."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from numpy.lib.stride_tricks import sliding_window_view

from m3i_jax.nn.convolution import KAIMING, TORCH, ConvNorm, cells, convolve


class Bare(nn.Module):
    """`convolve` needs a module around it."""

    how: dict

    @nn.compact
    def __call__(self, x):
        return convolve(x, name="conv", **self.how)


@pytest.mark.parametrize("size, stride", [(1, 1), (3, 1), (3, 2), (5, 1), (7, 2), (1, 2)])
@pytest.mark.parametrize("shape", [(6, 8), (5, 7)])
def test_padding_and_stride_are_those_of_pytorch(key, size, stride, shape):
    x = jax.random.normal(key, (2, *shape, 3))
    module = Bare(dict(features=4, size=size, stride=stride, bias=True))
    params = module.init(key, x)["params"]["conv"]
    params = {"kernel": params["kernel"], "bias": jnp.arange(4.0)}
    margin = size // 2
    padded = np.pad(np.float64(x), ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    windows = sliding_window_view(padded, (size, size), axis=(1, 2))[:, ::stride, ::stride]
    want = np.einsum("bhwcij,ijcd->bhwd", windows, np.float64(params["kernel"])) + np.arange(4.0)
    got = module.apply({"params": {"conv": params}}, x)
    assert got.shape[1:3] == tuple(-(-side // stride) for side in shape)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_depth_wise(key):
    x = jax.random.normal(key, (2, 5, 6, 3))
    module = Bare(dict(features=3, size=3, groups=3))
    params = module.init(key, x)["params"]["conv"]
    assert set(params) == {"kernel"} and params["kernel"].shape == (3, 3, 1, 3)
    padded = np.pad(np.float64(x), ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = sliding_window_view(padded, (3, 3), axis=(1, 2))
    want = np.einsum("bhwcij,ijc->bhwc", windows, np.float64(params["kernel"][:, :, 0]))
    got = module.apply({"params": {"conv": params}}, x)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_products_in_the_compute_dtype_norms_in_float32(key):
    x = jax.random.normal(key, (4, 6, 6, 8))
    module = ConvNorm(16, 3, dtype=jnp.bfloat16)
    params = jax.jit(module.init, static_argnums=2)(key, x, True)["params"]
    assert jax.tree.map(jnp.shape, params) == {
        "conv": {"kernel": (3, 3, 8, 16)},
        "norm": {name: (16,) for name in ("scale", "bias", "mean", "var")},
    }
    apply = lambda module: jax.jit(lambda p: module.apply({"params": p}, x, True))(params)  # noqa: E731
    half, full = apply(module), apply(module.clone(dtype=jnp.float32))
    assert half.dtype == jnp.float32
    error = jnp.linalg.norm(half - full) / jnp.linalg.norm(full)
    # Operands and result are rounded to 2^-9 each.
    assert 1e-4 < error < 1e-2


def test_starts(key):
    # Var 2 / fan-out, normal; U(±1/√fan-in). Over 36 864 draws the deviation is known to 1 %.
    kernel = KAIMING(key, (3, 3, 32, 128), jnp.float32)
    np.testing.assert_allclose(kernel.std(), np.sqrt(2 / (9 * 128)), rtol=0.02)
    assert jnp.abs(kernel).max() > 3.5 * kernel.std()
    depth_wise = TORCH(key, (3, 3, 1, 4096), jnp.float32)
    np.testing.assert_allclose(jnp.abs(depth_wise).max(), 1 / 3, rtol=1e-3)
    np.testing.assert_allclose(depth_wise.std(), 1 / 3 / np.sqrt(3), rtol=0.01)


def test_cells():
    assert cells(jnp.zeros((1, 8, 12, 3)), 4) == (2, 3)
    for shape in ((8, 10), (0, 8)):
        with pytest.raises(ValueError, match="not divisible by stride 4"):
            cells(jnp.zeros((1, *shape, 3)), 4)
