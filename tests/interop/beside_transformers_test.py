"""transformers' config.json; that the models are the same is in tests/parity/imports_test.py."""

import pytest

from m3i_jax import encoders
from m3i_jax.build import ConfigError
from m3i_jax.interop import beside_transformers

LEGACY = dict(
    _name_or_path="x", architectures=["ViTModel"], torch_dtype="float32", id2label={"0": "a"},
    return_dict=True, output_past=True, use_cache=True, tie_word_embeddings=True, top_k=50,
    top_p=1.0, temperature=1.0, max_length=20, num_beams=1, length_penalty=1.0, bos_token_id=0,
    repetition_penalty=1.0, pruned_heads={}, attention_probs_dropout_prob=0.1,
)  # fmt: skip


def test_what_a_file_leaves_out_is_what_the_class_has():
    """Of each type: the defaults of transformers, which the file need not have."""
    found = beside_transformers.model({"model_type": "vit"}).fields()
    assert (found["eps"], found["heads"], found["activation"]) == (1e-12, 12, "gelu")
    clip = beside_transformers.model({"model_type": "clip", "vision_config": {}})
    assert clip.fields()["activation"] == "quick_gelu" and clip.grid == (7, 7)
    assert clip.text["heads"].value == 8 and clip.text["eps"].value == 1e-5
    exact = dict(vision_config={"hidden_act": "gelu"}, text_config={"hidden_act": "relu"})
    clip = beside_transformers.model({"model_type": "clip", **exact})
    assert clip.fields()["activation"] == "gelu" and clip.text["activation"].value == "relu"


@pytest.mark.parametrize("kind", beside_transformers.FAMILIES)
def test_every_type_is_an_encoder_of_ours(kind):
    stated = beside_transformers.model({"model_type": kind})
    fields = {f: x for f, x in stated.fields().items() if encoders.accepts(stated.encoder, f)}
    if "image" not in fields or kind == "swinv2":
        fields["image"] = 224
    encoders.create(stated.encoder, **fields)
    assert fields.keys() >= stated.fields().keys() - {"image"}


@pytest.mark.parametrize("kind", [*beside_transformers.FAMILIES, "clip"])
def test_what_old_versions_wrote_beside_changes_nothing(kind):
    bare = beside_transformers.model({"model_type": kind})
    assert beside_transformers.model({"model_type": kind, **LEGACY}) == bare


def test_maes_decoder_has_heads_of_its_own():
    found = beside_transformers.model({"model_type": "vit_mae", "decoder_num_attention_heads": 8})
    assert found.decoders == {"image": {"heads": 8}}


def test_others_are_not_of_transformers():
    assert beside_transformers.model({}) is None
    assert beside_transformers.model({"model_type": "vit", "architecture": "vit_base"}) is None


def test_beits_biases():
    kinds = {"layer": "use_relative_position_bias", "shared": "use_shared_relative_position_bias"}
    for ours, key in kinds.items():
        found = beside_transformers.model({"model_type": "beit", key: True})
        assert found.fields()["relative_bias"] == ours
    assert beside_transformers.model({"model_type": "beit"}).fields()["relative_bias"] == "none"


