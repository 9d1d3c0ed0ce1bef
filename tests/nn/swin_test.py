"""The parts of a Swin stage: merging takes its neighbours in the published order."""

import jax
import jax.numpy as jnp
import numpy as np

from m3i_jax.nn.swin import PatchMerging, SwinBlock
from m3i_jax.nn.windows import fit


def test_neighbours_are_joined_column_by_column(key):
    """The official code joins (0, 0), (1, 0), (0, 1), (1, 1) of [row, column]."""
    x = jax.random.normal(key, (1, 4, 6, 2))
    module = PatchMerging(jnp.float32)
    params = module.init(key, x)["params"]
    joined = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
    y = np.concatenate(joined, -1, dtype=np.float64) @ np.float64(params["reduction"]["kernel"])
    want = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(module.apply({"params": params}, x), want, rtol=1e-4, atol=1e-5)


def test_a_block_starts_as_the_identity(key):
    x, cut = jax.random.normal(key, (1, 4, 4, 8)), fit((4, 4), 2, shift=True)
    block = SwinBlock(2, cut, (2, 2), 2.0, False, False, False, "auto", jnp.float32)
    (y, _), variables = block.init_with_output(key, x, 0.0, True)
    np.testing.assert_array_equal(y, x)
    assert not any(variables["params"][f"norm{i}"]["scale"].any() for i in (1, 2))
