"""DALL-E's blocks against their formula, the map of pixels and its inverse, and how they start."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from m3i_jax.build import ConfigError
from m3i_jax.nn import dalle


def test_the_pixel_map_and_its_inverse():
    x = np.linspace(0, 1, 21, dtype=np.float32)
    np.testing.assert_allclose(dalle.map_pixels(x), 0.8 * x + 0.1, rtol=1e-6)
    np.testing.assert_allclose(dalle.unmap_pixels(dalle.map_pixels(x)), x, atol=2e-7)
    np.testing.assert_array_equal(dalle.unmap_pixels(jnp.array([0.0, 0.05, 0.95, 1])), [0, 0, 1, 1])


def test_the_gain_is_that_of_eight_blocks():
    assert dalle.gain((2, 2, 2, 2)) == 1 / 64 and dalle.gain((1, 1)) == 1 / 4


def conv_(p, x):
    size = p["kernel"].shape[0]
    x = np.pad(x, ((0, 0), *((size // 2,) * 2,) * 2, (0, 0)))
    windows = sliding_window_view(x, (size, size), axis=(1, 2))
    return np.einsum("bhwcij,ijcd->bhwd", windows, p["kernel"]) + p["bias"]


@pytest.mark.parametrize("kernels", [(3, 3, 3, 1), (1, 3, 3, 3)])
def test_a_stage_is_its_formula(key, kernels):
    x = jax.random.normal(key, (2, 5, 6, 4))
    module = dalle.Stage(2, 8, kernels, 0.5)
    params = jax.jit(module.init)(key, x)["params"]
    params = jax.tree.map(lambda p: p + 0.2 * jax.random.normal(key, p.shape), params)
    # The width changes in the first block only.
    assert set(params["blocks_0"]) == {"conv1", "conv2", "conv3", "conv4", "shortcut"}
    assert set(params["blocks_1"]) == {"conv1", "conv2", "conv3", "conv4"}
    assert params["blocks_1"]["conv1"]["kernel"].shape == (kernels[0], kernels[0], 8, 2)
    outputs, want = jax.jit(module.apply)({"params": params}, x), np.float64(x)
    for i, got in enumerate(outputs):
        p, y = jax.tree.map(np.float64, params[f"blocks_{i}"]), want
        for k in range(1, 5):
            y = conv_(p[f"conv{k}"], np.maximum(y, 0))
        want = (conv_(p["shortcut"], want) if "shortcut" in p else want) + 0.5 * y
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5 * np.abs(want).max())


def test_kernels_start_as_normal_of_their_fan_in(key):
    kernel = dalle.NORMAL(key, (3, 3, 64, 128), jnp.float32)
    # 73728 draws know their deviation to 1/√(2·73728) = 0.3 %; a normal has kurtosis 3 ± 0.02.
    assert abs(float(kernel.std()) * (64 * 9) ** 0.5 - 1) < 0.01
    assert abs(float(((kernel / kernel.std()) ** 4).mean()) - 3) < 0.1


def test_bfloat16_is_for_products_only(key):
    x = jax.random.normal(key, (2, 4, 4, 8))
    params = dalle.Stage(1, 8, (3, 3, 3, 1), 1.0).init(key, x)["params"]
    assert {p.dtype for p in jax.tree.leaves(params)} == {jnp.dtype("float32")}

    def run(dtype):
        return dalle.Stage(1, 8, (3, 3, 3, 1), 1.0, dtype).apply({"params": params}, x)[0]

    half, full = run(jnp.bfloat16), run(jnp.float32)
    assert half.dtype == full.dtype == jnp.float32
    # The stream keeps its digits: only the branch is rounded, four times by 2^-9.
    assert 0 < np.abs(half - full).max() < 0.02 * np.abs(full - x).max()


@pytest.mark.parametrize(
    "sizes, words",
    [
        ({"depths": ()}, "expected one block or more"),
        ({"depths": (2, 0)}, "expected one block or more"),
        ({"width": 6}, "width 6, expected a multiple of 4"),
        ({"vocabulary": 1}, "vocabulary of 1"),
        ({"dtype": "bfloat61"}, "did you mean 'bfloat16'"),
    ],
)
def test_mistakes(sizes, words):
    given = dict(vocabulary=8, width=4, depths=(1,), dtype="float32")
    with pytest.raises(ConfigError, match=words):
        dalle.check_sizes("the half", **(given | sizes))
