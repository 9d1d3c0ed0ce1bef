"""The keys of the published ViTs: names and shapes as their own programs have them."""

import jax
import numpy as np
import pytest

from m3i_jax import geometry, networks, trees
from m3i_jax.build import ConfigError
from m3i_jax.interop import beside, conversion, importing, layouts, vit
from m3i_jax.interop.rename import nested, sort, to_ours, to_theirs

VIT_SIZES = dict(image=16, patch=4, width=16, depth=2, heads=2)
VIT = dict(name="vit_nano", **VIT_SIZES)
BLOCK = {
    "norm1.weight": (16,), "norm1.bias": (16,), "attn.qkv.weight": (48, 16),
    "attn.proj.weight": (16, 16), "attn.proj.bias": (16,), "norm2.weight": (16,),
    "norm2.bias": (16,), "mlp.fc1.weight": (64, 16), "mlp.fc1.bias": (64,),
    "mlp.fc2.weight": (16, 64), "mlp.fc2.bias": (16,),
}  # fmt: skip
PLAIN = BLOCK | {"attn.qkv.bias": (48,)}
STEM = {
    "cls_token": (1, 1, 16), "patch_embed.proj.weight": (16, 3, 4, 4),
    "patch_embed.proj.bias": (16,),
}  # fmt: skip
POSITIONS = {"pos_embed": (1, 17, 16)}
NORM = {"norm.weight": (16,), "norm.bias": (16,)}


def stacked(prefix, block, depth=2):
    return {f"{prefix}.{i}.{name}": shape for i in range(depth) for name, shape in block.items()}


def linear(name, out, into):
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def network(filled, decoders, out, **encoder):
    """Random parameters of an encoder with decoders, by path."""
    net = networks.build(VIT | encoder, {}, decoders, image=16, dtype="float32", out=out)
    return filled("", jax.eval_shape(net.init, jax.random.key(0)))


def state_of(layout, params):
    state, unknown = to_theirs(params, layout)
    assert not unknown, unknown
    return state


def shapes(state):
    return {name: x.shape for name, x in state.items()}


def test_timm(drawn):
    _, params = drawn(positions="learned", hide="mask")
    want = STEM | POSITIONS | NORM | stacked("blocks", PLAIN)
    state = state_of(vit.TIMM, params)
    assert shapes(state) == want  # without the mask token, for which timm has no place
    kernel = params["encoders/image/blocks/mlp/fc1/kernel"]
    np.testing.assert_array_equal(state["blocks.1.mlp.fc1.weight"], kernel[1].T)


def test_mae_with_its_decoder(filled):
    decoder = {"image": dict(name="infill", width=12, depth=1, heads=2)}
    params = network(filled, decoder, {"image": 48}, positions="learned")
    own = {name: tuple({16: 12, 48: 36, 64: 48}[n] for n in shape) for name, shape in PLAIN.items()}
    want = STEM | POSITIONS | NORM | stacked("blocks", PLAIN) | {"mask_token": (1, 1, 12)}
    want |= linear("decoder_embed", 12, 16) | stacked("decoder_blocks", own, 1)
    want |= {"decoder_norm.weight": (12,), "decoder_norm.bias": (12,)}
    want |= linear("decoder_pred", 48, 12)
    state = state_of(vit.MAE, params)
    assert shapes(state) == want
    places = sort([*state, "decoder_pos_embed"], vit.MAE)
    assert not places.unknown and "decoders/image/pos_embed" in places.leaves


def test_siamese_im_with_its_heads_and_its_target(filled):
    width = dict(width=16, depth=1, heads=2, norm="batch")
    decoders = {
        "projector": dict(name="projector", **width),
        "image": dict(name="query", embed=False, class_token=True, input="projector", **width),
    }
    params = network(filled, decoders, {"image": 16}, final_norm=False)
    # Their target has copies of encoder and projector.
    params |= {
        f"ema/{path}": -x
        for path, x in params.items()
        if path.startswith(("encoders/image", "decoders/projector"))
    }
    state = state_of(vit.SIAMESE_IM, params)
    bn = {name.replace("norm1.", "norm1.bn.").replace("norm2.", "norm2.bn."): shape
          for name, shape in PLAIN.items()}  # fmt: skip
    both = STEM | stacked("blocks", PLAIN) | linear("decoder_embed", 16, 16)
    both |= stacked("projector_decoder_blocks", bn, 1)
    want = both | {"mm_" + name: shape for name, shape in both.items()}
    want |= stacked("predictor_decoder_blocks", bn, 1) | {"mask_token": (1, 1, 16)}
    want |= linear("decoder_pos_mlp", 16, 32) | linear("decoder_pred", 16, 16)
    assert shapes(state) == want
    drops = [
        "decoder_pos_embed",
        "mm_mask_token",
        "projector_decoder_blocks.0.norm1.bn.running_var",
    ]
    places = sort([*state, *drops, "pos_embed"], vit.SIAMESE_IM)
    assert not places.unknown and places.dropped == tuple(drops)
    found = to_ours(state, sort(state, vit.SIAMESE_IM))
    np.testing.assert_array_equal(
        found["ema/encoders/image/cls_token"], -found["encoders/image/cls_token"]
    )


