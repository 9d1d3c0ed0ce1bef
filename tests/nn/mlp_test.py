"""The two layers against their equation and autodiff."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax.nn import activations
from m3i_jax.nn.mlp import Mlp
from m3i_jax.nn.norms import RMSNorm
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


def test_a_gated_layer_and_its_gradient(key):
    """w3(φ(a) · b) in float64; the gradient by hand against autodiff of the same."""
    x = jax.random.normal(key, (3, 5, 8))
    module = Mlp(1.5, activations.silu, gated=True)
    params = jax.tree.map(lambda p: p + 0.1, module.init(key, x)["params"])
    assert params["w12"]["kernel"].shape == (8, 24) and params["w3"]["kernel"].shape == (12, 8)
    p, wide = jax.tree.map(np.float64, params), np.float64(x)
    a, b = np.split(wide @ p["w12"]["kernel"] + p["w12"]["bias"], 2, axis=-1)
    want = (a / (1 + np.exp(-a)) * b) @ p["w3"]["kernel"] + p["w3"]["bias"]
    np.testing.assert_allclose(module.apply({"params": params}, x), want, rtol=1e-5, atol=1e-6)

    def plain(p, x):
        a, b = jnp.split(x @ p["w12"]["kernel"] + p["w12"]["bias"][None, None], 2, axis=-1)
        return (jax.nn.silu(a) * b) @ p["w3"]["kernel"] + p["w3"]["bias"][None, None]

    g = jax.random.normal(jax.random.fold_in(key, 1), x.shape)
    right = jax.tree.leaves(jax.vjp(plain, params, x)[1](g))
    for dtype, limit in ((jnp.float32, 1e-6), (jnp.bfloat16, 2e-2)):
        run = lambda p, x, m=module.clone(dtype=dtype): m.apply({"params": p}, x)  # noqa: E731
        got = jax.tree.leaves(jax.vjp(run, params, x)[1](g.astype(dtype)))
        for mine, theirs in zip(got, right, strict=True):
            error = np.linalg.norm(np.float64(mine) - np.float64(theirs))
            assert error <= limit * np.linalg.norm(theirs)


def test_without_biases_and_with_a_norm_between_the_layers(key):
    """Biases of zero give the same result and gradients; the norm is of the hidden layer."""
    x, g = (
        jax.random.normal(key, (3, 5, 8)),
        jax.random.normal(jax.random.fold_in(key, 1), (3, 5, 8)),
    )
    bare, full = Mlp(1.5, bias=False), Mlp(1.5)
    params = bare.init(key, x)["params"]
    assert jax.tree.map(np.shape, params) == {
        "fc1": {"kernel": (8, 12)},
        "fc2": {"kernel": (12, 8)},
    }
    zeros = {"fc1": jnp.zeros(12), "fc2": jnp.zeros(8)}
    padded = {name: layer | {"bias": zeros[name]} for name, layer in params.items()}
    run = lambda m, p: jax.vjp(lambda p, x: m.apply({"params": p}, x), p, x)  # noqa: E731
    (got, back), (want, pull) = run(bare, params), run(full, padded)
    np.testing.assert_array_equal(got, want)
    (dp, dx), (right, theirs) = back(g), pull(g)
    np.testing.assert_array_equal(dx, theirs)
    for name, layer in dp.items():
        np.testing.assert_array_equal(layer["kernel"], right[name]["kernel"])
    module = Mlp(1.5, activations.silu, gated=True, bias=False, norm=RMSNorm)
    params = module.init(key, x)["params"]
    p, wide = jax.tree.map(np.float64, params), np.float64(x)
    a, b = np.split(wide @ p["w12"]["kernel"], 2, axis=-1)
    hidden = a / (1 + np.exp(-a)) * b
    hidden = hidden / np.sqrt((hidden**2).mean(-1, keepdims=True) + 1e-6)
    want = hidden @ p["w3"]["kernel"]
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
    x = jax.random.normal(key, (3, 5, 8))
    for module, own in ((Mlp(), 2 * 8 * 32 + 40), (Mlp(2.0, gated=True), 3 * 8 * 16 + 40)):
        params = jax.eval_shape(module.init, key, x)["params"]
        pull = lambda p, x, m=module: jax.vjp(lambda *a: m.apply(*a), {"params": p}, x)[1]  # noqa: E731
        held = jax.tree.leaves(jax.eval_shape(pull, params, x))
        assert sum(leaf.size for leaf in held) == x.size * (1 + 4) + own
