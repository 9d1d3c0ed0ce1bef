"""transformers' names on disk: prefixes of models with heads, separate layers, its decoder."""

import numpy as np
import pytest

from m3i_jax.interop import huggingface, layouts
from m3i_jax.interop.rename import sort, to_theirs

QUERY = "encoder.layer.{}.attention.attention.query.weight"


@pytest.mark.parametrize("name", ["huggingface", "dinov2_huggingface", "beit_huggingface"])
def test_models_with_heads_have_a_prefix_and_parts_that_go(name, example):
    layout, (_, params) = layouts.lookup(name), example(name)
    state, _ = to_theirs(params, layout)
    prefix = {"huggingface": "vit.", "dinov2_huggingface": "dinov2.", "beit_huggingface": "beit."}
    whole = [prefix[name] + key for key in state] + ["classifier.weight", "classifier.bias"]
    found, places = layouts.recognise(whole, what="it")
    assert found.name == name and set(places.dropped) == {"classifier.weight", "classifier.bias"}


def test_queries_are_the_first_third(example):
    _, params = example("huggingface")
    state, _ = to_theirs(params, huggingface.VIT)
    kernel = params["encoders/image/blocks/attn/qkv/kernel"]
    for i in range(2):
        np.testing.assert_array_equal(state[QUERY.format(i)], kernel[i, :, :16].T)


def test_either_name_of_maes_decoder_blocks_is_read():
    parts = "attention.attention.query", "attention.attention.key", "attention.attention.value"
    for name in ("decoder.decoder_layers.0.", "decoder.decoder_encoder.layer.0."):
        places = sort([f"{name}{part}.weight" for part in parts], huggingface.MAE)
        assert list(places.leaves) == ["decoders/image/blocks/attn/qkv/kernel"]


def test_a_key_with_a_bias_is_no_beit():
    names = [QUERY.format(0).replace("query", part) for part in ("query", "key", "value")]
    biases = [name.replace("weight", "bias") for name in names]
    assert not sort([*names, biases[0], biases[2]], huggingface.BEIT).unknown
    assert sort([*names, *biases], huggingface.BEIT).unknown == (biases[1],)
