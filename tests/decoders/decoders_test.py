"""`decoders.create`: every name, and the answers to mistakes."""

import pytest

from m3i_jax import decoders
from m3i_jax.build import ConfigError


def test_names():
    assert decoders.names() == (
        "attention_pool",
        "caption",
        "class_branch",
        "clusters",
        "dalle_decoder",
        "deconvolutions",
        "dense_heads",
        "dense_linear",
        "depth_bins",
        "depth_deconvolutions",
        "dino_detector",
        "fcn",
        "infill",
        "latent",
        "linear",
        "map_head",
        "mask2former",
        "mask_rcnn",
        "mlp",
        "pooled",
        "predictor",
        "projector",
        "prompt",
        "prototypes",
        "query",
        "simple_decoder",
        "swin_track",
        "upernet",
    )
    for name in decoders.names():
        # Those that return features say themselves how wide these are.
        heads = ("projector", "class_branch", "dalle_decoder", "dense_heads")
        given = {} if name in heads else {"out": 1 if name == "swin_track" else 8}
        assert isinstance(decoders.create({"name": name}, **given).geometry_inputs, tuple)


def test_heads_say_how_wide_they_are():
    heads = [name for name in decoders.names() if decoders.is_head({"name": name})]
    assert heads == ["class_branch", "dalle_decoder", "dense_heads", "projector"]
    assert decoders.is_head({"name": "mlp", "out": 4}) and not decoders.is_head({"name": "mlp"})


@pytest.mark.parametrize(
    "block, words",
    [
        ({"name": "querry"}, "unknown decoder 'querry'; did you mean 'query'"),
        ({}, "decoder lacks 'name'"),
        ({"name": "query", "dept": 2}, "no key 'dept'; did you mean 'depth'"),
        ({"name": "query", "out": 2}, "no key 'out'"),
        ({"name": "query", "parent": 2}, "no key 'parent'"),
        ({"name": "query", "depth": 2.5}, "expected a whole number"),
    ],
)
def test_mistakes(block, words):
    with pytest.raises(ConfigError, match=words):
        decoders.create(block, out=8)
