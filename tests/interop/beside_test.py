"""What lies beside weights against the encoder that gets them: agreed, refused, or a guess said."""

import json

import numpy as np
import pytest

from m3i_jax import encoders
from m3i_jax.build import ConfigError
from m3i_jax.interop import beside, files
from m3i_jax.interop.statement import Fact, Stated

BLOCK = dict(name="vit_nano", image=32, patch=8, width=32, depth=2, heads=4)
SWIN = dict(name="swin_v2_t", image=64, width=16, depths=(2, 2), heads=(2, 4), window=4)
VIT = dict(model_type="vit", hidden_size=32, num_hidden_layers=2, num_attention_heads=8,
           image_size=[32, 64], patch_size=8, layer_norm_eps=1e-5, hidden_act="relu")  # fmt: skip
TAKEN = dict(image=(32, 64), heads=8, eps=1e-5, activation="relu", positions="learned")


def folder(path, **content):
    """Files beside weights, by name without .json."""
    (path / files.WEIGHTS).write_bytes(b"")
    for name, said in content.items():
        (path / f"{name}.json").write_text(json.dumps(said))
    return path


def said(**facts):
    return Stated(image={field: Fact(x, "it's " + field) for field, x in facts.items()})


def test_nothing_beside_says_nothing(tmp_path):
    assert beside.read(folder(tmp_path)) == Stated()
    assert beside.read(folder(tmp_path, config={"learning_rate": 3})) == Stated()


def test_transformers_and_its_preprocessor(tmp_path):
    images = dict(image_mean=[0.5] * 3, image_std=[0.5] * 3, do_resize=True, resample=2, size=3)
    found = beside.read(folder(tmp_path, config=VIT, preprocessor_config=images))
    fields = found.fields()
    assert {**fields, **TAKEN, "normalization": "inception"} == fields
    assert found.grid == (4, 8) and found.encoder == "vit_b16"
    assert found.image["activation"].where == "config.json's hidden_act"
    assert found.notes == ("preprocessor_config.json: images were resized (bilinear) to 3",)
    (tmp_path / files.PREPROCESSOR).unlink()
    nested = folder(tmp_path, processor_config={"image_processor": images})
    assert beside.read(nested).fields()["normalization"] == "inception"


def test_our_own_files_say_everything(tmp_path):
    block = BLOCK | dict(activation="silu", normalization=[[0.1] * 3, [0.5] * 3])
    found = beside.read(folder(tmp_path, config={"m3i_jax": {"encoder": block}}))
    assert found.block == block and found.grid == (4, 4)
    assert found.fields() | dict(heads=4, activation="silu", eps=1e-6) == found.fields()
    assert beside.agree(found, block, what="it") == []
    with pytest.raises(
        ConfigError, match="activation is 'gelu', and 'silu' in config.json's m3i_jax"
    ):
        beside.agree(found, block | dict(activation="gelu"), what="it")


@pytest.mark.parametrize("own", [5, {}, {"encoder": None}, {"encoder": {"name": "vit_nan"}}])
def test_a_block_of_ours_that_is_none_is_refused(own, tmp_path):
    with pytest.raises(ConfigError, match="config.json's m3i_jax is|vit_nan"):
        beside.read(folder(tmp_path, config={"m3i_jax": own} | VIT))


def test_what_an_export_notes_of_its_branch_is_said_again(tmp_path):
    own = {"encoder": BLOCK}
    assert "hardly moved" not in beside.read(folder(tmp_path, config={"m3i_jax": own})).notes
    noted = folder(tmp_path, config={"m3i_jax": own | {"note": "hardly moved"}})
    assert beside.read(noted).notes[-1] == "hardly moved"


@pytest.mark.parametrize(
    "field, theirs, ours",
    [
        ("heads", 8, 4),
        ("activation", "relu", "gelu"),
        ("eps", 1e-12, 1e-6),
        ("normalization", ((0.1,) * 3, (0.2,) * 3), "imagenet"),
        ("positions", "none", "sincos"),
    ],
)
def test_another_encoder_is_refused_and_the_key_is_named(field, theirs, ours):
    stated = said(**{field: theirs})
    with pytest.raises(ConfigError) as error:
        beside.agree(stated, BLOCK, what="'f'")
    told = f"'f' is of another encoder: {field} is {ours!r}, and {theirs!r} in it's {field}. Set"
    assert str(error.value).startswith(told)
    assert str(error.value).endswith(f"(ignore '^({field})$')")
    beside.agree(stated, BLOCK | {field: theirs}, what="it")
    overruled = beside.agree(stated, BLOCK, chosen=lambda f: f == field, what="it")
    assert overruled[0] == f"{field} is {ours!r}, and {theirs!r} in it's {field}"


