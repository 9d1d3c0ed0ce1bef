"""Texts of encoders and decoders are those that their code knows, and are refused by name."""

import inspect

import pytest

from m3i_jax import decoders, encoders
from m3i_jax.build import ConfigError
from m3i_jax.ranges import described


@pytest.mark.parametrize(
    "name, field, value, expected",
    [
        ("vit_nano", "positions", "sincoss", "; did you mean 'sincos'?"),
        ("vit_nano", "activation", "swishy", "one of gelu, quick_gelu, gelu_tanh, relu, silu"),
        ("vit_nano", "weight_init", "dei", "; did you mean 'deit'?"),
        ("vit_nano", "qkv_bias", "vq", "; did you mean 'qv'?"),
        ("swin_v2_t", "hide", "drop", "one of mask, ''"),
        ("resnet18", "stem", "imagnet", "; did you mean 'imagenet'?"),
        ("internimage_t", "norm", "prae", "; did you mean 'pre'?"),
        ("text_nano", "feature", "firts", "; did you mean 'first'?"),
        ("replknet_nano", "remat", "ful", "; did you mean 'full'?"),
        ("dalle_encoder_nano", "dtype", "float3", "; did you mean 'float32'?"),
    ],
)
def test_a_text_that_an_encoder_does_not_know(name, field, value, expected):
    with pytest.raises(ConfigError) as error:
        encoders.create(name, what="config.encoder", **{field: value})
    said = str(error.value)
    assert said.startswith(f"config.encoder.{field} is '{value}', expected one of ")
    assert said.endswith(expected)


@pytest.mark.parametrize(
    "name, field, value, expected",
    [
        ("linear", "pool", "clss", "; did you mean 'class'?"),
        ("mlp", "activation", "rellu", "; did you mean 'relu'?"),
        ("mlp", "norm_out", "scal", "; did you mean 'scale'?"),
        ("pooled", "norm", "btach", "; did you mean 'batch'?"),
        ("query", "norm", "none", "one of layer, batch"),
        ("infill", "head", "linaer", "; did you mean 'linear'?"),
        ("prompt", "remat", "dot", "; did you mean 'dots'?"),
    ],
)
def test_a_text_that_a_decoder_does_not_know(name, field, value, expected):
    with pytest.raises(ConfigError) as error:
        decoders.create({"name": name, field: value}, what="config.decoders.x", out=4)
    said = str(error.value)
    assert said.startswith(f"config.decoders.x.{field} is '{value}', expected one of ")
    assert said.endswith(expected)


def test_every_text_of_a_module_says_what_it_may_be():
    made = [encoders.variant(n) for n in encoders.names()]
    made += [decoders.variant(n) for n in decoders.names()]
    for fn in made:
        for name, parameter in inspect.signature(fn).parameters.items():
            if isinstance(parameter.default, str) and name not in ("name", "normalization"):
                assert "one of " in described(parameter.annotation), (fn, name)
