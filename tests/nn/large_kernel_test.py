"""Large kernels beside small ones: their sum in float64, and one kernel that is both."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import correlate

from m3i_jax.nn.large_kernel import EPS, LargeKernel, merge


@pytest.fixture
def large(key):
    """A large kernel with a small one beside it, its parameters, and maps."""
    module = LargeKernel(7, 3, False, jnp.float32)
    x = jax.random.normal(key, (2, 6, 9, 3))
    shapes = jax.eval_shape(lambda: module.init(key, x, 0))["params"]
    rng = np.random.default_rng(0)
    draw = lambda leaf: np.float32(rng.uniform(0.5, 1.5, leaf.shape))  # noqa: E731
    return module, jax.tree.map(draw, shapes), x


def branch(p, x):
    """A depth-wise convolution, zeros around, and its norm by running statistics."""
    kernel, norm = np.float64(p["conv"]["kernel"]), jax.tree.map(np.float64, p["norm"])
    maps = np.stack(
        [
            [correlate(row[..., c], kernel[:, :, 0, c], mode="constant") for c in range(3)]
            for row in np.float64(x)
        ]
    ).transpose(0, 2, 3, 1)
    return (maps - norm["mean"]) / np.sqrt(norm["var"] + EPS) * norm["scale"] + norm["bias"]


def test_both_branches_are_added(large):
    module, params, x = large
    want = branch(params, x) + branch(params["small"], x)
    got = module.apply({"params": params}, x, 0)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5 * np.abs(want).max())


def test_merged_it_is_one_kernel_that_gives_the_same(large):
    module, params, x = large
    merged = merge({"large": params})["large"]
    assert merged["conv"]["kernel"].shape == params["conv"]["kernel"].shape and len(merged) == 1
    one = module.clone(merged=True)
    want = branch(params, x) + branch(params["small"], x)
    got = one.apply({"params": merged}, x, 0)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5 * np.abs(want).max())
