"""Tables of transformers' vision models, in the names of their files: ViT, MAE, DINOv2, BEiT.

These are the names on the hub, which `save_pretrained` writes and `from_pretrained` reads. In
memory, versions of the library differ: `_MEMORY` has those of transformers 5, as state dicts that
torch saved and exported graphs have them.
"""

from m3i_jax.interop.parts import (
    PATCHES,
    PIXELS,
    TOKEN_ROW,
    leaf,
    linear,
    norm,
    pair,
    separate,
    separate_qv,
)
from m3i_jax.interop.rename import Layout, Rule, under
from m3i_jax.interop.vit import IMAGE, LEARNED, gated

DROPS = (r"(pooler|classifier|cls_classifier|distillation_classifier|head)\..*",)
QKV = tuple(f"attention.attention.{name}" for name in ("query", "key", "value"))

_STEM = (
    *leaf("cls_token", "embeddings.cls_token"),
    *leaf("pos_embed", "embeddings.position_embeddings"),
    *linear("patch_embed", "embeddings.patch_embeddings.projection", transform=PATCHES),
)
_REST = (
    *linear("attn/proj", "attention.output.dense"),
    *norm("norm1", "layernorm_before"),
    *norm("norm2", "layernorm_after"),
    *linear("mlp/fc1", "intermediate.dense"),
    *linear("mlp/fc2", "output.dense"),
)
_BLOCK = (*separate("attn", *QKV), *_REST)
_BEIT_BLOCK = (
    *separate_qv("attn", *QKV),
    *leaf(
        "attn/relative_position/table",
        "attention.attention.relative_position_bias.relative_position_bias_table",
    ),
    *leaf("ls1/gamma", "lambda_1"),
    *leaf("ls2/gamma", "lambda_2"),
    *_REST,
)
_MEMORY = (
    *separate("attn", *(f"attention.{name}" for name in ("q_proj", "k_proj", "v_proj"))),
    *linear("attn/proj", "attention.o_proj"),
)
_MEMORY_BLOCK = (
    *_MEMORY,
    *norm("norm1", "layernorm_before"),
    *norm("norm2", "layernorm_after"),
    *linear("mlp/fc1", "mlp.fc1"),
    *linear("mlp/fc2", "mlp.fc2"),
)
_DINOV2_BLOCK = (
    *separate("attn", *QKV),
    *linear("attn/proj", "attention.output.dense"),
    *leaf("ls1/gamma", "layer_scale1.lambda1"),
    *leaf("ls2/gamma", "layer_scale2.lambda1"),
    *norm("norm1", "norm1"),
    *norm("norm2", "norm2"),
    *linear("mlp/fc1", "mlp.fc1"),
    *linear("mlp/fc2", "mlp.fc2"),
)
_NORM = norm("norm", "layernorm")


def _blocks(rules: tuple[Rule, ...], theirs: str = "encoder.layer.{b}.") -> tuple[Rule, ...]:
    return under(rules, ours="blocks/", theirs=theirs)


_VIT = (*_STEM, *leaf("mask_token", "embeddings.mask_token"), *_blocks(_BLOCK), *_NORM)
_MAE_DECODER = (
    *linear("embed", "decoder_embed"),
    *leaf("mask_token", "mask_token"),
    *leaf("pos_embed", "decoder_pos_embed"),
    *_blocks(_BLOCK, "decoder_layers.{b}."),
    *_blocks(_BLOCK, "decoder_encoder.layer.{b}."),  # as transformers 5 writes it
    *norm("norm", "decoder_norm"),
    *linear("head", "decoder_pred"),
)
_BEIT = (
    *_STEM,
    *leaf("mask_token", "embeddings.mask_token"),
    *leaf("relative_position/table", "encoder.relative_position_bias.relative_position_bias_table"),
    *_blocks(_BEIT_BLOCK),
)

