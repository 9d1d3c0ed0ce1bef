"""Which tokens of which blocks make a vector."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from m3i_jax import encoders
from m3i_jax.build import ConfigError
from m3i_jax.evaluation.pooling import pooled
from m3i_jax.types import Features

TOKENS = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


def test_pooled_by_mean_and_by_class_token():
    x = Features(tokens=TOKENS, pooled=TOKENS[:, 0] + 100)
    np.testing.assert_allclose(pooled(x, "mean"), TOKENS.mean(1))
    np.testing.assert_array_equal(pooled(x, "cls"), TOKENS[:, 0] + 100)
    np.testing.assert_array_equal(pooled(x, "tokens"), TOKENS)
    both = np.concatenate([TOKENS[:, 0] + 100, TOKENS.mean(1)], 1)
    np.testing.assert_allclose(pooled(x, "both"), both)
    assert pooled(x._replace(tokens=jnp.asarray(TOKENS, jnp.bfloat16)), "mean").dtype == (
        jnp.float32
    )


@pytest.mark.parametrize(
    "lacking, how, sentence",
    [
        ("pooled", "cls", "no class token; pool by 'mean'"),
        ("pooled", "both", "no class token; pool by 'mean'"),
        ("tokens", "mean", "no patch tokens; pool by 'cls'"),
        ("layers", "max", "expected one of mean, cls, both, tokens"),
    ],
)
def test_what_the_encoder_has_not_is_a_sentence(lacking, how, sentence):
    x = Features(tokens=TOKENS, pooled=TOKENS[:, 0])._replace(**{lacking: None})
    with pytest.raises(ConfigError, match=sentence):
        pooled(x, how)


def test_blocks_that_are_not_there_are_a_sentence():
    x = Features(tokens=TOKENS, layers=np.stack([TOKENS] * 3))
    with pytest.raises(
        ValueError, match="of 4 blocks are wanted, and the encoder gives those of 3"
    ):
        pooled(x, "mean", blocks=4)


@pytest.mark.parametrize("how", ["mean", "cls", "both", "tokens"])
def test_the_last_blocks_are_those_of_shorter_encoders(key, how):
    """An encoder cut off behind a block, with the same norm, is what that block gives."""
    block = dict(image=8, patch=4, width=16, depth=3, heads=2)
    module = encoders.create("vit_nano", **block)
    images = jax.random.normal(key, (2, 8, 8, 3))
    params = module.init(key, images)["params"]
    params["norm"] = {"scale": params["norm"]["scale"] * 3, "bias": params["norm"]["bias"] + 1}

    def norm(x):
        x = np.float64(x)
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
        return x * np.float64(params["norm"]["scale"]) + np.float64(params["norm"]["bias"])

    whole = module.apply({"params": params}, images, layers=True)
    found = pooled(whole, how, blocks=2, norm=norm)
    short = encoders.create("vit_nano", **block | {"depth": 2})
    cut = params | {"blocks": jax.tree.map(lambda x: x[:2], params["blocks"])}
    before = short.apply({"params": cut}, images)
    if how == "both":
        expected = [before.pooled, whole.pooled, whole.tokens.mean(1)]
    else:
        expected = [pooled(x, how) for x in (before, whole)]
    np.testing.assert_allclose(found, jnp.concatenate(expected, -1), rtol=1e-4, atol=1e-4)
