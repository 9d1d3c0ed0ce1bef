"""Tables of SwinV2: the official code, SimMIM around it, timm, Hugging Face.

The stage number {i} is in our path; the block number {b} is the leading axis of a stage.
"""

from m3i_jax.interop.parts import (
    PATCHES,
    PIXELS,
    TRANSPOSED,
    Transform,
    leaf,
    linear,
    norm,
    separate_qv,
)
from m3i_jax.interop.rename import Layout, Rule, under

IMAGE = "encoders/image/"
SCALE = Transform(lambda x: x.reshape(-1), lambda x: (x.reshape(-1, 1, 1),))
BUFFERS = (r".*(relative_position_index|relative_coords_table|attn_mask|logit_max)",)


def _bias_mlp(theirs: str) -> tuple[Rule, ...]:
    """The network of relative positions, whose last layer has no bias."""
    return (
        *linear("attn/cpb_mlp/fc1", f"{theirs}.0"),
        *leaf("attn/cpb_mlp/fc2/kernel", f"{theirs}.2.weight", transform=TRANSPOSED),
    )


_BLOCK = under(
    (
        *leaf("attn/qkv/kernel", "attn.qkv.weight", transform=TRANSPOSED),
        *leaf("attn/q_bias", "attn.q_bias"),
        *leaf("attn/v_bias", "attn.v_bias"),
        *leaf("attn/logit_scale", "attn.logit_scale", transform=SCALE),
        *_bias_mlp("attn.cpb_mlp"),
        *linear("attn/proj", "attn.proj"),
        *norm("norm1", "norm1"),
        *norm("norm2", "norm2"),
        *linear("mlp/fc1", "mlp.fc1"),
        *linear("mlp/fc2", "mlp.fc2"),
    ),
    ours="stages_{i}/blocks/",
    theirs="layers.{i}.blocks.{b}.",
)
_HUGGING_FACE_BLOCK = under(
    (
        *separate_qv("attn", *(f"attention.self.{name}" for name in ("query", "key", "value"))),
        *leaf("attn/logit_scale", "attention.self.logit_scale", transform=SCALE),
        *_bias_mlp("attention.self.continuous_position_bias_mlp"),
        *linear("attn/proj", "attention.output.dense"),
        *norm("norm1", "layernorm_before"),
        *norm("norm2", "layernorm_after"),
        *linear("mlp/fc1", "intermediate.dense"),
        *linear("mlp/fc2", "output.dense"),
    ),
    ours="stages_{i}/blocks/",
    theirs="encoder.layers.{i}.blocks.{b}.",
)
_STEM = (*linear("patch_embed/proj", "patch_embed.proj", transform=PATCHES),
         *norm("patch_embed/norm", "patch_embed.norm"))  # fmt: skip


def _merging(theirs: str) -> tuple[Rule, ...]:
    """The end of stage {i}, which others number otherwise."""
    return (
        *leaf(
            "stages_{i}/downsample/reduction/kernel",
            f"{theirs}.reduction.weight",
            transform=TRANSPOSED,
        ),
        *norm("stages_{i}/downsample/norm", f"{theirs}.norm"),
    )


_OFFICIAL = (*_STEM, *_BLOCK, *_merging("layers.{i}.downsample"), *norm("norm", "norm"))
_HEADS = (r"head\..*", *BUFFERS)

# In timm a stage begins with the merging; that numbering fits no official file, and comes first.
TIMM = Layout(
    "swin_v2_timm",
    under(
        (*_STEM, *_BLOCK, *_merging("layers.{i+1}.downsample"), *norm("norm", "norm")), ours=IMAGE
    ),
    drops=_HEADS,
    omitted="/mask_token$",
)
OFFICIAL = Layout("swin_v2", under(_OFFICIAL, ours=IMAGE), drops=_HEADS, omitted="/mask_token$")
SIMMIM = Layout(
    "simmim_swin_v2",
    (
        *under((*_OFFICIAL, *leaf("mask_token", "mask_token")), ours=IMAGE, theirs="encoder."),
        *PIXELS,
    ),
    drops=BUFFERS,
    encoder={"hide": "mask"},
)
HUGGING_FACE = Layout(
    "swin_v2_huggingface",
    under(
        (
            *linear(
                "patch_embed/proj", "embeddings.patch_embeddings.projection", transform=PATCHES
            ),
            *norm("patch_embed/norm", "embeddings.norm"),
            *leaf("mask_token", "embeddings.mask_token"),
            *_HUGGING_FACE_BLOCK,
            *_merging("encoder.layers.{i}.downsample"),
            *norm("norm", "layernorm"),
        ),
        ours=IMAGE,
    )
    + PIXELS,
    drops=(r"(classifier|pooler)\..*", *BUFFERS),
    prefixes=("", "swinv2."),
    omitted="/mask_token$",
)
LAYOUTS = (TIMM, OFFICIAL, SIMMIM, HUGGING_FACE)
