"""The class table: rows, candidates, and the missing label."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import encoders
from m3i_jax.build import ConfigError


def test_rows_and_candidates(key):
    module = encoders.create("table", size=500, width=32)
    params = module.init(key, module.example())["params"]
    z = module.apply({"params": params}, jnp.array([2, -1, 499]))
    np.testing.assert_array_equal(z.candidates, params["kernel"])
    np.testing.assert_array_equal(z.target_index, [2, 0, 499])
    np.testing.assert_array_equal(z.pooled, params["kernel"][jnp.array([2, 0, 499])])
    # 16 000 draws: the deviation is known to 0.6 %.
    np.testing.assert_allclose(params["kernel"].std(), 0.02, rtol=0.03)


def test_gradient_reaches_the_chosen_row_only(key):
    module = encoders.create("table", size=5, width=4)
    params = module.init(key, module.example())
    total = lambda p: module.apply(p, jnp.array([3, 3])).pooled.sum()  # noqa: E731
    grad = jax.grad(total)(params)["params"]["kernel"]
    np.testing.assert_array_equal(grad, 2.0 * (np.arange(5) == 3)[:, None] * np.ones((5, 4)))


def test_unit_rows(key):
    module = encoders.create("table", size=5, width=4, unit_norm=True)
    z = module.apply(module.init(key, module.example()), jnp.array([1]))
    np.testing.assert_allclose(jnp.linalg.norm(z.candidates, axis=-1), 1, rtol=1e-6)


def test_a_bias_is_the_last_number_of_a_row_and_starts_at_zero(key):
    """Fine-tuning: rows that start at a deviation of 2e-5, as MAE's head."""
    module = encoders.create("table", size=500, width=32, bias=True, deviation=2e-5)
    params = module.init(key, module.example())["params"]
    assert module.features == 33 and params["bias"].shape == (500,)
    np.testing.assert_allclose(params["kernel"].std(), 2e-5, rtol=0.03)
    params |= {"bias": jnp.arange(500.0)}
    z = module.apply({"params": params}, jnp.array([2, 499]))
    np.testing.assert_array_equal(z.candidates[:, :-1], params["kernel"])
    np.testing.assert_array_equal(z.pooled[:, -1], [2, 499])
    with pytest.raises(ConfigError, match="unit vectors has no bias"):
        encoders.create("table", size=5, width=4, bias=True, unit_norm=True)


def test_an_empty_table_is_refused():
    with pytest.raises(ConfigError, match="size is 0"):
        encoders.create("table", size=0, width=4)
