"""Tables of Vision Transformers: timm, DINO, iBOT, DINOv2, I-JEPA, MAE, SiameseIM, BEiT, SimMIM.

The decoders are called as in our methods: `image` of MAE and SiameseIM, `projector`,
`pixels` of SimMIM, `words` of BEiT.
"""

import re
from collections.abc import Mapping

import numpy as np

from m3i_jax.interop.parts import (
    PATCHES,
    PIXELS,
    TOKEN_ROW,
    leaf,
    linear,
    norm,
)
from m3i_jax.interop.rename import Layout, Rule, under

IMAGE = "encoders/image/"
LEARNED = {"positions": "learned"}
# Not `dist_token`, which DeiT's distilled models attend to: no encoder of ours has it.
HEADS = (r"(head|fc_norm|head_dist|pre_logits)\..*",)


def block(theirs: str) -> tuple[Rule, ...]:
    """One pre-norm block in timm's names; `theirs` is its prefix, with the number {b}."""
    rules = (
        *norm("norm1", "norm1"),
        *linear("attn/qkv", "attn.qkv"),
        *linear("attn/proj", "attn.proj"),
        *leaf("ls1/gamma", "ls1.gamma"),
        *norm("norm2", "norm2"),
        *linear("mlp/fc1", "mlp.fc1"),
        *linear("mlp/fc2", "mlp.fc2"),
        *leaf("ls2/gamma", "ls2.gamma"),
    )
    return under(rules, ours="blocks/", theirs=theirs)


def gated(first: str, second: str, *, theirs: str = "blocks.{b}.") -> tuple[Rule, ...]:
    """The packed layers of SwiGLU: gate and value in one, and what is behind them."""
    rules = (*linear("mlp/w12", first), *linear("mlp/w3", second))
    return under(rules, ours="blocks/", theirs=theirs)