def test_tables_that_are_parameters_are_no_difference():
    """What is learned is in the file; what is tuned starts as the fixed table."""
    for theirs, ours in (("sincos", "tuned"), ("sincos", "learned"), ("tuned", "sincos")):
        beside.agree(said(positions=theirs), BLOCK | dict(positions=ours), what="it")
    with pytest.raises(ConfigError, match="positions is 'sincos', and 'none' in"):
        beside.agree(said(positions="none"), BLOCK | dict(positions="tuned"), what="it")


def test_numbers_and_names_that_mean_the_same_agree():
    near = ((0.485, 0.456, 0.4060000003), (0.229, 0.224, 0.225))
    known = said(eps=1.0000000001e-6, normalization=near, heads=4, activation="gelu")
    assert beside.agree(known, BLOCK, what="it") == []
    swin = said(heads=[2, 4], normalization="imagenet")
    assert beside.agree(swin, SWIN, what="it") == []


def test_what_nobody_says_is_said_to_be_a_guess():
    (line,) = beside.agree(Stated(), BLOCK, what="'f'")
    assert line == (
        "nothing beside 'f' says heads=4, activation='gelu', eps=1e-06, "
        "normalization='imagenet': a guess, set them if it is wrong"
    )
    wide = dict(name="vit_s16")
    (line,) = beside.agree(said(eps=1e-6, activation="gelu"), wide, what="'f'")
    assert "says heads=6, normalization='imagenet': a guess" in line
    assert "with 12 (MoCo v3's ViT-S has 12)" in line
    (line,) = beside.agree(Stated(), dict(name="resnet50"), what="'f'")
    assert "says normalization='imagenet': a guess" in line


def test_windows_in_which_a_bias_was_learned_are_compared(tmp_path):
    config = dict(model_type="swinv2", image_size=64, embed_dim=16, depths=[2, 2],
                  num_heads=[2, 4], window_size=8, pretrained_window_sizes=[0, 0])  # fmt: skip
    found = beside.read(folder(tmp_path, config=config))
    assert found.windows == ((8, 8), (8, 8))
    with pytest.raises(ConfigError, match=r"pretrained_window is \(4, 4\), and the file's is \(8"):
        beside.agree(found, SWIN, what="it")
    beside.agree(found, SWIN | dict(pretrained_window=(8, 8)), what="it")
    beside.agree(found, SWIN | dict(window=8), what="it")


def test_parameters_show_what_an_encoder_is():
    assert beside.shown({"norm/scale": 0}) == {}
    swin = dict.fromkeys(["stages_0/blocks/attn/logit_scale", "norm/scale"])
    assert beside.shown(swin) == dict(final_norm=True, hide="")
    paths = dict.fromkeys(
        [
            "blocks/attn/qkv/kernel", "blocks/attn/q_bias", "norm_pre/scale", "blocks/norm1/scale",
            "blocks/attn/q_norm/scale", "blocks/attn/q_norm/bias", "blocks/mlp/norm/scale",
        ]
    )  # fmt: skip
    assert beside.shown(paths | {"reg_token": np.zeros((1, 3, 8))})["registers"] == 3
    assert beside.shown(paths) == dict(
        registers=0, gated=False,
        class_token=False, patch_bias=False, pre_norm=True, final_norm=False, layer_scale=None,
        qkv_bias="qv", relative_bias="none", norm="rms", qk_norm="layer", inner_norm="mlp",
        block_bias=False, patch_norm=False,
    )  # fmt: skip


def test_a_gated_mlp_is_swiglu():
    packed = np.zeros((1, 8, 24))
    paths = {"blocks/mlp/w12/kernel": packed, "blocks/attn/qkv/kernel": np.zeros((1, 8, 24))}
    assert beside.shown(paths)["gated"]
    stated = beside.by_names("", {f"encoders/image/{path}": x for path, x in paths.items()})
    assert stated.fields() == dict(activation="silu")
    with pytest.raises(ConfigError, match="activation is 'gelu', and 'silu' in the weights, whose"):
        beside.agree(stated, dict(name="vit_s16", gated=True), what="it")


