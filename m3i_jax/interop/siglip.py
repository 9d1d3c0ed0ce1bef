"""Tables of SigLIP in the names of Hugging Face, and of open_clip, whose images are timm's.

Both towers, and the pooling head of images. Zhai et al. 2023, https://arxiv.org/abs/2303.15343. The
head, the temperature and the bias are the decoder `text`. Weights of SigLIP 2 have the same
names; those of its NaFlex form, for images of any shape, are a ViT for those whose patches lie as
the positions do.
"""

import math

import numpy as np

from m3i_jax.interop import vit
from m3i_jax.interop.clip import HUGGING_FACE_BLOCK, OPENAI_BLOCK
from m3i_jax.interop.parts import CHANNELS, PATCHES, TABLE, TRANSPOSED, leaf, linear, norm
from m3i_jax.interop.rename import Layout, Rule, Transform, under

IMAGE, TEXT, HEAD = "encoders/image/", "encoders/text/", "decoders/text/"
FIELDS = {
    "positions": "learned",
    "class_token": False,
    "activation": "gelu_tanh",
    "normalization": "inception",
}


def _convolution(kernel):
    if kernel.ndim == 2:  # of SigLIP 2's NaFlex form: (D, p·p·3), pixels in rows
        side = math.isqrt(kernel.shape[1] // CHANNELS)
        return kernel.T.reshape(side, side, CHANNELS, -1)
    return PATCHES.ours(kernel)


_STEM = Transform(_convolution, PATCHES.theirs)
_NUMBER = Transform(lambda x: x.reshape(()), lambda x: (x.reshape(1),))
_SCALAR = Transform(lambda x: x.reshape(()), lambda x: (x,))
# q (D, D), and k and v together (2D, D) <-> our (D, q|k|v); and their biases.
_Q_KV = Transform(lambda *x: np.concatenate(x).T, lambda x: np.split(x.T, [x.shape[0]]))
_Q_KV_BIAS = Transform(lambda *x: np.concatenate(x), lambda x: np.split(x, [len(x) // 3]))
_IMAGE = (
    *leaf("pos_embed", "embeddings.position_embedding.weight", transform=TABLE),
    *linear("patch_embed", "embeddings.patch_embedding", transform=_STEM),
    *HUGGING_FACE_BLOCK,
    *norm("norm", "post_layernorm"),
)
_TEXT = (
    *leaf("token_embed", "embeddings.token_embedding.weight"),
    *leaf("pos_embed", "embeddings.position_embedding.weight"),
    *HUGGING_FACE_BLOCK,
    *norm("norm", "final_layer_norm"),
    *linear("projection", "head"),
)
_POOL = (
    *leaf("probe", "probe"),
    *leaf("attn/qkv/kernel", "attention.in_proj_weight", transform=TRANSPOSED),
    *leaf("attn/qkv/bias", "attention.in_proj_bias"),
    *linear("attn/proj", "attention.out_proj"),
    *norm("norm", "layernorm"),
    *linear("mlp/fc1", "mlp.fc1"),
    *linear("mlp/fc2", "mlp.fc2"),
)

_TIMM_POOL = (
    *leaf("probe", "latent"),
    Rule("attn/qkv/kernel", ("q.weight", "kv.weight"), _Q_KV),
    Rule("attn/qkv/bias", ("q.bias", "kv.bias"), _Q_KV_BIAS),
    *linear("attn/proj", "proj"),
    *norm("norm", "norm"),
    *linear("mlp/fc1", "mlp.fc1"),
    *linear("mlp/fc2", "mlp.fc2"),
)
_OPEN_CLIP_TEXT = (
    *leaf("token_embed", "token_embedding.weight"),
    *leaf("pos_embed", "positional_embedding"),
    *under(OPENAI_BLOCK, theirs="transformer."),
    *norm("norm", "ln_final"),
    *linear("projection", "text_projection"),
)
BESIDE = {
    "text": {"name": "siglip_text"},
    "head": {"name": "map_head", "logit_scale": True, "logit_bias": -10.0},
    "head_like_encoder": ("heads", "mlp_ratio", "eps", "activation"),
}

HUGGING_FACE = Layout(
    "siglip_huggingface",
    (
        *under(_IMAGE, ours=IMAGE, theirs="vision_model."),
        *under(_POOL, ours=HEAD, theirs="vision_model.head."),
        *under(_TEXT, ours=TEXT, theirs="text_model."),
        *leaf(HEAD + "unit/logit_scale", "logit_scale", transform=_NUMBER),
        *leaf(HEAD + "logit_bias", "logit_bias", transform=_NUMBER),
    ),
    drops=(r".*position_ids",),
    encoder=FIELDS,
    **BESIDE,
)
OPEN_CLIP = Layout(
    "siglip_open_clip",
    (
        *under(vit.TRUNK, ours=IMAGE, theirs="visual.trunk."),
        *under(_TIMM_POOL, ours=HEAD, theirs="visual.trunk.attn_pool."),
        *under(_OPEN_CLIP_TEXT, ours=TEXT, theirs="text."),
        *leaf(HEAD + "unit/logit_scale", "logit_scale", transform=_SCALAR),
        *leaf(HEAD + "logit_bias", "logit_bias", transform=_SCALAR),
    ),
    encoder=FIELDS | {"activation": "gelu"},
    **BESIDE,
)
# The image tower alone.
HUGGING_FACE_IMAGE = Layout(
    "siglip_image_huggingface",
    under(_IMAGE, ours=IMAGE),
    drops=(r".*position_ids", r"head\..*"),
    prefixes=("", "vision_model."),
    encoder=FIELDS,
)
TIMM = Layout(
    "siglip_timm",
    under(vit.TRUNK, ours=IMAGE),
    drops=(*vit.HEADS, r"attn_pool\..*"),
    prefixes=("", "visual.trunk.", "trunk."),
    encoder=FIELDS | {"activation": "gelu"},
)
LAYOUTS = (HUGGING_FACE, OPEN_CLIP, HUGGING_FACE_IMAGE, TIMM)
