"""transformers' config.json; that the models are the same is in tests/parity/imports_test.py."""

import pytest

from m3i_jax import encoders
from m3i_jax.build import ConfigError
from m3i_jax.interop import beside_transformers
from m3i_jax.interop.statement import Stated

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


def test_a_preprocessor_that_says_no_normalisation_says_nothing():
    assert beside_transformers.preprocessor({"size": 3}, Stated()) == Stated()
    for said, match in (
        (dict(image_mean=[0.5], image_std="x"), "image_mean and image_std"),
        (dict(image_mean=[0.5], image_std=[0.0]), "deviation"),
        (dict(rescale_factor=0), "rescale_factor is 0"),
        (dict(rescale_factor=1e-300, do_normalize=False), "rescale_factor of images whose white"),
        (dict(rescale_factor=1e-300, image_mean=0.5, image_std=0.5), "rescale_factor of images"),
        (dict(image_mean=0.5, image_std=1e-30), "expected means of up to 10 and deviations of"),
    ):
        with pytest.raises(ConfigError, match=match):
            beside_transformers.preprocessor(said, Stated())