@pytest.mark.parametrize("shared", [True, False])
def test_beit_and_its_words(filled, shared):
    kind = "shared" if shared else "layer"
    encoder = dict(positions="none", relative_bias=kind, qkv_bias="qv", layer_scale=0.1)
    decoder = {"words": dict(name="linear")}
    params = network(filled, decoder, {"words": 9}, hide="mask", **encoder)
    block = BLOCK | dict.fromkeys(("attn.q_bias", "attn.v_bias", "gamma_1", "gamma_2"), (16,))
    table = {"relative_position_bias_table": (52, 2)}
    block |= {} if shared else {f"attn.{k}": shape for k, shape in table.items()}
    want = STEM | NORM | stacked("blocks", block) | linear("lm_head", 9, 16)
    want |= {f"rel_pos_bias.{k}": shape for k, shape in table.items()} if shared else {}
    state = state_of(vit.BEIT, params)
    assert shapes(state) == want  # the mask token is read, and not written
    there = [*want, "mask_token", "rel_pos_bias.relative_position_index", "fc_norm.weight"]
    places = sort(there, vit.BEIT)
    assert not places.unknown and "encoders/image/mask_token" in places.leaves


def test_simmim_and_its_pixels(filled):
    encoder = dict(positions="none", relative_bias="shared", qkv_bias="qv", hide="mask")
    params = network(filled, {"pixels": dict(name="linear")}, {"pixels": 48}, **encoder)
    state = state_of(vit.SIMMIM, params)
    assert state["decoder.0.weight"].shape == (48, 16, 1, 1)
    assert {n.split(".")[0] for n in state} == {"encoder", "decoder"}
    assert state["encoder.mask_token"].shape == (1, 1, 16)


def test_a_class_branch_of_beit_v2(filled):
    encoder = dict(relative_bias="shared", positions="none", qkv_bias="qv", layer_scale=0.1)
    branch = dict(name="class_branch", layer=1, depth=1, heads=2, qkv_bias="qv", layer_scale=0.1)
    decoders = {"words": dict(name="linear", norm_in=True), "class_branch": branch}
    params = network(filled, decoders, {"words": 9}, final_norm=False, hide="mask", **encoder)
    state = state_of(vit.BEIT_V2, params)
    assert "cls_pt_layers.0.attn.q_bias" in state and state["norm.weight"].shape == (16,)
    assert trees.count(list(state.values())) == trees.count(list(params.values()))


def test_dinov2_keeps_its_token_in_a_row(drawn):
    _, params = drawn(positions="learned", layer_scale=1.0, hide="mask")
    state = state_of(vit.DINOV2, params)
    assert state["mask_token"].shape == (1, 16)
    assert state["blocks.0.ls1.gamma"].shape == (16,)


def test_dinov2_g_packs_gate_and_value_and_so_does_timm(drawn):
    """(16, 24) of hidden layers of 24 / 2; a plain layer of timm's of these widths is another."""
    more = dict(positions="learned", layer_scale=1.0, gated=True, mlp_ratio=0.75, registers=2)
    _, params = drawn(**more)
    state = state_of(vit.DINOV2, params)
    assert state["blocks.1.mlp.w12.weight"].shape == (24, 16)
    assert state["blocks.1.mlp.w3.weight"].shape == (16, 12)
    assert state["register_tokens"].shape == (1, 2, 16)
    theirs = state_of(vit.TIMM, params)
    assert theirs["blocks.1.mlp.fc1.weight"].shape == (24, 16) and "reg_token" in theirs
    for names in (state, theirs):
        found = importing.renamed(names, what="it").params
        assert found.keys() == params.keys()
        for path, x in params.items():
            np.testing.assert_array_equal(found[path].reshape(x.shape), x, err_msg=path)


