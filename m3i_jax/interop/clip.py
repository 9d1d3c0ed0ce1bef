"""Tables of CLIP: the names of OpenAI and open_clip, and those of Hugging Face.

Both towers and the two projections. The image projection and the temperature are the decoder
`text` of our method, and a frozen teacher's head.
"""

from m3i_jax.interop.parts import (
    PATCHES,
    SAME,
    TABLE,
    TOKEN,
    TRANSPOSED,
    leaf,
    linear,
    norm,
    separate,
)
from m3i_jax.interop.rename import Layout, Rule, under

IMAGE, TEXT, HEAD = "encoders/image/", "encoders/text/", "decoders/text/"
FIELDS = {
    "positions": "learned",
    "patch_bias": False,
    "pre_norm": True,
    "eps": 1e-5,
    "activation": "quick_gelu",
    "normalization": "clip",
}
BESIDE = {
    "text": {"name": "clip_text"},
    "head": {"name": "linear", "pool": "class", "bias": False, "logit_scale": True},
}

OPENAI_BLOCK = under(
    (
        *norm("norm1", "ln_1"),
        *leaf("attn/qkv/kernel", "attn.in_proj_weight", transform=TRANSPOSED),
        *leaf("attn/qkv/bias", "attn.in_proj_bias"),
        *linear("attn/proj", "attn.out_proj"),
        *leaf("ls1/gamma", "ls_1.gamma"),
        *norm("norm2", "ln_2"),
        *linear("mlp/fc1", "mlp.c_fc"),
        *linear("mlp/fc2", "mlp.c_proj"),
        *leaf("ls2/gamma", "ls_2.gamma"),
    ),
    ours="blocks/",
    theirs="resblocks.{b}.",
)
_OPENAI_IMAGE = (
    *leaf("cls_token", "class_embedding", transform=TOKEN),
    *leaf("pos_embed", "positional_embedding", transform=TABLE),
    *leaf("patch_embed/kernel", "conv1.weight", transform=PATCHES),
    *norm("norm_pre", "ln_pre"),
    *under(OPENAI_BLOCK, theirs="transformer."),
    *norm("norm", "ln_post"),
)
_OPENAI_TEXT = (
    *leaf("token_embed", "token_embedding.weight"),
    *leaf("pos_embed", "positional_embedding"),
    *under(OPENAI_BLOCK, theirs="transformer."),
    *norm("norm", "ln_final"),
    *leaf("projection/kernel", "text_projection"),
)

HUGGING_FACE_BLOCK = under(
    (
        *norm("norm1", "layer_norm1"),
        *separate("attn", "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        *linear("attn/proj", "self_attn.out_proj"),
        *norm("norm2", "layer_norm2"),
        *linear("mlp/fc1", "mlp.fc1"),
        *linear("mlp/fc2", "mlp.fc2"),
    ),
    ours="blocks/",
    theirs="encoder.layers.{b}.",
)
_HUGGING_FACE_IMAGE = (
    *leaf("cls_token", "embeddings.class_embedding", transform=TOKEN),
    *leaf("pos_embed", "embeddings.position_embedding.weight", transform=TABLE),
    *leaf("patch_embed/kernel", "embeddings.patch_embedding.weight", transform=PATCHES),
    *norm("norm_pre", "pre_layrnorm"),
    *HUGGING_FACE_BLOCK,
    *norm("norm", "post_layernorm"),
)
_HUGGING_FACE_TEXT = (
    *leaf("token_embed", "embeddings.token_embedding.weight"),
    *leaf("pos_embed", "embeddings.position_embedding.weight"),
    *HUGGING_FACE_BLOCK,
    *norm("norm", "final_layer_norm"),
)


def _both(image, text, projection, transform) -> tuple[Rule, ...]:
    """Rules of both towers, each with the prefix that is in front of it, and of the heads."""
    return (
        *under(image[1], ours=IMAGE, theirs=image[0]),
        *under(text[1], ours=TEXT, theirs=text[0]),
        *leaf(HEAD + "head/kernel", projection, transform=transform),
        *leaf(HEAD + "unit/logit_scale", "logit_scale"),
    )


OPENAI = Layout(
    "clip",
    _both(("visual.", _OPENAI_IMAGE), ("", _OPENAI_TEXT), "visual.proj", SAME),
    drops=("attn_mask", "input_resolution", "context_length", "vocab_size"),
    encoder=FIELDS,
    **BESIDE,
)
HUGGING_FACE = Layout(
    "clip_huggingface",
    (
        *_both(
            ("vision_model.", _HUGGING_FACE_IMAGE),
            ("text_model.", _HUGGING_FACE_TEXT),
            "visual_projection.weight",
            TRANSPOSED,
        ),
        *leaf(TEXT + "projection/kernel", "text_projection.weight", transform=TRANSPOSED),
    ),
    drops=(r".*position_ids",),
    encoder=FIELDS,
    **BESIDE,
)
# The image tower alone.
OPENAI_IMAGE = Layout(
    "clip_image",
    under(_OPENAI_IMAGE, ours=IMAGE) + leaf(HEAD + "head/kernel", "proj"),
    prefixes=("", "visual."),
    encoder=FIELDS,
)
HUGGING_FACE_IMAGE = Layout(
    "clip_image_huggingface",
    under(_HUGGING_FACE_IMAGE, ours=IMAGE),
    drops=(r".*position_ids",),
    prefixes=("", "vision_model."),
    encoder=FIELDS,
)
LAYOUTS = (OPENAI, HUGGING_FACE, OPENAI_IMAGE, HUGGING_FACE_IMAGE)