def told_apart(params: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Layers of an MLP of which the first is twice as wide as the second is deep are SwiGLU's.

    timm calls them as those of a plain one, and always the one behind them.
    """
    first, second = (params.get(f"{IMAGE}blocks/mlp/{x}/kernel") for x in ("fc1", "fc2"))
    if f"{IMAGE}blocks/mlp/w12/kernel" in params:
        return relayered(params, {"fc2": "w3"})
    if first is None or second is None or first.shape[-1] != 2 * second.shape[-2]:
        return dict(params)
    return relayered(params, {"fc1": "w12", "fc2": "w3"})


def relayered(params: Mapping[str, np.ndarray], names: Mapping[str, str]) -> dict[str, np.ndarray]:
    """The parameters with other names of the layers of MLPs."""
    own = re.compile(re.escape(IMAGE) + r"blocks/mlp/([^/]+)/(kernel|bias)")

    def renamed(path):
        match = own.fullmatch(path)
        return f"{IMAGE}blocks/mlp/{names.get(match[1], match[1])}/{match[2]}" if match else path

    return {renamed(path): x for path, x in params.items()}


def _or_eva02(params: Mapping[str, np.ndarray]) -> str:
    """BEiT's MLPs are plain; gated ones of such names are those of the smaller EVA-02s."""
    return "eva02_timm" if f"{IMAGE}blocks/mlp/w12/kernel" in told_apart(params) else ""


STEM = (
    *leaf("cls_token", "cls_token"),
    *leaf("pos_embed", "pos_embed"),
    *linear("patch_embed", "patch_embed.proj", transform=PATCHES),
)
TRUNK = (*STEM, *norm("norm_pre", "norm_pre"), *block("blocks.{b}."), *norm("norm", "norm"))
REGISTERS = leaf("reg_token", "reg_token")
MASK_ROW = leaf("mask_token", "mask_token", transform=TOKEN_ROW)

_INFILL = (
    *linear("embed", "decoder_embed"),
    *leaf("mask_token", "mask_token"),
    *leaf("pos_embed", "decoder_pos_embed"),
    *block("decoder_blocks.{b}."),
    *norm("norm", "decoder_norm"),
    *linear("head", "decoder_pred"),
)


def _token_block(theirs: str) -> tuple[Rule, ...]:
    """A block of SiameseIM's heads, whose norms are batch norms (or layer norms) of tokens."""
    wrapped = (*norm("blocks/norm1", "norm1.bn"), *norm("blocks/norm2", "norm2.bn"))
    return under((*wrapped, *block("")), theirs=theirs)


_SIAMESE_PROJECTOR = (
    *linear("embed", "decoder_embed"),
    *_token_block("projector_decoder_blocks.{b}."),
)
_SIAMESE_DECODER = (
    *leaf("mask_token", "mask_token"),
    *_token_block("predictor_decoder_blocks.{b}."),
    *linear("relative", "decoder_pos_mlp"),
    *linear("head", "decoder_pred"),
)

_SCALES = (*leaf("blocks/ls1/gamma", "gamma_1"), *leaf("blocks/ls2/gamma", "gamma_2"))
# BEiT's blocks: biases on queries and values, its own names of LayerScale, relative positions.
_BEIT_BLOCK = (
    *leaf("blocks/attn/q_bias", "attn.q_bias"),
    *leaf("blocks/attn/v_bias", "attn.v_bias"),
    *leaf("blocks/attn/relative_position/table", "attn.relative_position_bias_table"),
    *_SCALES,
    *block(""),
)
_BEIT = (
    *STEM,
    *leaf("mask_token", "mask_token"),
    *leaf("relative_position/table", "rel_pos_bias.relative_position_bias_table"),
    *under(_BEIT_BLOCK, theirs="blocks.{b}."),
)
_BEIT_DROPS = (*HEADS, r"(.*\.)?relative_position_index")
_BEIT_FIELDS = {"qkv_bias": "qv", "positions": "none", "relative_bias": "shared"}

_QK_NORMS = under(
    (*norm("attn/q_norm", "attn.q_norm"), *norm("attn/k_norm", "attn.k_norm")),
    ours="blocks/",
    theirs="blocks.{b}.",
)
MOCO_V3 = "base_encoder."  # beside it the average, of the same names, and the head that predicts
TIMM = Layout(
    "timm",
    under((*TRUNK, *REGISTERS, *gated("mlp.fc1", "mlp.fc2"), *_QK_NORMS), ours=IMAGE),
    drops=(*HEADS, r"(momentum_encoder|predictor)\..*"),
    prefixes=("", "backbone.", "encoder.", MOCO_V3, "trunk."),
    omitted="/mask_token$",
    encoder=LEARNED,
    ours=told_apart,
)
DINOV2 = Layout(
    "dinov2",
    under(
        (
            *TRUNK,
            *MASK_ROW,
            *leaf("reg_token", "register_tokens"),
            *gated("mlp.w12", "mlp.w3"),
        ),
        ours=IMAGE,
    ),
    drops=HEADS,
    prefixes=("", "backbone."),
    encoder=LEARNED | {"layer_scale": 1e-5},
)
# A student of iBOT: its token of masks, LayerScale by BEiT's names where it has any.
IBOT = Layout(
    "ibot",
    under(
        (
            *leaf("mask_token", "masked_embed", transform=TOKEN_ROW),
            *under(_SCALES, theirs="blocks.{b}."),
            *TRUNK,
        ),
        ours=IMAGE,
    ),
    drops=HEADS,
    prefixes=("", "backbone."),
    encoder=LEARNED,
)
_PREDICTOR = (
    *linear("embed", "predictor_embed"),
    *leaf("mask_token", "mask_token"),
    *leaf("pos_embed", "predictor_pos_embed"),
    *block("predictor_blocks.{b}."),
    *norm("norm", "predictor_norm"),
    *linear("head", "predictor_proj"),
)
# Either encoder of I-JEPA, whose positions are MAE's and whose predictor is another part of a file.
I_JEPA = Layout(
    "ijepa",
    under(
        (
            *leaf("pos_embed", "pos_embed"),
            *linear("patch_embed", "patch_embed.proj", transform=PATCHES),
            *block("blocks.{b}."),
            *norm("norm", "norm"),
        ),
        ours=IMAGE,
    ),
    encoder={"positions": "sincos", "class_token": False},
    predicts=("decoders/image",),
)
I_JEPA_PREDICTOR = Layout("ijepa_predictor", under(_PREDICTOR, ours="decoders/image/"))
MAE = Layout(
    "mae",
    under(TRUNK, ours=IMAGE) + under(_INFILL, ours="decoders/image/"),
    drops=HEADS,
    encoder={"positions": "sincos"},
)
SIAMESE_IM = Layout(
    "siamese_im",
    (
        *under(TRUNK, ours=IMAGE),
        *under(_SIAMESE_PROJECTOR, ours="decoders/projector/"),
        *under(_SIAMESE_DECODER, ours="decoders/image/"),
        *under(TRUNK, ours="ema/" + IMAGE, theirs="mm_"),
        *under(_SIAMESE_PROJECTOR, ours="ema/decoders/projector/", theirs="mm_"),
    ),
    # The heads normalise by the batch in either branch, so nobody reads the running statistics.
    drops=(
        *HEADS,
        r"decoder_pos_embed|mm_mask_token|student_norm\..*",
        r".*\.bn\.(running_mean|running_var|num_batches_tracked)",
    ),
    encoder={"positions": "sincos", "final_norm": False},
)
BEIT = Layout(
    "beit",
    under((*_BEIT, *norm("norm", "norm")), ours=IMAGE)
    + under(linear("head", "lm_head"), ours="decoders/words/"),
    drops=_BEIT_DROPS,
    prefixes=("", "encoder."),
    omitted="/mask_token$",
    encoder=_BEIT_FIELDS,
    meant=_or_eva02,
)
BEIT_V2 = Layout(
    "beit_v2",
    (
        *under(_BEIT, ours=IMAGE),
        *under((*norm("norm", "norm"), *linear("head", "lm_head")), ours="decoders/words/"),
        *under(_BEIT_BLOCK, ours="decoders/class_branch/", theirs="cls_pt_layers.{b}."),
    ),
    drops=_BEIT_DROPS,
    encoder=_BEIT_FIELDS | {"final_norm": False, "hide": "mask"},
)
SIMMIM = Layout(
    "simmim",
    (
        *under((*_BEIT, *norm("norm", "norm")), ours=IMAGE, theirs="encoder."),
        *PIXELS,
    ),
    drops=_BEIT_DROPS + (r"encoder\.(fc_norm|head)\..*",),
    encoder=_BEIT_FIELDS | {"final_norm": False, "hide": "mask"},
)
# DINOv2 before MAE: the one token of masks that a file has is then the encoder's.
LAYOUTS = (
    *(TIMM, DINOV2, IBOT, I_JEPA, I_JEPA_PREDICTOR),
    *(MAE, SIAMESE_IM, BEIT, BEIT_V2, SIMMIM),
)
