"""timm's files; that the models are the same is in tests/parity/imports_test.py."""

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.interop import beside_timm


def test_a_name_says_heads_eps_activation_and_patch():
    for name, heads, eps, activation, patch in (
        ("vit_small_patch16_224.dino", 6, 1e-6, "gelu", 16),
        ("vit_large_patch14_clip_quickgelu_336.openai", 16, 1e-5, "quick_gelu", 14),
        ("beitv2_base_patch16_224", 12, 1e-6, "gelu", 16),
        ("deit3_huge_patch14_224", 16, 1e-6, "gelu", 14),
        ("vit_base_patch16_gap_224", 16, 1e-6, "gelu", 16),
        ("vit_base_patch16_siglip_gap_256.v2_webli", 12, 1e-6, "gelu", 16),
        ("vit_base_patch32_siglip_gap_256", 12, 1e-6, "gelu_tanh", 32),
        ("vit_large_patch16_siglip_512", 16, 1e-6, "gelu_tanh", 16),
        ("flexivit_small.1200ep_in1k", 6, 1e-6, "gelu", 16),
        ("vit_giant_patch14_clip_224", 16, 1e-5, "gelu", 14),
    ):
        found = beside_timm.model({"architecture": name}).fields()
        want = dict(heads=heads, eps=eps, activation=activation, patch=patch)
        assert found == want, name


def test_rotary_positions_and_rms_norms_are_in_the_name():
    rope = dict(positions="rope", rope="dinov3", rope_base=100.0, eps=1e-5, patch=16)
    eva = dict(positions="learned_rope", rope="eva02", rope_base=10000.0, eps=1e-6, patch=14)
    aim = dict(norm="rms", eps=1e-5, activation="silu", patch=14)
    for name, want in (
        ("vit_base_patch16_dinov3.lvd1689m", rope | dict(heads=12, activation="gelu")),
        ("vit_huge_plus_patch16_dinov3_qkvb", rope | dict(heads=20, activation="silu")),
        ("eva02_large_patch14_clip_336", eva | dict(heads=16, activation="silu")),
        ("aimv2_huge_patch14_448", aim | dict(heads=12)),
        ("aimv2_3b_patch14_224", aim | dict(heads=24)),
    ):
        assert beside_timm.model({"architecture": name}).fields() == want, name
    said = {"architecture": "vit_small_patch16_dinov3", "model_args": dict(num_reg_tokens=2)}
    assert beside_timm.model(said).fields()["registers"] == 2


def test_registers_are_in_the_name_or_an_argument():
    for name, count in (("base_patch14_reg4_dinov2", 4), ("medium_patch16_reg1_gap_256", 1)):
        assert beside_timm.model({"architecture": f"vit_{name}"}).fields()["registers"] == count
    more = dict(reg_tokens=3, no_embed_class=True)
    said = {"architecture": "vit_base_patch16_224", "model_args": more}
    assert beside_timm.model(said).fields()["registers"] == 3


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
    assert beside_timm.model(said).crop == 64 / 71  # timm's short side is ⌊64 / 0.9⌋
    old = {"architecture": "resnet50", "mean": [0.5] * 3, "std": [0.5] * 3}  # before 0.9
    want = dict(depths=(3, 4, 6, 3), block="bottleneck", stem="imagenet")
    assert beside_timm.model(old).fields() == want | dict(normalization="inception")


