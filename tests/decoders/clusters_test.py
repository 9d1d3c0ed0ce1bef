"""The clustering head: its equation in float64."""

import jax
import numpy as np

from m3i_jax import decoders
from m3i_jax.types import Features


def test_logits_of_directions(key):
    module = decoders.create(dict(name="clusters", out=5))
    x = Features(np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32))
    y, variables = module.init_with_output(key, x)
    head = jax.tree.map(np.float64, variables["params"]["head"])
    unit = x.tokens / np.linalg.norm(np.float64(x.tokens), axis=-1, keepdims=True)
    np.testing.assert_allclose(y, unit @ head["kernel"] + head["bias"], rtol=2e-6, atol=1e-6)
    assert 0.5 < head["kernel"].std() < 1.5 and not head["bias"].any()
