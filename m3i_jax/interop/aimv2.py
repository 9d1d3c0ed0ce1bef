"""Tables of AIMv2's image encoder: transformers' names, its own, and timm's.

Fini et al. 2024, https://arxiv.org/abs/2411.14402. RMS norms, one of them behind the patch
embedding, SwiGLU, and biases in that embedding alone.
"""

from m3i_jax.interop import vit
from m3i_jax.interop.parts import PATCHES, TABLE, leaf, linear, pair, scale, separate
from m3i_jax.interop.rename import Layout, under
from m3i_jax.interop.vit import HEADS, IMAGE

FIELDS = {
    "positions": "learned",
    "class_token": False,
    "norm": "rms",
    "eps": 1e-5,
    "patch_norm": True,
    "activation": "silu",
    "normalization": "clip",
}
_BLOCK = (
    *scale("norm1", "rms_norm1"),
    *separate("attn", *(f"attention.{name}_proj" for name in "qkv")),
    *linear("attn/proj", "attention.out_proj"),
    *scale("norm2", "rms_norm2"),
    *pair("mlp/w12", "ffn.gate_proj", "ffn.up_proj"),
    *linear("mlp/w3", "ffn.down_proj"),
)
_TIMM_BLOCK = (
    *scale("norm1", "norm1"),
    *linear("attn/qkv", "attn.qkv"),
    *linear("attn/proj", "attn.proj"),
    *scale("norm2", "norm2"),
    *pair("mlp/w12", "mlp.fc1_g", "mlp.fc1_x"),
    *linear("mlp/w3", "mlp.fc2"),
)
_OWN_BLOCK = (
    *scale("norm1", "norm_1"),
    *linear("attn/qkv", "attn.qkv"),
    *linear("attn/proj", "attn.proj"),
    *scale("norm2", "norm_2"),
    *pair("mlp/w12", "mlp.fc1", "mlp.fc3"),
    *linear("mlp/w3", "mlp.fc2"),
)
HUGGING_FACE = Layout(
    "aimv2_huggingface",
    under(
        (
            *leaf("pos_embed", "embeddings.position_embedding.weight", transform=TABLE),
            *linear("patch_embed", "embeddings.patch_embed", transform=PATCHES),
            *scale("patch_norm", "embeddings.rms_norm"),
            *under(_BLOCK, ours="blocks/", theirs="encoder.layers.{b}."),
            *scale("norm", "rms_norm"),
        ),
        ours=IMAGE,
    ),
    drops=(r"head\..*", r".*position_ids"),
    prefixes=("", "vision_model."),
    encoder=FIELDS,
)
TIMM = Layout(
    "aimv2_timm",
    under(
        (
            *vit.STEM,
            *scale("patch_norm", "patch_embed.norm"),
            *under(_TIMM_BLOCK, ours="blocks/", theirs="blocks.{b}."),
            *scale("norm", "norm"),
        ),
        ours=IMAGE,
    ),
    drops=HEADS,
    encoder=FIELDS,
)
OWN = Layout(
    "aimv2",
    under(
        (
            *leaf("pos_embed", "preprocessor.pos_embed"),
            *linear("patch_embed", "preprocessor.patchifier.proj", transform=PATCHES),
            *scale("patch_norm", "preprocessor.patchifier.norm"),
            *under(_OWN_BLOCK, ours="blocks/", theirs="trunk.blocks.{b}."),
            *scale("norm", "trunk.post_trunk_norm"),
        ),
        ours=IMAGE,
    ),
    drops=(r"head\..*",),
    encoder=FIELDS,
)
LAYOUTS = (HUGGING_FACE, TIMM, OWN)
