"""The latent decoder: places count; its equations are compared in tests/engine/intra_test.py."""

import jax
import jax.numpy as jnp
import numpy as np

from m3i_jax import decoders
from m3i_jax.types import Features


def test_tokens_are_read_at_their_places(key):
    module = decoders.create(dict(name="latent", width=16, depth=1, heads=2), out=5)
    tokens = np.random.default_rng(0).normal(size=(1, 3, 8)).astype(np.float32)
    x = Features(jnp.asarray(tokens), index=jnp.array([[0, 3, 5]], jnp.int32))
    y, variables = module.init_with_output(key, x, grid=(2, 3))
    assert y.shape == (1, 3, 5)
    decode = jax.jit(lambda x: module.apply(variables, x, grid=(2, 3)))
    turned = Features(x.tokens[:, ::-1], index=x.index[:, ::-1])
    np.testing.assert_allclose(decode(turned)[:, ::-1], y, atol=1e-6)
    elsewhere = x._replace(index=x.index[:, ::-1])
    assert np.abs(decode(elsewhere) - y).max() > 1e-3
