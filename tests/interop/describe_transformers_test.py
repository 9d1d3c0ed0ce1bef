"""Configs of transformers; that it builds the models from them is in tests/parity."""

import pytest

from m3i_jax import encoders
from m3i_jax.build import ConfigError
from m3i_jax.interop import describe, layouts


def described(layout, name="vit_b16", **fields):
    return describe.config(encoders.create(name, **fields), layouts.lookup(layout))


def test_transformers():
    vit = described("huggingface", eps=1e-5)
    assert (vit["model_type"], vit["hidden_size"], vit["image_size"]) == ("vit", 768, 224)
    assert vit["intermediate_size"] == 3072 and vit["layer_norm_eps"] == 1e-5
    resnet = described("resnet_huggingface", "resnet50")
    assert resnet["hidden_sizes"] == [256, 512, 1024, 2048] and resnet["depths"] == [3, 4, 6, 3]
    swin = described("swin_v2_huggingface", "swin_v2_t", image=256, window=8)
    assert swin["pretrained_window_sizes"] == [0, 0, 0, 0]


def test_dinov3_is_an_encoder_of_rotary_positions():
    fields = dict(positions="rope", qkv_bias="qv", rope_base=20.0, registers=4, layer_scale=0.1)
    said = described("dinov3_huggingface", **fields)
    assert (said["rope_theta"], said["num_register_tokens"]) == (20.0, 4)
    assert said["model_type"] == "dinov3_vit" and not said["use_gated_mlp"]
    with pytest.raises(ConfigError, match="an encoder with positions='rope', and this one has"):
        described("dinov3_huggingface", qkv_bias="qv")
