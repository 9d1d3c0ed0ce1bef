"""Descriptions of encoders; that others build the models from them is in tests/parity."""

import math

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
        "act_layer": "gelu", "pos_embed": "learn", "num_classes": 0,
    }  # fmt: skip
    assert said["pretrained_cfg"]["input_size"] == [3, 192, 192]
    assert described("beit", qkv_bias="qv")["model_args"]["qkv_bias"] is True


def test_eps_is_in_the_name_that_timm_has_for_it():
    assert described("timm")["architecture"] == "vit_base_patch16_224"
    assert described("timm", eps=1e-5)["architecture"] == "vit_base_patch16_clip_224"


def test_means_are_those_that_the_weights_expect():
    clip = described("timm", normalization="clip")["pretrained_cfg"]
    assert clip["mean"][0] == pytest.approx(0.48145466)
    own = described("timm", normalization=((0.1, 0.2, 0.3), (0.4, 0.5, 0.6)))["pretrained_cfg"]
    assert own["mean"] == [0.1, 0.2, 0.3] and own["std"] == [0.4, 0.5, 0.6]


def test_timm_rounds_down_to_what_evaluation_rounds_to():
    for size in range(16, 600):
        module = encoders.create("vit_nano", image=size * 4, patch=4)
        share = describe.config(module, layouts.lookup("timm"))["pretrained_cfg"]["crop_pct"]
        assert math.floor(size * 4 / share) == round(size * 4 / 0.875)
    assert described("timm")["pretrained_cfg"]["crop_pct"] == 0.875
    whole = describe.config(module, layouts.lookup("timm"), kept=1.0)
    assert whole["pretrained_cfg"]["crop_pct"] == 1.0


def test_transformers_has_its_images_in_a_file_of_their_own():
    module = encoders.create("vit_b16", normalization="inception")
    vit = describe.config(module, layouts.lookup("huggingface"))
    said = describe.preprocessor(module, vit)
    assert said["image_mean"] == said["image_std"] == [0.5, 0.5, 0.5]
    assert said["size"] == {"shortest_edge": 256} and said["resample"] == 3
    assert said["crop_size"] == {"height": 224, "width": 224}
    whole = describe.preprocessor(module, vit, kept=1.0)
    assert whole["size"] == {"shortest_edge": 224}
    assert describe.preprocessor(module, {}) == {}


def test_layouts_of_nobodys_library_have_no_description():
    assert described("mae") == {}


def test_models_that_there_are_not_are_refused():
    with pytest.raises(ConfigError, match="'vit' is an encoder with class_token=True"):
        described("huggingface", class_token=False)
