"""Tables of ViTs with rotary positions: DINOv3, EVA-02 and CAPI in their own names, and timm's.

Siméoni et al. 2025, https://arxiv.org/abs/2508.10104; Fang et al. 2023,
https://arxiv.org/abs/2303.11331; Darcet et al. 2025, https://arxiv.org/abs/2502.08769. The periods
that DINOv3 and CAPI keep are held against ours, and show how wide a head is.
"""

from typing import Any

import numpy as np

from m3i_jax.build import ConfigError
from m3i_jax.interop import vit
from m3i_jax.interop.parts import (
    PATCHES,
    TOKEN_ROW,
    leaf,
    linear,
    norm,
    pair,
    scale,
    separate,
    separate_qv,
)
from m3i_jax.interop.rename import Flat, Layout, Rule, Transform, under
from m3i_jax.interop.vit import HEADS, IMAGE
from m3i_jax.nn.rotary import KINDS

WAVES = IMAGE + "rope/waves"  # of either axis, as a file keeps them
BASES = {"dinov3": 100.0, "capi": 10000.0}
CLOSE = 0.01  # of bfloat16, in which DINOv3 keeps its periods
_QKV, _MASKED = IMAGE + "blocks/attn/", IMAGE + "blocks/attn/masked/bias"

_TIMM_BLOCK = (
    *norm("norm1", "norm1"),
    *linear("attn/qkv", "attn.qkv"),
    *leaf("attn/q_bias", "attn.q_bias"),
    *leaf("attn/v_bias", "attn.v_bias"),
    *separate_qv("attn", "attn.q_proj", "attn.k_proj", "attn.v_proj"),
    *norm("attn/q_norm", "attn.q_norm"),
    *norm("attn/k_norm", "attn.k_norm"),
    *norm("attn/norm", "attn.norm"),
    *linear("attn/proj", "attn.proj"),
    *leaf("ls1/gamma", "gamma_1"),
    *norm("norm2", "norm2"),
    *linear("mlp/fc1", "mlp.fc1"),
    *pair("mlp/w12", "mlp.fc1_g", "mlp.fc1_x"),
    *norm("mlp/norm", "mlp.norm"),
    *linear("mlp/fc2", "mlp.fc2"),
    *leaf("ls2/gamma", "gamma_2"),
)
_TIMM = (
    *vit.STEM,
    *vit.REGISTERS,
    *under(_TIMM_BLOCK, ours="blocks/", theirs="blocks.{b}."),
    *norm("norm", "norm"),
)
_EVA02_BLOCK = (
    *norm("norm1", "norm1"),
    separate("attn", "attn.q_proj", "attn.k_proj", "attn.v_proj")[0],  # its biases stand apart
    *linear("attn/qkv", "attn.qkv"),
    *leaf("attn/q_bias", "attn.q_bias"),
    *leaf("attn/v_bias", "attn.v_bias"),
    *norm("attn/norm", "attn.inner_attn_ln"),
    *linear("attn/proj", "attn.proj"),
    *norm("norm2", "norm2"),
    *pair("mlp/w12", "mlp.w1", "mlp.w2"),
    *linear("mlp/w12", "mlp.w12"),
    *norm("mlp/norm", "mlp.ffn_ln"),
    *linear("mlp/w3", "mlp.w3"),
)
# A bias whose part of the keys a mask, of ones and zeros, takes out.
_BIAS = Transform(
    lambda bias, mask: np.where(mask > 0, bias, 0).astype(np.float32),
    lambda x: (x, np.repeat(np.float32([1, 0, 1]), len(x) // 3)),
)
_DINOV3_BLOCK = (
    *norm("norm1", "norm1"),
    Rule("attn/masked/bias", ("attn.qkv.bias", "attn.qkv.bias_mask"), _BIAS),
    *linear("attn/qkv", "attn.qkv"),
    *linear("attn/proj", "attn.proj"),
    *leaf("ls1/gamma", "ls1.gamma"),
    *norm("norm2", "norm2"),
    *linear("mlp/fc1", "mlp.fc1"),
    *linear("mlp/fc2", "mlp.fc2"),
    *pair("mlp/w12", "mlp.w1", "mlp.w2"),
    *linear("mlp/w3", "mlp.w3"),
    *leaf("ls2/gamma", "ls2.gamma"),
)
_CAPI_BLOCK = (
    *scale("norm1", "residual1.norm"),
    *separate("attn", *(f"residual1.fn.{name}_proj" for name in "qkv")),
    *linear("attn/proj", "residual1.fn.proj"),
    *scale("norm2", "residual2.norm"),
    *linear("mlp/fc1", "residual2.fn.fc1"),
    *linear("mlp/fc2", "residual2.fn.fc2"),
)


def _unmasked(params: Flat) -> dict[str, np.ndarray]:
    """DINOv3: a bias of queries and values; its periods are ours."""
    found = _compared(params, "dinov3", lambda waves: 2 * np.pi / waves)
    masked = found.pop(_MASKED, None)
    if masked is None:
        return found
    q, k, v = np.split(masked, 3, axis=-1)
    if k.any():
        raise ConfigError("blocks.0.attn.qkv.bias_mask lets keys have a bias; DINOv3's have none")
    return found | {_QKV + "q_bias": q, _QKV + "v_bias": v}


def _with_mask(params: Flat) -> dict[str, np.ndarray]:
    found = dict(params)
    parts = [found.pop(_QKV + f"{i}_bias", None) for i in "qv"]
    if parts[0] is not None:
        q, v = parts
        found[_MASKED] = np.concatenate([q, np.zeros_like(q), v], axis=-1)
    return found


def _of_capi(params: Flat) -> dict[str, np.ndarray]:
    """CAPI: the norm behind its last block has no scale; the frequencies of all blocks are ours."""
    found = _compared(params, "capi", lambda waves: waves[0, : waves.shape[-1] // 4])
    width = found[IMAGE + "blocks/norm1/scale"].shape[-1]
    return found | {IMAGE + "norm/scale": np.ones(width, np.float32)}


def _without_scale(params: Flat) -> dict[str, np.ndarray]:
    found, last = dict(params), IMAGE + "norm/scale"
    if last in found and (found.pop(last) != 1).any():
        raise ConfigError(
            "CAPI's norm behind the last block has no scale, and this one has learned"
        )
    return found


def _compared(params, kind, waves_of):
    """Without the waves that a file keeps, once each block's are those of `kind`."""
    found = dict(params)
    kept = found.pop(WAVES, None)
    if kept is None:
        return found
    for one in kept if kind == "capi" else [kept]:
        theirs = waves_of(one)
        ours = KINDS[kind].frequencies(4 * len(theirs), BASES[kind])
        if not np.allclose(theirs, ours, rtol=CLOSE, atol=0):
            raise ConfigError(
                f"its rotary positions are not those of '{kind}' with rope_base {BASES[kind]:g}: "
                f"{len(theirs)} frequencies from {theirs[0]:.4g} to {theirs[-1]:.4g}, and ours go "
                f"from {ours[0]:.4g} to {ours[-1]:.4g}"
            )
    return found


def beside(layout: Layout, module: Any) -> dict[str, np.ndarray]:
    """What such models keep that is no parameter of ours: the waves, and a token nobody sees."""
    dim, base = module.width // module.heads, module.rope_base
    waves = KINDS[module.rope].frequencies(dim, base).astype(np.float32)
    if layout is DINOV3:
        hidden = {} if module.hide == "mask" else {"mask_token": np.zeros((1, module.width))}
        return {"rope_embed.periods": np.float32(2 * np.pi / waves), **hidden}
    none = np.zeros_like(waves)
    both = np.stack(
        [np.concatenate(x) for x in ((waves, waves, none, none), (none, none, waves, waves))]
    )
    return {f"encoder.blocks.{i}.residual1.fn.rope.freqs": both for i in range(module.depth)}


def heads(params: Flat) -> int | None:
    """The number of heads that the waves of a file show, None where it keeps none."""
    waves, width = params.get(WAVES), params.get(IMAGE + "blocks/attn/proj/kernel")
    if waves is None or width is None:
        return None
    # DINOv3's are of a quarter of a head, CAPI's of every block and of all of it.
    return width.shape[-1] // (4 * len(waves) if waves.ndim == 1 else waves.shape[-1])


DINOV3_FIELDS = {
    "positions": "rope",
    "eps": 1e-5,
    "layer_scale": 1e-5,
}
EVA02_FIELDS = {
    "positions": "learned_rope",
    "rope": "eva02",
    "rope_base": 10000.0,
    "qkv_bias": "qv",
    "activation": "silu",
    "normalization": "clip",
}
CAPI_FIELDS = {
    "positions": "rope",
    "rope": "capi",
    "rope_base": 10000.0,
    "class_token": False,
    "norm": "rms",
    "eps": 1e-5,
}
DINOV3 = Layout(
    "dinov3",
    under(
        (
            *leaf("cls_token", "cls_token"),
            *leaf("mask_token", "mask_token", transform=TOKEN_ROW),
            *leaf("reg_token", "storage_tokens"),
            *leaf("rope/waves", "rope_embed.periods"),
            *linear("patch_embed", "patch_embed.proj", transform=PATCHES),
            *under(_DINOV3_BLOCK, ours="blocks/", theirs="blocks.{b}."),
            *norm("norm", "norm"),
        ),
        ours=IMAGE,
    ),
    drops=(*HEADS, r"local_cls_norm\..*"),
    prefixes=("", "backbone."),
    encoder=DINOV3_FIELDS,
    ours=_unmasked,
    theirs=_with_mask,
)


def _of_timm(name: str, fields: dict[str, Any], *, without: str) -> Layout:
    """timm's names of a ViT with rotations, which has no parameter `without`."""
    return Layout(
        name,
        under([rule for rule in _TIMM if rule.ours != without], ours=IMAGE),
        drops=HEADS,
        omitted="/mask_token$",
        encoder=fields,
        ours=vit.told_apart,
        theirs=lambda params: vit.relayered(params, {"w3": "fc2"}),
    )


DINOV3_TIMM = _of_timm("dinov3_timm", DINOV3_FIELDS, without="pos_embed")
EVA02 = Layout(
    "eva02",
    under(
        (
            *vit.STEM,
            *leaf("mask_token", "mask_token"),
            *under(_EVA02_BLOCK, ours="blocks/", theirs="blocks.{b}."),
            *norm("norm", "norm"),
        ),
        ours=IMAGE,
    ),
    drops=(*HEADS, r"lm_head\..*", r"(blocks\.\d+\.attn\.)?rope\.freqs_(cos|sin)"),
    prefixes=("", "visual."),
    encoder=EVA02_FIELDS,
)
EVA02_TIMM = _of_timm("eva02_timm", EVA02_FIELDS, without="reg_token")
CAPI = Layout(
    "capi",
    under(
        (
            *leaf("reg_token", "registers"),
            *leaf("rope/waves", "encoder.blocks.{b}.residual1.fn.rope.freqs"),
            *linear("patch_embed", "patch_embed", transform=PATCHES),
            *under(_CAPI_BLOCK, ours="blocks/", theirs="encoder.blocks.{b}."),
        ),
        ours=IMAGE,
    ),
    drops=(r"head\..*", r"decoder\..*", "mask_token"),
    prefixes=("", "backbone."),
    omitted="/mask_token$",
    encoder=CAPI_FIELDS,
    ours=_of_capi,
    theirs=_without_scale,
)
LAYOUTS = (DINOV3, DINOV3_TIMM, EVA02, EVA02_TIMM, CAPI)