@pytest.mark.parametrize(
    "said, sentence",
    [
        (dict(model_type=5), "config.json's model_type is 5, expected a name of transformers'"),
        (dict(architectures=["Foo"]), "config.json's architectures is ['Foo'] and model_type is"),
        (dict(architectures="ViTModel"), "config.json's architectures is 'ViTModel' and model_t"),
        (dict(architectures=["ViTModel", "BeitModel"]), "config.json's architectures is ['ViTM"),
        (dict(model_type="vit", num_channels=2), "config.json's num_channels is 2; images here"),
        (dict(model_type="beit", num_channels=4), "config.json's num_channels is 4; images he"),
        (dict(model_type="swinv2", num_channels=True), "config.json's num_channels is True;"),
        (dict(model_type="resnet", num_channels=None), "config.json's num_channels is None;"),
        (dict(model_type="flava_image_codebook", input_channels=2), "config.json's input_channels"),
        (dict(model_type="vit", mlp_ratio=2), "config.json's mlp_ratio is 2, but its model takes "
         "intermediate_size, which makes 3072 of 768"),
        (dict(model_type="dinov2", intermediate_size=9), "config.json's intermediate_size is 9"),
        (dict(model_type="vit", qkv_bias=None), "config.json's qkv_bias is None, expected true"),
        (dict(model_type="vit", qkv_bias=0), "config.json's qkv_bias is 0, expected true or f"),
        (dict(model_type="dinov2", qkv_bias="false"), "config.json's qkv_bias is 'false', exp"),
        (dict(model_type="beit", use_relative_position_bias="false"), "config.json's use_relat"),
        (dict(model_type="beit", use_mean_pooling=0), "config.json's use_mean_pooling is 0, exp"),
        (dict(model_type="beit", use_absolute_position_embeddings=1), "config.json's use_absolu"),
        (dict(model_type="beit", layer_scale_init_value=-1), "config.json's layer_scale_init_va"),
        (dict(model_type="resnet", layer_type="deep"), "config.json's layer_type is 'deep', and"),
        (dict(model_type="clip", rotary=True), "config.json says rotary=True, which no encoder"),
        (dict(model_type="clip", text_config=dict(rope_theta=9)), "config.json's text_config says"),
        (dict(model_type="clip", vision_config=3), "config.json's vision_config is 3, expected"),
        (dict(model_type="clip", vision_config=dict(num_channels=4)),
         "config.json's vision_config.num_channels is 4; images"),
        (dict(model_type="vit", layer_norm_eps=float("nan")), "config.json's layer_norm_eps is n"),
    ],
)  # fmt: skip
def test_what_is_no_encoder_of_ours_is_refused_with_its_key(said, sentence):
    with pytest.raises(ConfigError) as error:
        beside_transformers.model(said)
    assert str(error.value).startswith(sentence)


def test_a_class_alone_says_its_type():
    for name, kind in (
        ("ViTModel", "vit"),
        ("ViTForImageClassification", "vit"),
        ("ViTMAEForPreTraining", "vit_mae"),
        ("CLIPVisionModelWithProjection", "clip_vision_model"),
        ("CLIPModel", "clip"),
        ("Dinov2Backbone", "dinov2"),
        ("BeitForMaskedImageModeling", "beit"),
        ("Data2VecVisionModel", "data2vec-vision"),
        ("FlavaImageCodebook", "flava_image_codebook"),
    ):
        found = beside_transformers.model({"architectures": [name]})
        assert found == beside_transformers.model({"model_type": kind}), name
    assert beside_transformers.model({"architectures": None}) is None


def test_hidden_layers_are_as_wide_as_their_class_makes_them():
    found = lambda **said: beside_transformers.model(said).fields()["mlp_ratio"]  # noqa: E731
    assert found(model_type="vit", hidden_size=384) == 8  # 3072 unless it is said
    assert found(model_type="vit", hidden_size=32, intermediate_size=48) == 1.5
    assert found(model_type="vit", mlp_ratio=4.0) == 4  # of no use there, and right
    assert found(model_type="dinov2", hidden_size=32, mlp_ratio=2, intermediate_size=64) == 2


def test_what_old_clips_say_in_a_dict_of_its_own_counts():
    said = dict(model_type="clip", vision_config=dict(hidden_act="gelu"),
                vision_config_dict=dict(hidden_act="relu"), text_config_dict=None)  # fmt: skip
    assert beside_transformers.model(said).fields()["activation"] == "relu"


@pytest.mark.parametrize("kind", ["siglip3", "sigclip", "vits", "x" * 1000])
def test_a_model_type_that_is_none_of_ours_is_no_slip_of_one(kind):
    with pytest.raises(ConfigError, match="no layout of ours reads; there are: ") as error:
        beside_transformers.model({"model_type": kind})
    assert len(str(error.value)) < 450
