"""Activations are their formulas, in float64."""

import jax
import numpy as np

from m3i_jax.nn import activations
from tests.nn.stacked import gelu_, quick_


def test_activations_are_exact(key):
    x = 3 * jax.random.normal(key, (50,))
    exact = np.asarray(x, np.float64)
    np.testing.assert_allclose(activations.gelu(x), gelu_(exact), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(activations.quick_gelu(x), quick_(exact), rtol=1e-5, atol=1e-6)
    tanh = exact * (1 + np.tanh(np.sqrt(2 / np.pi) * (exact + 0.044715 * exact**3))) / 2
    np.testing.assert_allclose(activations.gelu_tanh(x), tanh, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        activations.silu(x), exact / (1 + np.exp(-exact)), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_array_equal(activations.ACTIVATIONS["relu"](x), np.maximum(x, 0))
