"""BEiT v2's class branch: which tokens go in, and what comes out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import decoders, trees
from m3i_jax.build import ConfigError
from m3i_jax.decoders.transformer import Projector
from m3i_jax.types import Features

GRID = (1, 3)


def features(key, width=8):
    a, b = jax.random.split(key)
    layers = jax.random.normal(a, (5, 2, 3, width))
    return Features(layers[-1], jax.random.normal(b, (2, width)), layers=layers)


def test_it_is_blocks_over_the_class_token_and_early_patches(key):
    x = features(key)
    module = decoders.create({"name": "class_branch", "layer": 2, "heads": 2})
    params = jax.jit(lambda k: module.init(k, x, grid=GRID))(key)["params"]
    assert trees.count(params) == 2 * (12 * 8**2 + 13 * 8)
    got = jax.jit(lambda p: module.apply({"params": p}, x, grid=GRID))(params)
    # The same blocks in a token head whose embedding is the identity.
    identity = {"embed": {"kernel": jnp.eye(8), "bias": jnp.zeros(8)}}
    plain = Projector(heads=2, norm="layer")
    want = jax.jit(plain.apply)({"params": params | identity}, x._replace(tokens=x.layers[1]))
    np.testing.assert_allclose(got.tokens, want.tokens, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(got.pooled, want.pooled, rtol=1e-5, atol=1e-5)


def test_late_patch_tokens_have_no_influence(key):
    x = features(key)
    module = decoders.create({"name": "class_branch", "layer": 2, "heads": 2, "layer_scale": 0.1})
    params = jax.jit(lambda k: module.init(k, x, grid=GRID))(key)["params"]

    def total(x):
        return jnp.sin(module.apply({"params": params}, x, grid=GRID).tokens).sum()

    grad = jax.jit(jax.grad(total))(x)
    assert not grad.tokens.any() and grad.pooled.any()
    np.testing.assert_array_equal(grad.layers.any((1, 2, 3)), [False, True, False, False, False])


def test_relative_bias(key):
    x = features(key)
    options = {"name": "class_branch", "layer": 2, "heads": 2, "depth": 1}
    module = decoders.create({**options, "relative_bias": True})
    params = jax.jit(lambda k: module.init(k, x, grid=GRID))(key)["params"]
    table = params.pop("relative_position")["table"]
    assert table.shape == (1 * 5 + 3, 2) and not table.any()

    def run(module, params):
        return jax.jit(lambda p: module.apply({"params": p}, x, grid=GRID).tokens)(params)

    plain = run(decoders.create(options), params)
    np.testing.assert_array_equal(
        run(module, params | {"relative_position": {"table": table}}), plain
    )
    # Row 1 is what a cell adds for its neighbour on the right, and the last cell has none.
    moved = table.at[1].set(3.0)
    got = run(module, params | {"relative_position": {"table": moved}})
    change = np.abs(got - plain).max((0, 2))
    assert (change[:2] > 1e-3).all() and change[2] == 0


def test_mistakes(key):
    for options, words in (({"layer": 0}, "layer is 0"), ({"depth": 0}, "depth is 0")):
        with pytest.raises(ConfigError, match=words):
            decoders.create({"name": "class_branch", **options})
    x = features(key)
    for options, given, words in (
        ({"heads": 2}, x, "layer 9, the encoder 5 blocks"),
        ({"layer": 1}, x, "width 8 is not divisible by 12"),
        ({}, x._replace(layers=None), "the outputs of all blocks"),
        ({}, x._replace(pooled=None), "needs a class token"),
    ):
        with pytest.raises(ConfigError, match=words):
            decoders.create({"name": "class_branch", **options}).init(key, given, grid=GRID)
