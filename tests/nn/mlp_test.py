"""The two layers against their equation and autodiff."""

import jax
import jax.numpy as jnp
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


@pytest.mark.parametrize("name", activations.ACTIVATIONS)
def test_the_gradient_by_hand_is_that_of_the_layers(key, name):
    """Against autodiff of the same in float32; in bfloat16 each array is rounded once, to 2^-9."""
    x, act = jax.random.normal(key, (3, 5, 8)), activations.ACTIVATIONS[name]
    module = Mlp(1.5, act)
    params = jax.tree.map(lambda p: p + 0.1, module.init(key, x)["params"])
    g = jax.random.normal(jax.random.fold_in(key, 1), x.shape)

    def plain(p, x):
        y = act(x @ p["fc1"]["kernel"] + p["fc1"]["bias"][None, None])
        return y @ p["fc2"]["kernel"] + p["fc2"]["bias"][None, None]

    want, pull = jax.vjp(plain, params, x)
    right = jax.tree.leaves((want, pull(g)))
    for dtype, limit in ((jnp.float32, 1e-6), (jnp.bfloat16, 2e-2)):
        run = lambda p, x, m=module.clone(dtype=dtype): m.apply({"params": p}, x)  # noqa: E731
        got, mine = jax.vjp(run, params, x)
        for a, b in zip(jax.tree.leaves((got, mine(g.astype(dtype)))), right, strict=True):
            assert np.linalg.norm(np.float64(a) - np.float64(b)) <= limit * np.linalg.norm(b)


def test_the_hidden_layer_is_kept_once(key):
    x, module = jax.random.normal(key, (3, 5, 8)), Mlp()
    params = jax.eval_shape(module.init, key, x)["params"]
    held = jax.eval_shape(lambda p, x: jax.vjp(lambda *a: module.apply(*a), {"params": p}, x)[1],
                          params, x)  # fmt: skip
    assert sum(leaf.size for leaf in jax.tree.leaves(held)) == x.size * (1 + 4) + 2 * 8 * 32 + 40