def filled_state(shapes, seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def saved(file, **parts):
    """As trainers save: several parts, each behind the prefix of a wrapper."""
    torch = pytest.importorskip("torch")
    whole = {
        part: {f"module.{name}": torch.from_numpy(x.copy()) for name, x in state.items()}
        for part, state in parts.items()
    }
    torch.save(whole | {"epoch": 3}, file)
    return file


def as_theirs(found, names):
    """What of their values an encoder has got, in their shapes."""
    params = {path: x for path, x in found.items() if path.startswith("encoders/image/")}
    return state_of(vit.IBOT._replace(prefixes=names), params)


def test_ibot_teacher_and_student(tmp_path):
    """A teacher has DINO's names; a student the token of masks as well; either has a head."""
    own = STEM | POSITIONS | NORM | stacked("blocks", PLAIN)
    own |= {f"blocks.{i}.gamma_{k}": (16,) for i in range(2) for k in (1, 2)}
    heads = {
        "head.mlp.0.weight": (8, 16), "head.last_layer.weight_g": (9, 1),
        "head.last_layer2.weight_v": (9, 8), "head.last_norm2.center": (1, 9),
    }  # fmt: skip
    teacher = filled_state({f"backbone.{name}": shape for name, shape in own.items()} | heads)
    student = {name: -x for name, x in teacher.items()}
    student |= filled_state({"backbone.masked_embed": (1, 16)})
    file = saved(tmp_path / "checkpoint.pth", student=student, teacher=teacher)
    for part, state in dict(student=student, teacher=teacher).items():
        imported = conversion.read(file, torch=True, part=part)
        assert imported.layout is vit.IBOT and set(imported.dropped) == set(heads)
        block = conversion.block(imported, "vit_nano", VIT_SIZES)
        assert block["positions"] == "learned" and block["layer_scale"] == 1.0
        block |= dict(hide="mask" if part == "student" else "drop")
        found, report = conversion.encoder(imported, block)
        assert not report.missing and not report.extra
        mine = as_theirs(found, ("backbone.",))
        assert mine.keys() == state.keys() - heads.keys()
        for name, x in mine.items():
            np.testing.assert_array_equal(x, state[name], err_msg=name)
    with pytest.raises(ConfigError, match=r"several parts; name one.*student.*teacher"):
        conversion.read(file, torch=True)
    swin = filled_state({"backbone.layers.0.blocks.0.attn.relative_position_bias_table": (9, 2)})
    saved(file, teacher=teacher | swin)
    with pytest.raises(ConfigError, match="'ibot' does not know .*relative_position_bias_table"):
        conversion.read(file, torch=True, part="teacher")


def test_i_jepa_by_either_kind_of_positions(tmp_path, key):
    """Its table codes columns first: kept, or ours with the halves of the stream swapped."""
    names = {name: x for name, x in STEM.items() if name != "cls_token"}
    names |= {"pos_embed": (1, 16, 16)} | NORM | stacked("blocks", PLAIN)
    state = filled_state(names)
    state["pos_embed"] = np.roll(np.asarray(geometry.sincos((4, 4), 16)), 8, -1)[None]
    other = {name: x + 1 for name, x in state.items()}
    parts = dict(encoder=other, target_encoder=state)
    file, tokens = saved(tmp_path / "jepa-latest.pth.tar", **parts), {}
    for positions, layout in (("sincos", "ijepa"), ("learned", "auto")):
        imported = conversion.read(file, torch=True, part="target_encoder", layout=layout)
        block = conversion.block(imported, "vit_nano", VIT_SIZES)
        assert block["positions"] == positions and not block["class_token"]
        found, report = conversion.encoder(imported, block)
        assert not report.missing and not report.extra
        module = beside.create(block)
        images = jax.random.normal(key, (1, 16, 16, 3))
        params = nested(found)["encoders"]["image"]
        tokens[positions] = module.apply({"params": params}, images).tokens
    mine = as_theirs(found, ("",))
    assert mine.keys() == state.keys()
    for name, x in mine.items():
        np.testing.assert_array_equal(x, state[name], err_msg=name)
    swapped = np.roll(tokens["sincos"], 8, -1)
    np.testing.assert_allclose(swapped, tokens["learned"], rtol=1e-5, atol=1e-5)
    saved(file, encoder=state | filled_state({"cls_token": (1, 1, 16)}))
    with pytest.raises(ConfigError, match="without a place in layout 'ijepa': cls_token"):
        conversion.read(file, torch=True, part="encoder", layout="ijepa")


def test_prefixes_of_programs(drawn):
    _, params = drawn(positions="learned")
    state = state_of(vit.TIMM, params)
    for prefix in ("backbone.", "encoder."):
        there = [prefix + name for name in state] + ["head.mlp.0.weight"]
        assert sort(there, vit.TIMM).dropped == ("head.mlp.0.weight",)


def test_a_token_of_distillation_is_refused_as_the_others_attend_to_it():
    shapes = {**STEM, "pos_embed": (1, 18, 16), **stacked("blocks", PLAIN), **NORM}
    state = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    layouts.recognise(state, what="it")
    with pytest.raises(ConfigError, match="dist_token"):
        layouts.recognise(state | {"dist_token": np.zeros((1, 1, 16))}, what="it")
