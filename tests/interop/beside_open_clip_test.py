"""open_clip's files: CLIP's towers, and SigLIP's with timm's; the numbers are in tests/parity."""

import pytest

from m3i_jax.build import ConfigError
from m3i_jax.interop import beside_open_clip
from m3i_jax.interop.statement import Stated

SIGLIP = dict(
    vision_cfg=dict(image_size=224, timm_model_name="vit_base_patch16_siglip_224",
                    timm_model_pretrained=False, timm_pool="map", timm_proj="none"),
    text_cfg=dict(context_length=64, vocab_size=32000, hf_tokenizer_name="timm/ViT-B-16-SigLIP",
                  tokenizer_kwargs={"clean": "canonicalize"}, width=768, heads=12, layers=12,
                  no_causal_mask=True, proj_bias=True, pool_type="last",
                  norm_kwargs={"eps": 1e-6}),
)  # fmt: skip


def test_open_clip():
    tower = dict(image_size=224, layers=12, width=768, patch_size=32)
    said = dict(model_cfg=dict(embed_dim=512, vision_cfg=tower, text_cfg={}))
    found = beside_open_clip.model(said, Stated())
    want = dict(heads=12, activation="gelu", eps=1e-5, normalization="clip", patch=32)
    assert found.fields() | want == found.fields() and found.grid == (7, 7)
    said["model_cfg"]["quick_gelu"] = True
    said["preprocess_cfg"] = dict(mean=[0.5] * 3, std=[0.5] * 3)
    found = beside_open_clip.model(said, Stated()).fields()
    assert (found["activation"], found["normalization"]) == ("quick_gelu", "inception")
    said["preprocess_cfg"] = dict(std=[0.5] * 3)  # each has a default of its own
    found = beside_open_clip.model(said, Stated()).fields()["normalization"]
    assert found == ((0.48145466, 0.4578275, 0.40821073), (0.5, 0.5, 0.5))
    bare = said["model_cfg"] | dict(vision_cfg=tower | dict(no_ln_pre=True, mlp_ratio=2))
    found = beside_open_clip.model(dict(model_cfg=bare), Stated()).fields()
    assert (found["pre_norm"], found["mlp_ratio"]) == (False, 2)
    for more in (dict(timm_model_name="x"), dict(layers=[3, 4, 6, 3]), dict(attentional_pool=True)):
        with pytest.raises(ConfigError, match="vision_cfg"):
            beside_open_clip.model(dict(model_cfg=dict(vision_cfg=tower | more)), Stated())


@pytest.mark.parametrize(
    "tower, config, images, sentence",
    [
        (dict(head_width=1024), {}, {}, "vision_cfg.head_width is 1024, which does not divide the"),
        (dict(head_width=100), {}, {}, "vision_cfg.head_width is 100, which does not divide"),
        (dict(head_width="64"), {}, {}, "vision_cfg.head_width is '64', expected a whole number"),
        (dict(layers=0), {}, {}, "vision_cfg.layers is 0, expected a whole number"),
        (dict(pool_type="avg"), {}, {}, "vision_cfg.pool_type is 'avg', and ours is 'tok'"),
        (dict(pos_embed_type="sin_cos_2d"), {}, {}, "vision_cfg.pos_embed_type is 'sin_cos_2d'"),
        ({}, dict(quick_gelu="false"), {}, "model_cfg.quick_gelu is 'false', expected true or"),
        ({}, {}, dict(mode="L"), "preprocess_cfg.mode is 'L', and ours is 'RGB'"),
    ],
)
def test_what_no_tower_of_ours_is_is_refused_with_its_key(tower, config, images, sentence):
    vision = dict(image_size=224, layers=12, width=768, patch_size=32) | tower
    said = dict(model_cfg=config | dict(vision_cfg=vision), preprocess_cfg=images)
    with pytest.raises(ConfigError, match="^open_clip_config.json's ") as error:
        beside_open_clip.model(said, Stated())
    assert sentence in str(error.value)


def test_siglips_towers():
    half = dict(mean=[0.5] * 3, std=[0.5] * 3, resize_mode="squash")
    found = beside_open_clip.model(dict(model_cfg=SIGLIP, preprocess_cfg=half), Stated())
    assert "resized (squash)" in found.notes[0]
    want = dict(heads=12, activation="gelu", eps=1e-6, patch=16, normalization="inception")
    assert found.fields() == want | dict(image=(224, 224)) and found.grid == (14, 14)
    text = {field: fact.value for field, fact in found.text.items()}
    assert text == dict(heads=12, eps=1e-6, activation="gelu")
    # SigLIP 2's texts, and its largest images.
    wide = SIGLIP["vision_cfg"] | dict(timm_model_name="vit_giantopt_patch16_siglip_256")
    tanh = SIGLIP["text_cfg"] | dict(act_kwargs={"approximate": "tanh"})
    found = beside_open_clip.model(dict(model_cfg=dict(vision_cfg=wide, text_cfg=tanh)), Stated())
    assert found.fields()["heads"] == 16 and found.fields()["activation"] == "gelu_tanh"
    assert found.text["activation"].value == "gelu_tanh"


@pytest.mark.parametrize(
    "part, change, sentence",
    [
        ("vision_cfg", dict(timm_pool="avg"), "vision_cfg.timm_pool is 'avg', and ours is 'map'"),
        ("vision_cfg", dict(timm_proj="linear"), "timm_proj is 'linear', and ours is 'none'"),
        ("vision_cfg", dict(timm_model_name="convnext_base"), "'convnext_base' is none whose"),
        ("vision_cfg", dict(timm_model_name="resnet50"), "no Vision Transformer"),
        ("vision_cfg", dict(timm_model_name=3), "timm_model_name is 3, expected a name"),
        ("text_cfg", dict(no_causal_mask=False), "no_causal_mask is False, and ours is True"),
        ("text_cfg", dict(hf_model_name="roberta-base"), "hf_model_name"),
        ("text_cfg", dict(act_kwargs=dict(approximate="x")), "approximate is 'x', expected 'tanh'"),
    ],
)
def test_other_towers_of_siglips_form_are_refused_by_name(part, change, sentence):
    config = SIGLIP | {part: SIGLIP[part] | change}
    with pytest.raises(ConfigError) as error:
        beside_open_clip.model(dict(model_cfg=config), Stated())
    assert sentence in str(error.value) and "open_clip_config.json's " in str(error.value)
