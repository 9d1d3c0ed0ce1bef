"""SwinV2: which stage the merging belongs to in whose names, buffers, the scale of attention."""

import numpy as np

from m3i_jax.interop import layouts, swin
from m3i_jax.interop.rename import to_ours, to_theirs

BUFFERS = [
    "layers.0.blocks.0.attn.relative_position_index",
    "layers.0.blocks.0.attn.relative_coords_table",
    "layers.1.blocks.1.attn_mask",
]


def test_the_official_code_merges_at_the_end_of_a_stage_and_timm_at_the_start(example, same):
    _, params = example("swin_v2")
    official, timm = (to_theirs(params, x)[0] for x in (swin.OFFICIAL, swin.TIMM))
    assert official["layers.0.downsample.reduction.weight"].shape == (16, 32)
    assert "layers.1.downsample.norm.weight" in timm
    assert official.keys() ^ timm.keys() == {
        f"layers.{i}.downsample.{name}"
        for i in range(2)
        for name in ("reduction.weight", "norm.weight", "norm.bias")
    }
    for state, layout in ((official, swin.OFFICIAL), (timm, swin.TIMM)):
        more = state | dict.fromkeys(BUFFERS, np.zeros(1))
        found, places = layouts.recognise(more, what="it")
        assert found is layout and set(places.dropped) == set(BUFFERS)
        assert to_ours(more, places).keys() == params.keys() - {"encoders/image/mask_token"}


def test_shapes_of_a_block(example):
    _, params = example("swin_v2")
    state, _ = to_theirs(params, swin.OFFICIAL)
    names = {"logit_scale": (2, 1, 1), "cpb_mlp.0.weight": (512, 2), "cpb_mlp.0.bias": (512,),
             "cpb_mlp.2.weight": (2, 512), "qkv.weight": (48, 16), "q_bias": (16,)}  # fmt: skip
    for name, shape in names.items():
        assert state[f"layers.1.blocks.1.attn.{name}"].shape == shape


def test_hugging_face_has_three_layers_for_our_fused_one(example):
    _, params = example("swin_v2_huggingface")
    state, unknown = to_theirs(params, swin.HUGGING_FACE)
    assert not unknown and "embeddings.mask_token" not in state
    block = "encoder.layers.1.blocks.0.attention.self."
    kernel = params["encoders/image/stages_1/blocks/attn/qkv/kernel"][0]
    np.testing.assert_array_equal(state[block + "value.weight"], kernel[:, 32:].T)
    assert block + "key.bias" not in state
