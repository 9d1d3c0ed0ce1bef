"""The two layers against their equation and autodiff."""

import jax
import numpy as np
import pytest

from m3i_jax.nn import activations
from m3i_jax.nn.mlp import Mlp
from tests.nn.stacked import gelu_, mlp_, quick_


@pytest.mark.parametrize("name, formula", [("gelu", gelu_), ("quick_gelu", quick_)])
def test_formula(key, name, formula):
    x = jax.random.normal(key, (3, 5, 8))
    module = Mlp(1.5, activations.ACTIVATIONS[name])
    params = jax.tree.map(
        lambda p: p + 0.1 * jax.random.normal(key, p.shape), module.init(key, x)["params"]
    )
    assert params["fc1"]["kernel"].shape == (8, 12)
    want = mlp_(jax.tree.map(np.float64, params), np.float64(x), formula)
    np.testing.assert_allclose(module.apply({"params": params}, x), want, rtol=1e-5, atol=1e-6)
