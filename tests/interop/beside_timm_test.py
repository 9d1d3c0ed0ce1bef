"""timm's and open_clip's files; that the models are the same is in tests/parity/imports_test.py."""

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.interop import beside_timm
from m3i_jax.interop.statement import Stated


def test_a_name_says_heads_eps_activation_and_patch():
    for name, heads, eps, activation, patch in (
        ("vit_small_patch16_224.dino", 6, 1e-6, "gelu", 16),
        ("vit_large_patch14_clip_quickgelu_336.openai", 16, 1e-5, "quick_gelu", 14),
        ("beitv2_base_patch16_224", 12, 1e-6, "gelu", 16),
        ("deit3_huge_patch14_224", 16, 1e-6, "gelu", 14),
    ):
        found = beside_timm.model({"architecture": name}).fields()
        want = dict(heads=heads, eps=eps, activation=activation, patch=patch)
        assert found == want, name


def test_arguments_are_over_the_name_and_images_are_those_of_the_weights():
    said = {
        "architecture": "vit_base_patch16_224",
        "model_args": dict(num_heads=4, act_layer="relu", patch_size=[8, 8], drop_path_rate=0.1),
        "pretrained_cfg": dict(input_size=[3, 32, 64], mean=[0.5] * 3, std=[0.5] * 3),
    }
    found = beside_timm.model(said)
    fields = dict(heads=4, eps=1e-6, activation="relu", patch=8, image=(32, 64))
    assert found.fields() == fields | dict(normalization="inception") and found.grid == (4, 8)
    assert found.image["heads"].where == "config.json's model_args.num_heads"
    said["pretrained_cfg"] |= dict(interpolation="bilinear", crop_pct=0.9)
    assert beside_timm.model(said).notes == (
        "config.json: images were resized (bilinear), a share of 0.9 kept",
    )
    old = {"architecture": "resnet50", "mean": [0.5] * 3, "std": [0.5] * 3}  # before 0.9
    want = dict(depths=(3, 4, 6, 3), block="bottleneck", stem="imagenet")
    assert beside_timm.model(old).fields() == want | dict(normalization="inception")


@pytest.mark.parametrize(
    "name, arguments, sentence",
    [
        ("eva02_base_patch14_224", {}, "none whose heads, norms and activation we know"),
        ("vit_base_patch16_plus_240", {}, "none whose heads"),
        ("vit_base_patch16_224", dict(reg_tokens=4), "says reg_tokens=4, which no encoder"),
        ("vit_base_patch16_224", dict(qk_norm=True), "says qk_norm=True, which no encoder"),
        ("vit_base_patch16_224", dict(norm_layer="rmsnorm"), "norm_layer is 'rmsnorm', and ours"),
        ("vit_base_patch16_224", dict(act_layer="mish"), "act_layer is 'mish', which no"),
        ("vit_base_patch16_224", dict(patch_size=[8, 16]), "patches of our encoders are squares"),
        ("swinv2_tiny_window8_256", dict(act_layer="relu"), "says act_layer='relu'"),
        ("swinv2_tiny_window8_256", dict(always_partition=True), "says always_partition=True"),
        ("resnet50", dict(stem_type="deep"), "says stem_type='deep'"),
        ("resnet50", dict(act_layer="gelu"), "says act_layer='gelu'"),
    ],
)
def test_what_no_encoder_of_ours_is_is_refused(name, arguments, sentence):
    with pytest.raises(ConfigError, match=sentence):
        beside_timm.model({"architecture": name, "model_args": arguments})


def test_swins_windows():
    found = beside_timm.model({"architecture": "swinv2_base_window12to16_192to256"})
    assert found.encoder == "swin_v2_b"
    assert found.fields() == dict(
        heads=(4, 8, 16, 32), stride=4, shift=True, window=16, pretrained_window=(12, 12, 12, 6)
    )


def test_open_clip():
    tower = dict(image_size=224, layers=12, width=768, patch_size=32)
    said = dict(model_cfg=dict(embed_dim=512, vision_cfg=tower, text_cfg={}))
    found = beside_timm.open_clip(said, Stated())
    want = dict(heads=12, activation="gelu", eps=1e-5, normalization="clip", patch=32)
    assert found.fields() | want == found.fields() and found.grid == (7, 7)
    said["model_cfg"]["quick_gelu"] = True
    said["preprocess_cfg"] = dict(mean=[0.5] * 3, std=[0.5] * 3)
    found = beside_timm.open_clip(said, Stated()).fields()
    assert (found["activation"], found["normalization"]) == ("quick_gelu", "inception")
    for more in (dict(timm_model_name="x"), dict(layers=[3, 4, 6, 3]), dict(attentional_pool=True)):
        with pytest.raises(ConfigError, match="vision_cfg"):
            beside_timm.open_clip(dict(model_cfg=dict(vision_cfg=tower | more)), Stated())
