"""Prototypes: cosines over a temperature, per image and per token."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import decoders, trees
from m3i_jax.build import ConfigError
from m3i_jax.types import Features


@pytest.mark.parametrize("pool", ["class", "mean", "none"])
def test_cosines_over_temperature(key, pool):
    x = Features(jax.random.normal(key, (3, 4, 8)), 5 * jax.random.normal(key, (3, 8)))
    module = decoders.create({"name": "prototypes", "pool": pool, "temperature": 0.1}, out=6)
    params = module.init(key, x)["params"]
    assert trees.count(params) == 6 * 8
    rows = np.float64(params["kernel"])
    data = np.float64({"class": x.pooled, "mean": x.tokens.mean(1), "none": x.tokens}[pool])
    cosine = data @ rows.T / np.linalg.norm(rows, axis=1)
    want = cosine / np.linalg.norm(data, axis=-1, keepdims=True) / 0.1
    np.testing.assert_allclose(module.apply({"params": params}, x), want, rtol=1e-4, atol=1e-4)
    # Neither the length of a feature nor that of a prototype matters.
    longer = jax.tree.map(lambda p: 3 * p, params), jax.tree.map(lambda v: 2 * v, x)
    got = module.apply({"params": longer[0]}, longer[1])
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def test_learned_lengths_start_at_one(key):
    x = Features(pooled=jax.random.normal(key, (3, 8)))
    plain, long = (
        decoders.create({"name": "prototypes", "lengths": learned}, out=6)
        for learned in (False, True)
    )
    params = long.init(key, x)["params"]
    assert trees.count(params) == 6 * 8 + 6
    cosines = plain.apply({"params": {"kernel": params["kernel"]}}, x)
    np.testing.assert_array_equal(long.apply({"params": params}, x), cosines)
    params["length"] = jnp.arange(6.0)
    np.testing.assert_allclose(
        long.apply({"params": params}, x), cosines * np.arange(6.0)[None], rtol=1e-6
    )


def test_rows_that_are_held_start_at_length_one_and_are_as_they_are(key):
    module = decoders.create({"name": "prototypes", "held": True}, out=6)
    x = Features(pooled=jax.random.normal(key, (3, 8)))
    rows = module.init(key, x)["params"]["kernel"]
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-6)
    unit = x.pooled / np.linalg.norm(x.pooled, axis=1, keepdims=True)
    got = module.apply({"params": {"kernel": 3 * rows}}, x)
    np.testing.assert_allclose(got, 3 * unit @ rows.T, rtol=1e-4, atol=1e-5)


def test_start_is_uniform_within_one_over_root_width(key):
    module = decoders.create({"name": "prototypes"}, out=1024)
    rows = module.init(key, Features(pooled=jnp.ones((1, 256))))["params"]["kernel"]
    # MSN: |w| <= 1/16, deviation 1/16/sqrt(3); 262144 draws know it to a thousandth.
    assert np.abs(rows).max() <= 1 / 16
    np.testing.assert_allclose(np.std(rows), 1 / 16 / np.sqrt(3), rtol=5e-3)


def test_mistakes():
    for block, words in (
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"pool": "first"}, "pool is 'first'"),
    ):
        with pytest.raises(ConfigError, match=words):
            decoders.create({"name": "prototypes", **block}, out=4)