def test_names_of_moco_v3_let_guess_its_heads():
    """Of the ViT-S alone, whose width others have with 6 heads; a file beside is over it."""
    token = {"encoders/image/cls_token": np.zeros((1, 1, 384))}
    guess = beside.by_names("base_encoder.", token)
    assert guess.fields() == dict(heads=12) and "is a guess" in guess.notes[0]
    assert beside.by_names("", token) == Stated()
    wide = {"encoders/image/cls_token": np.zeros((1, 1, 768))}
    assert beside.by_names("base_encoder.", wide) == Stated()
    with pytest.raises(ConfigError, match="heads is 6, and 12 in MoCo v3's ViT-S, which its names"):
        beside.agree(guess, dict(name="vit_s16"), what="it")


def test_decoders_of_other_heads_are_refused():
    beside.decoder(dict(heads=4, width=8), dict(name="infill", heads=4), what="it")
    beside.decoder(dict(heads=4), dict(name="infill"), what="it")
    with pytest.raises(ConfigError, match="it is another one: heads is 8, and 4 there"):
        beside.decoder(dict(heads=4), dict(name="infill", heads=8), what="it")


def test_texts_are_held_against_texts():
    stated = Stated(text={"heads": Fact(2, "it"), "eps": Fact(1e-5, "it")})
    text = dict(name="clip_text", width=32, heads=4)
    assert not beside.takes_images(text) and beside.takes_images(BLOCK)
    with pytest.raises(ConfigError, match="heads is 4, and 2 in it"):
        beside.agree(stated, text, what="it")


def test_lists_of_json_make_an_encoder_that_is_hashed():
    module = encoders.create("vit_nano", image=[32, 64], normalization=[[0.1] * 3, [0.5] * 3])
    assert hash(module) and module.grid == (8, 16)


FILES = {
    "vit": dict(config=VIT),
    "clip": dict(config=dict(model_type="clip", vision_config={"hidden_size": 32}, text_config={})),
    "swin": dict(config=dict(model_type="swinv2", image_size=64, embed_dim=16, depths=[2, 2],
                 num_heads=[2, 4], window_size=8, pretrained_window_sizes=[0, 0])),
    "ours": dict(config={"m3i_jax": {"encoder": dict(BLOCK)}}),
    "timm": dict(config=dict(architecture="swinv2_tiny_window8_256", model_args=dict(
        img_size=64, depths=[2, 2], num_heads=[2, 4], window_size=4), pretrained_cfg=dict(
        mean=[0.5] * 3, std=[0.5] * 3, input_size=[3, 64, 64], interpolation="bicubic"))),
    "open_clip": dict(open_clip_config=dict(model_cfg=dict(vision_cfg=dict(image_size=224,
                      layers=12, width=768, patch_size=32)), preprocess_cfg=dict(mean=[0.5] * 3))),
    "images": dict(preprocessor_config=dict(image_mean=[0.5] * 3, image_std=[0.5] * 3, size=3,
                   do_resize=True, resample=2, do_rescale=True, rescale_factor=1 / 255)),
}  # fmt: skip
JUNK = [None, True, -1, 0, 1e30, 10**12, "x", "", [], [1, 2, 3], [[1]], {}, {"a": []}, [None, "x"]]


def changed(said, rng):
    """A JSON object with one value of it, at any depth, another."""
    said = json.loads(json.dumps(said))
    node, key = {"": said}, ""
    while isinstance(node[key], dict) and node[key] and (node[key] is said or rng.random() < 0.7):
        node = node[key]
        key = rng.choice(sorted(node))
    node[key] = JUNK[rng.integers(len(JUNK))]
    return said


@pytest.mark.parametrize("name", FILES)
def test_whatever_a_file_says_it_is_read_or_refused(name, tmp_path):
    rng, refused = np.random.default_rng(0), 0
    for _ in range(120):
        try:
            beside.read(folder(tmp_path, **{k: changed(x, rng) for k, x in FILES[name].items()}))
        except ConfigError:
            refused += 1
    assert 10 < refused < 120
