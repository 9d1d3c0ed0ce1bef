"""The keys of CLIP as OpenAI and open_clip write them, and as transformers does."""

import jax
import numpy as np

from m3i_jax import networks
from m3i_jax.interop import clip, layouts
from m3i_jax.interop.rename import sort, to_ours, to_theirs

IMAGE = dict(
    name="vit_nano", image=16, patch=4, width=16, depth=1, heads=2,
    positions="learned", patch_bias=False, pre_norm=True,
)  # fmt: skip
TEXT = dict(name="clip_text", width=8, depth=1, heads=2, vocabulary=9, length=5, projection=6)
HEAD = dict(name="linear", pool="class", bias=False, logit_scale=True)


def block(prefix, d):
    names = {
        "ln_1.weight": (d,), "ln_1.bias": (d,), "attn.in_proj_weight": (3 * d, d),
        "attn.in_proj_bias": (3 * d,), "attn.out_proj.weight": (d, d), "attn.out_proj.bias": (d,),
        "ln_2.weight": (d,), "ln_2.bias": (d,), "mlp.c_fc.weight": (4 * d, d),
        "mlp.c_fc.bias": (4 * d,), "mlp.c_proj.weight": (d, 4 * d), "mlp.c_proj.bias": (d,),
    }  # fmt: skip
    return {f"{prefix}resblocks.0.{name}": shape for name, shape in names.items()}


def both_towers(filled):
    net = networks.build(
        IMAGE, {"text": TEXT}, {"text": HEAD}, image=16, dtype="float32", out={"text": 6}
    )
    return filled("", jax.eval_shape(net.init, jax.random.key(0)))


OPENAI = {
    "visual.class_embedding": (16,), "visual.positional_embedding": (17, 16),
    "visual.conv1.weight": (16, 3, 4, 4), "visual.ln_pre.weight": (16,),
    "visual.ln_pre.bias": (16,), **block("visual.transformer.", 16),
    "visual.ln_post.weight": (16,), "visual.ln_post.bias": (16,), "visual.proj": (16, 6),
    "token_embedding.weight": (9, 8), "positional_embedding": (5, 8), **block("transformer.", 8),
    "ln_final.weight": (8,), "ln_final.bias": (8,), "text_projection": (8, 6), "logit_scale": (),
}  # fmt: skip


def test_openai_and_open_clip(filled, same):
    params = both_towers(filled)
    state, unknown = to_theirs(params, clip.OPENAI)
    assert not unknown and {name: x.shape for name, x in state.items()} == OPENAI
    more = state | {"context_length": np.int64(77), "attn_mask": np.zeros((5, 5))}
    layout, places = layouts.recognise(more, what="it")
    assert layout is clip.OPENAI and len(places.dropped) == 2
    found = to_ours(more, places)
    stem = "encoders/image/patch_embed/kernel"
    same(found | {stem: found[stem].reshape(48, 16)}, params)


def test_the_image_tower_alone_with_either_prefix(filled):
    state, _ = to_theirs(both_towers(filled), clip.OPENAI)
    alone = {k: x for k, x in state.items() if k.startswith("visual.")}
    for tower in (alone, {k.removeprefix("visual."): x for k, x in alone.items()}):
        layout, places = layouts.recognise(tower, what="it")
        assert layout in (clip.OPENAI, clip.OPENAI_IMAGE)
        assert "encoders/image/norm_pre/scale" in places.leaves
        assert not any(path.startswith("encoders/text") for path in places.leaves)


def test_hugging_face_separates_what_openai_fuses(filled, same):
    params = both_towers(filled)
    state, unknown = to_theirs(params, clip.HUGGING_FACE)
    assert not unknown
    q = state["vision_model.encoder.layers.0.self_attn.q_proj.weight"]
    kernel = params["encoders/image/blocks/attn/qkv/kernel"][0]
    np.testing.assert_array_equal(q, kernel[:, :16].T)
    assert state["text_projection.weight"].shape == (6, 8)
    openai = to_theirs(params, clip.OPENAI)[0]
    same(to_ours(state, sort(state, clip.HUGGING_FACE)), to_ours(openai, sort(openai, clip.OPENAI)))
