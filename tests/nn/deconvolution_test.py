"""Transposed convolutions against their sum in float64, and against PyTorch with the gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax.nn.deconvolution import SIZES, Deconvolution, DeconvolutionNorm, doubled


def deconvolve_(x, kernel):
    """y[2i + t − p] += x[i] w[t], cut to the doubled map."""
    (batch, height, width, _), size = x.shape, len(kernel)
    p = size // 2 - 1
    y = np.zeros((batch, 2 * height + 2 * p, 2 * width + 2 * p, kernel.shape[-1]))
    for i in range(height):
        for j in range(width):
            part = np.einsum("bc,tucd->btud", x[:, i, j], kernel)
            y[:, 2 * i : 2 * i + size, 2 * j : 2 * j + size] += part
    return y[:, p : 2 * height + p, p : 2 * width + p]


@pytest.mark.parametrize("size", SIZES)
def test_the_sum_in_float64_and_a_bias(key, size):
    x = jax.random.normal(key, (2, 3, 5, 4))
    module = Deconvolution(6, size, bias=True)
    params = module.init(key, x)["params"]
    assert params["kernel"].shape == (size, size, 4, 6)
    params = {"kernel": params["kernel"], "bias": jnp.arange(6.0)}
    want = deconvolve_(np.float64(x), np.float64(params["kernel"])) + np.arange(6)
    np.testing.assert_allclose(module.apply({"params": params}, x), want, rtol=1e-5, atol=1e-5)
    got = Deconvolution(6, size, bias=True, dtype=jnp.bfloat16).apply({"params": params}, x)
    assert got.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.float64(got), want, rtol=0.05, atol=0.1)


@pytest.mark.parametrize("size", SIZES)
def test_pytorch_has_the_same_map_and_gradients(key, size):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, 5, 3, 4)), rng.normal(size=(size, size, 4, 6))
    theirs = [torch.from_numpy(a).requires_grad_() for a in (x, kernel)]
    given = theirs[0].permute(0, 3, 1, 2), theirs[1].permute(2, 3, 0, 1)
    y = torch.nn.functional.conv_transpose2d(*given, stride=2, padding=size // 2 - 1)
    y = y.permute(0, 2, 3, 1)
    y.sin().sum().backward()
    x, kernel = jnp.float32(x), jnp.float32(kernel)
    np.testing.assert_allclose(doubled(x, kernel), y.detach(), rtol=1e-5, atol=1e-5)
    grads = jax.grad(lambda *a: jnp.sin(doubled(*a)).sum(), (0, 1))(x, kernel)
    for got, want in zip(grads, theirs, strict=True):
        np.testing.assert_allclose(got, want.grad, rtol=1e-4, atol=1e-4)


def test_the_norm_behind_it(key):
    x = jax.random.normal(key, (4, 3, 3, 2))
    module = DeconvolutionNorm(5, 4)
    params = module.init(key, x, 1)["params"]
    y = deconvolve_(np.float64(x), np.float64(params["conv"]["kernel"]))
    want = (y - y.mean((0, 1, 2))) / np.sqrt(y.var((0, 1, 2)) + 1e-5)
    np.testing.assert_allclose(module.apply({"params": params}, x, 1), want, rtol=1e-4, atol=1e-4)
    got = module.apply({"params": params}, x, 0)
    np.testing.assert_allclose(got, y / np.sqrt(1 + 1e-5), rtol=1e-4, atol=1e-5)