@pytest.mark.parametrize(
    "name, arguments, sentence",
    [
        ("eva02_enormous_patch14_clip_224", {}, "none whose heads, norms and activation we know"),
        ("vit_base_patch16_plus_240", {}, "none whose heads"),
        ("vit_base_patch16_224", dict(reg_tokens=4), "those registers have positions"),
        ("vit_base_patch16_224", dict(reg_tokens=-1), "reg_tokens is -1, expected a whole"),
        ("vit_base_patch16_224", dict(scale_mlp_norm=True), "says scale_mlp_norm=True, which no"),
        ("vit_base_patch16_224", dict(norm_layer="rmsnorm"), "norm_layer is 'rmsnorm', and ours"),
        ("vit_base_patch16_224", dict(act_layer="mish"), "act_layer is 'mish', which no"),
        ("vit_base_patch16_224", dict(patch_size=[8, 16]), "patches of our encoders are squares"),
        ("swinv2_tiny_window8_256", dict(act_layer="relu"), "says act_layer='relu'"),
        ("swinv2_tiny_window8_256", dict(always_partition=True), "says always_partition=True"),
        ("resnet50", dict(stem_type="deep"), "says stem_type='deep'"),
        ("resnet50", dict(act_layer="gelu"), "says act_layer='gelu'"),
        ("resnet50", dict(norm_layer="layernorm"), "model_args.norm_layer is 'layernorm', and"),
        ("swinv2_tiny_window8_256", dict(norm_layer="layernorm"), "norm_layer is 'layernorm'"),
        ("vit_base_patch16_224", dict(in_chans=4), "model_args.in_chans is 4; images here"),
        ("vit_base_patch0_16", {}, "'vit_base_patch0_16''s patch is 0, expected a whole number"),
        ("vit_base_patch" + "9" * 5000 + "_16", {}, "none whose heads"),
        ("swinv2_tiny_window" + "9" * 5000 + "_256", {}, "none whose heads"),
        ("swinv2_tiny_window0_256", {}, "window is 0, expected a whole number"),
        ("vit_base_r50_s16_224", {}, "none whose heads"),
        ("vit_base_patch16_rope_224", {}, "none whose heads"),
        ("vit_base_patch16_rope_reg1_gap_256", {}, "none whose heads"),
        ("vit_base_patch14_reg4_dinov2", dict(no_embed_class=False), "registers have positions"),
        ("vit_base_patch14_reg1_tipsv2", {}, "none whose heads"),
        ("vit_base_patch16_rpn_224", {}, "none whose heads"),
        ("vit_base_patch16_18x2_224", {}, "none whose heads"),
        ("vit_7b_patch16_dinov3", {}, "none whose heads"),
        ("vit_base_patch16_xp_224", {}, "none whose heads"),
        ("vit_base_mci_224", {}, "none whose heads"),
        ("deit_base_distilled_patch16_224", {}, "none whose heads"),
    ],
)
def test_what_no_encoder_of_ours_is_is_refused(name, arguments, sentence):
    with pytest.raises(ConfigError, match=sentence):
        beside_timm.model({"architecture": name, "model_args": arguments})


@pytest.mark.parametrize(
    "said, sentence",
    [
        (dict(architecture=5), "config.json's architecture is 5, expected a name of timm's"),
        (dict(mean=[0.5] * 3), "config.json's pretrained_cfg.mean is there alone"),
        (dict(std=[0.5] * 3, mean=None), "config.json's pretrained_cfg.std is there alone"),
        (dict(input_size=[4, 224, 224]), "config.json's pretrained_cfg.input_size is 4; im"),
        (dict(input_size=224), "config.json's pretrained_cfg.input_size is 224, expected [3, "),
    ],
)
def test_what_the_weights_say_of_images_is_taken_or_refused(said, sentence):
    with pytest.raises(ConfigError) as error:
        beside_timm.model({"architecture": "vit_base_patch16_224", "pretrained_cfg": said} | said)
    assert str(error.value).startswith(sentence)


def test_a_norm_that_is_named_has_timms_eps():
    """Of the layer norm that timm finds by name, not of the one that the architecture has."""
    for name in ("vit_base_patch16_clip_224", "vit_base_patch16_224"):
        said = {"architecture": name, "model_args": dict(norm_layer="layernorm")}
        assert beside_timm.model(said).fields()["eps"] == 1e-6


def test_swins_windows():
    found = beside_timm.model({"architecture": "swinv2_base_window12to16_192to256"})
    assert found.encoder == "swin_v2_b"
    assert found.fields() == dict(
        heads=(4, 8, 16, 32), stride=4, shift=True, window=16, pretrained_window=(12, 12, 12, 6)
    )
