"""InternImage: keys as its official code has them, of every form of its blocks, and its pooling."""

import jax
import numpy as np
import pytest

from m3i_jax import decoders
from m3i_jax.interop import importing, internimage, layouts
from m3i_jax.interop.rename import nested, sort, to_ours, to_theirs
from m3i_jax.types import Features

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


def pooling(width, out, number):
    """Keys and arrays of the official attention pooling, norms numbered or not."""
    rng, state = np.random.default_rng(0), {}
    for name, wide in [(f"clip_projector.norm1_{x}{number}", width) for x in "qkv"] + [
        (f"fc_norm{number}", out)
    ]:
        state[f"{name}.weight"] = np.exp(0.3 * rng.normal(size=wide))
        state[f"{name}.bias"] = 0.2 * rng.normal(size=wide)
    for x in "qkv":
        state[f"clip_projector.cross_dcn.{x}.weight"] = 0.3 * rng.normal(size=(width, width))
        state[f"clip_projector.cross_dcn.{x}_bias"] = 0.3 * rng.normal(size=width)
    state["clip_projector.cross_dcn.proj.weight"] = 0.3 * rng.normal(size=(out, width))
    state["clip_projector.cross_dcn.proj.bias"] = 0.3 * rng.normal(size=out)
    return state


def pooled(x, state, heads, number):
    """x (n, C) -> (out,), in float64 as the official code writes it (eps of every norm 1e-6)."""

    def normed(y, name):
        y = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-6)
        return y * state[f"{name}{number}.weight"] + state[f"{name}{number}.bias"]

    def role(y, name):
        y = normed(y, f"clip_projector.norm1_{name}")
        y = y @ state[f"clip_projector.cross_dcn.{name}.weight"].T
        y = y + state[f"clip_projector.cross_dcn.{name}_bias"]
        return y.reshape(len(y), heads, -1).transpose(1, 0, 2)

    q, k, v = role(x.mean(0, keepdims=True), "q"), role(x, "k"), role(x, "v")
    scores = q @ k.transpose(0, 2, 1) * k.shape[-1] ** -0.5
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    y = (weights / weights.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(-1)
    y = y @ state["clip_projector.cross_dcn.proj.weight"].T
    return normed(y + state["clip_projector.cross_dcn.proj.bias"], "fc_norm")


@pytest.mark.parametrize("number", [".0", ""])
def test_the_pooling_of_m3i_comes_with_its_norm(number, drawn):
    """The decoder `category`, which does what the official code does, to float32's digits."""
    _, params = drawn("internimage_t", **SMALL, fused=16)
    state, _ = to_theirs(params, internimage.INTERN_IMAGE)
    more = pooling(16, 12, number)
    imported = importing.renamed(state | more | {"head.weight": np.ones((5, 12))}, what="it")
    assert imported.layout is internimage.INTERN_IMAGE and imported.dropped == ("head.weight",)
    tree = nested(imported.params)["decoders"]["category"]
    module = decoders.create({"name": "attention_pool", "heads": 4}, out=12)
    x = np.random.default_rng(1).normal(size=(1, 20, 16)).astype(np.float32)
    shapes = jax.eval_shape(module.init, jax.random.key(0), Features(tokens=x))["params"]
    assert jax.tree.map(np.shape, shapes) == jax.tree.map(np.shape, tree)
    got = module.apply({"params": tree}, Features(tokens=x))[0]
    np.testing.assert_allclose(got, pooled(np.float64(x[0]), more, 4, number), atol=2e-6)
    back, unknown = to_theirs(imported.params, internimage.INTERN_IMAGE)
    assert not unknown and back.keys() == (state | pooling(16, 12, ".0")).keys()
