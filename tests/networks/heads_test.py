"""Heads: what feeds them, how wide they are, and what cannot be."""

import jax
import jax.numpy as jnp
import pytest

from m3i_jax.build import ConfigError
from m3i_jax.types import Features
from tests.networks.small_networks import NANO, built, drawn


def test_refine_is_a_head_on_features():
    decoders = {
        "head": dict(name="mlp", hidden=8, pool="class"),
        "tokens": dict(name="projector", heads=2, depth=1),
        "image": dict(name="query", width=16, depth=1, heads=2, input="tokens"),
        "more": dict(name="mlp", hidden=8, layers=2, input="head", pool="class"),
    }
    network = built(decoders=decoders, out={"head": 4, "image": 16, "more": 4})
    params = drawn(network)
    x = Features(jnp.ones((2, 16, 16)), jnp.ones((2, 16)))
    refine = lambda name: jax.eval_shape(  # noqa: E731
        lambda x: network.refine(params, name, x, grid=(4, 4)), x
    )
    decode = lambda name, x: jax.eval_shape(  # noqa: E731
        lambda x: network.decode(params, name, x, grid=(4, 4)), x
    )
    head, tokens = refine("head"), refine("tokens")
    assert head.pooled.shape == (2, 4) and head.tokens is None
    assert tokens.pooled.shape == (2, 16) and tokens.tokens.shape == (2, 16, 16)
    assert decode("more", head).shape == (2, 4)
    assert decode("image", tokens).shape == (2, 16, 16)
    assert network.batchwise == network.untracked == {"head", "tokens", "more"}
    assert network.nodes["tokens"].width == 16 and network.nodes["tokens"].kind == "head"


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(encoder={"name": "vit_nani"}), "did you mean 'vit_nano'"),
        (dict(encoder={}), "config.encoder lacks 'name'"),
        (dict(encoder=dict(NANO, depht=3)), "did you mean 'depth'"),
        (dict(image=30, encoder={"name": "vit_nano"}), "30x30 is not divisible by patch 4"),
        (dict(towers={"image": NANO}), "needs another name"),
        (dict(encoder=dict(NANO, shares=1)), "the encoder shares no blocks"),
        (dict(towers={"b": dict(NANO, shares=2)}), "shares 2 blocks with the encoder, expected 1"),
        (dict(decoders={"image": {"name": "query", "input": "imag"}}), "unknown input 'imag'"),
        (dict(decoders={"a": {"name": "linear", "input": "a"}}), "feed each other: a <- a"),
        (dict(decoders={"b": {"name": "linear"}}), "config.decoders.b predicts nothing"),
        (dict(decoders={"image": {"name": "qery"}}), "did you mean 'query'"),
        # The key that can be typed.
        (dict(encoder=dict(NANO, width=0)), r"^config\.encoder\.width is 0, expected 1"),
        (dict(encoder=dict(NANO, hide="drp")), r"^config\.encoder\.hide is .*did you mean 'drop'"),
        (dict(towers={"b": dict(NANO, depth=-1)}), r"^config\.towers\.b\.depth is -1, expected 1"),
        (dict(towers={"b": {"name": "vit_nan"}}), r"^unknown config\.towers\.b 'vit_nan'"),
        (dict(decoders={"p": {"name": "mlp", "out": 3, "layers": -1}}),
         r"^config\.decoders\.p\.layers is -1"),
        (dict(decoders={"p": {"name": "mlp", "out": 3, "norm": "bn"}}),
         r"^config\.decoders\.p\.norm is 'bn'.*did you mean 'batch'"),
        (dict(decoders={"p": {"widht": 3}}), r"^config\.decoders\.p lacks 'name'"),
        (dict(decoders={"image": {"name": "linear", "out": 3}}),
         r"^config\.decoders\.image\.out is 3, but how wide a prediction is the objective says"),
        (dict(decoders={"image": {"name": "projector"}}), "image, a head, has the name of a tower"),
    ],
)  # fmt: skip
def test_mistakes(change, words):
    with pytest.raises(ConfigError, match=words):
        built(**change)
