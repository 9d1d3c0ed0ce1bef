"""InternImage: keys as its official code has them, of every form of its blocks."""

import pytest

from m3i_jax.interop import internimage, layouts
from m3i_jax.interop.rename import sort, to_ours, to_theirs

SMALL = dict(width=8, groups=2, depths=(1, 1, 2, 1), image=64)


def norm(name, width):
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def linear(name, out, into):
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def block(name, c, groups, form, scale, centre, dw):
    """One InternImageLayer of `c` channels."""
    want = norm(f"{name}.norm1.0", c) | norm(f"{name}.norm2.0", c)
    want |= linear(f"{name}.dcn.input_proj", c, c) | linear(f"{name}.dcn.output_proj", c, c)
    want |= {f"{name}.dcn.dw_conv.0.weight": (c, 1, dw, dw), f"{name}.dcn.dw_conv.0.bias": (c,)}
    want |= norm(f"{name}.dcn.dw_conv.1.1", c)
    want |= linear(f"{name}.dcn.offset", groups * 18, c) | linear(f"{name}.dcn.mask", groups * 9, c)
    want |= linear(f"{name}.mlp.fc1", 4 * c, c) | linear(f"{name}.mlp.fc2", c, 4 * c)
    if centre:
        want[f"{name}.dcn.center_feature_scale_proj_weight"] = (groups, c)
        want[f"{name}.dcn.center_feature_scale_proj_bias"] = (groups,)
    if form == "res_post":
        want |= norm(f"{name}.res_post_norm1.0", c) | norm(f"{name}.res_post_norm2.0", c)
    return want | ({f"{name}.gamma1": (c,), f"{name}.gamma2": (c,)} if scale else {})


def official(form, *, scale=False, centre=False, dw=3, post_norms=(), fused=None):
    """Shapes by key of the sizes `SMALL`."""
    want = {"patch_embed.conv1.weight": (4, 3, 3, 3), "patch_embed.conv1.bias": (4,),
            "patch_embed.conv2.weight": (8, 4, 3, 3), "patch_embed.conv2.bias": (8,)}  # fmt: skip
    want |= norm("patch_embed.norm1.1", 4) | norm("patch_embed.norm2.1", 8)
    for i, depth in enumerate(SMALL["depths"]):
        level, c, groups = f"levels.{i}", 8 * 2**i, 2 * 2**i
        for b in range(depth):
            want |= block(f"{level}.blocks.{b}", c, groups, form, scale, centre, dw)
        if form != "post" or centre:
            want |= norm(f"{level}.norm.0", c)
        for k in range(len(post_norms) if i == 2 else 0):
            want |= norm(f"{level}.post_norms.{k}.0", c)
        if i < 3:
            want[f"{level}.downsample.conv.weight"] = (2 * c, c, 3, 3)
            want |= norm(f"{level}.downsample.norm.1", 2 * c)
    if fused:
        want |= linear("dcnv3_head_x4.0", 4 * fused, 64) | linear("dcnv3_head_x3", fused, 32)
        for name in ("dcnv3_head_x4.0.weight", "dcnv3_head_x3.weight"):
            want[name] += (1, 1)
    return want


@pytest.mark.parametrize(
    "fields, keys",
    [
        (dict(norm="pre"), official("pre")),
        (dict(norm="post", layer_scale=1e-5), official("post", scale=True)),
        (
            dict(norm="res_post", centre_scale=True, dw_kernel=5, post_norms=(0, 1), fused=12),
            official("res_post", centre=True, dw=5, post_norms=(0, 1), fused=12),
        ),
    ],
)
def test_the_official_keys_are_our_encoder(fields, keys, drawn, same):
    _, params = drawn("internimage_t", **SMALL, **fields)
    state, unknown = to_theirs(params, internimage.INTERN_IMAGE)
    assert not unknown and {name: x.shape for name, x in state.items()} == keys
    more = [*state, "conv_head.0.weight", "conv_head.1.0.running_mean", "head.weight"]
    found, places = layouts.recognise(more, what="it")
    assert found is internimage.INTERN_IMAGE and len(places.dropped) == 3
    same(to_ours(state, sort(state, found)), params)
