"""Descriptions of encoders; that transformers builds the models from them is in tests/parity."""

import pytest

from m3i_jax import encoders
from m3i_jax.build import ConfigError
from m3i_jax.interop import describe, layouts


def described(layout, name="vit_b16", **fields):
    return describe.config(encoders.create(name, **fields), layouts.lookup(layout))


def test_timm():
    said = described("timm", image=192, positions="learned")
    assert said["model_args"] == {
        "img_size": [192, 192], "patch_size": 16, "embed_dim": 768, "depth": 12, "num_heads": 12,
        "mlp_ratio": 4.0, "init_values": None, "qkv_bias": True, "class_token": True,
        "global_pool": "token", "pre_norm": False, "final_norm": True, "fc_norm": False,
        "num_classes": 0,
    }  # fmt: skip
    assert said["pretrained_cfg"]["input_size"] == [3, 192, 192]
    assert described("beit", qkv_bias="qv")["model_args"]["qkv_bias"] is True


def test_means_are_those_that_the_weights_expect():
    clip = described("timm", normalization="clip")["pretrained_cfg"]
    assert clip["mean"][0] == pytest.approx(0.48145466)


def test_transformers():
    vit = described("huggingface", eps=1e-5)
    assert (vit["model_type"], vit["hidden_size"], vit["image_size"]) == ("vit", 768, 224)
    assert vit["intermediate_size"] == 3072 and vit["layer_norm_eps"] == 1e-5
    resnet = described("resnet_huggingface", "resnet50")
    assert resnet["hidden_sizes"] == [256, 512, 1024, 2048] and resnet["depths"] == [3, 4, 6, 3]
    swin = described("swin_v2_huggingface", "swin_v2_t")
    assert swin["pretrained_window_sizes"] == [0, 0, 0, 0]


def test_layouts_of_nobodys_library_have_no_description():
    assert described("mae") == {}


def test_models_that_there_are_not_are_refused():
    with pytest.raises(ConfigError, match="'vit' is an encoder with class_token=True"):
        described("huggingface", class_token=False)