VIT = Layout(
    "huggingface",
    under((*_VIT, *_blocks(_MEMORY_BLOCK, "layers.{b}.")), ours=IMAGE) + PIXELS,
    drops=DROPS,
    prefixes=("", "vit."),
    omitted="/mask_token$",
    encoder=LEARNED | {"eps": 1e-12},
)
MAE = Layout(
    "mae_huggingface",
    under((*_STEM, *_blocks(_BLOCK), *_NORM), ours=IMAGE, theirs="vit.")
    + under(_MAE_DECODER, ours="decoders/image/", theirs="decoder."),
    encoder={"positions": "sincos", "eps": 1e-12},
)
DINOV2 = Layout(
    "dinov2_huggingface",
    under(
        (
            *_STEM,
            *leaf("mask_token", "embeddings.mask_token", transform=TOKEN_ROW),
            *leaf("reg_token", "embeddings.register_tokens"),
            *_blocks(_DINOV2_BLOCK),
            *gated("mlp.weights_in", "mlp.weights_out", theirs="encoder.layer.{b}."),
            *_blocks(_MEMORY),
            *_NORM,
        ),
        ours=IMAGE,
    ),
    drops=DROPS,
    prefixes=("", "dinov2.", "dinov2_with_registers."),
    encoder=LEARNED | {"layer_scale": 1.0},
)
_DINOV3_BLOCK = (
    *separate_qv("attn", *(f"attention.{name}_proj" for name in "qkv")),
    *linear("attn/proj", "attention.o_proj"),
    *leaf("ls1/gamma", "layer_scale1.lambda1"),
    *leaf("ls2/gamma", "layer_scale2.lambda1"),
    *norm("norm1", "norm1"),
    *norm("norm2", "norm2"),
)
# A plain MLP has the names of a gated one's value and of what is behind it, so each has a table.
_DINOV3_PLAIN = (*linear("mlp/fc1", "mlp.up_proj"), *linear("mlp/fc2", "mlp.down_proj"))
_DINOV3_GATED = (
    *pair("mlp/w12", "mlp.gate_proj", "mlp.up_proj"),
    *linear("mlp/w3", "mlp.down_proj"),
)


def _dinov3(name: str, mlp: tuple[Rule, ...]) -> Layout:
    rules = (*_DINOV3_BLOCK, *mlp)
    stem = (
        *leaf("cls_token", "embeddings.cls_token"),
        *leaf("mask_token", "embeddings.mask_token"),
        *leaf("reg_token", "embeddings.register_tokens"),
        *linear("patch_embed", "embeddings.patch_embeddings", transform=PATCHES),
        *norm("norm", "norm"),
    )
    blocks = *_blocks(rules, "layer.{b}."), *_blocks(rules, "model.layer.{b}.")
    fields = {"positions": "rope", "qkv_bias": "qv", "eps": 1e-5, "layer_scale": 1.0}
    return Layout(
        name, under((*stem, *blocks), ours=IMAGE), prefixes=("", "dinov3_vit."), encoder=fields
    )


DINOV3 = _dinov3("dinov3_huggingface", _DINOV3_PLAIN)
DINOV3_GATED = _dinov3("dinov3_gated_huggingface", _DINOV3_GATED)
BEIT = Layout(
    "beit_huggingface",
    (
        *under((*_BEIT, *_NORM), ours=IMAGE),
        *under((*_BEIT, *_NORM), ours=IMAGE, theirs="beit."),
        *under(linear("head", "lm_head"), ours="decoders/words/"),
    ),
    drops=DROPS + (r"(.*\.)?(relative_position_index|pooler\.layernorm\..*)",),
    prefixes=("", "data2vec_vision."),
    encoder={
        "qkv_bias": "qv",
        "positions": "none",
        "relative_bias": "shared",
        "final_norm": False,
        "eps": 1e-12,
    },
)
LAYOUTS = (VIT, MAE, DINOV2, DINOV3, DINOV3_GATED, BEIT)
