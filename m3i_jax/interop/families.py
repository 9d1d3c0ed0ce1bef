"""transformers' model types that encoders of ours are: their keys, the defaults, our fields.

A key that is not in a config.json has the default of its class, so the tables have those, too.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from m3i_jax.build import ConfigError
from m3i_jax.interop.statement import (
    activation,
    count,
    counts,
    number,
    side,
    sides,
    truth,
    whole,
)


class Family(NamedTuple):
    """A model type.

    encoder: ours.
    fields: their key -> (our field, how to read it, their default).
    fixed: fields of ours that every such model has.
    only: their key -> the one value that we can be, also their default.
    harmless: further keys, of training, of heads, or seen in shapes.
    grid: key of the number of its positions, of images for which no size is said.
    """

    encoder: str
    fields: Mapping[str, tuple[str, Callable[[Any, str], Any], Any]]
    fixed: Mapping[str, Any] = {}
    only: Mapping[str, Any] = {}
    harmless: frozenset[str] = frozenset()
    grid: str = ""


def _layer_scale(value: Any, where: str) -> float | None:
    return None if value is None or value == 0 and value is not False else number(value, where)


def _not(value: Any, where: str) -> bool:
    return not truth(value, where)


def _table(value: Any, where: str) -> str:
    return "learned" if truth(value, where) else "none"


def _queries(value: Any, where: str) -> str | bool:
    return "qv" if truth(value, where) else False


def _kind_of_block(value: Any, where: str) -> str:
    if value not in ("bottleneck", "basic"):
        raise ConfigError(f"{where} is {value!r}, and our blocks are 'bottleneck' or 'basic'")
    return value


_VIT = {
    "hidden_size": ("width", count, 768),
    "num_hidden_layers": ("depth", count, 12),
    "num_attention_heads": ("heads", count, 12),
    "hidden_act": ("activation", activation, "gelu"),
    "layer_norm_eps": ("eps", number, 1e-12),
    "image_size": ("image", sides, 224),
    "patch_size": ("patch", side, 16),
    "qkv_bias": ("qkv_bias", truth, True),
}
_LEARNED = {"positions": "learned", "class_token": True}
TRAINING = frozenset(
    "hidden_dropout_prob attention_probs_dropout_prob attention_dropout drop_path_rate "
    "initializer_range initializer_factor encoder_stride pooler_output_size "
    "pooler_act vocab_size use_mask_token reshape_hidden_states apply_layernorm "
    "stage_names out_features out_indices projection_dim logit_scale_init_value norm_pix_loss "
    "mask_ratio decoder_num_attention_heads decoder_hidden_size decoder_num_hidden_layers "
    "decoder_intermediate_size pool_scales use_auxiliary_head auxiliary_loss_weight "
    "auxiliary_channels auxiliary_num_convs auxiliary_concat_input semantic_loss_ignore_index "
    "add_fpn hidden_sizes num_layers hidden_size".split()
)
BEIT = Family(
    "vit_b16",
    {key: x for key, x in _VIT.items() if key != "qkv_bias"}
    | {
        "use_absolute_position_embeddings": ("positions", _table, False),
        "layer_scale_init_value": ("layer_scale", _layer_scale, 0.1),
        "use_mean_pooling": ("final_norm", _not, True),
    },
    {"qkv_bias": "qv", "class_token": True},
    harmless=TRAINING | {"use_relative_position_bias", "use_shared_relative_position_bias"},
)
_CLIP_VISION = Family(
    "vit_b16",
    {key: x for key, x in _VIT.items() if key != "qkv_bias"}
    | {
        "hidden_act": ("activation", activation, "quick_gelu"),
        "layer_norm_eps": ("eps", number, 1e-5),
        "patch_size": ("patch", side, 32),
    },
    _LEARNED | {"patch_bias": False, "pre_norm": True},
    harmless=TRAINING,
)
_SIGLIP_VISION = Family(
    "vit_b16",
    _CLIP_VISION.fields
    | {
        "hidden_act": ("activation", activation, "gelu_pytorch_tanh"),
        "layer_norm_eps": ("eps", number, 1e-6),
        "patch_size": ("patch", side, 16),
    },
    _LEARNED | {"class_token": False},
    harmless=TRAINING | {"vision_use_head"},
)
_NAFLEX_VISION = Family(
    "vit_b16",
    {key: x for key, x in _SIGLIP_VISION.fields.items() if key != "image_size"},
    _SIGLIP_VISION.fixed,
    harmless=_SIGLIP_VISION.harmless,
    grid="num_patches",
)
_AIMV2_VISION = Family(
    "vit_b16",
    {
        "hidden_size": ("width", count, 1024),
        "num_hidden_layers": ("depth", count, 24),
        "num_attention_heads": ("heads", count, 8),
        "hidden_act": ("activation", activation, "silu"),
        "rms_norm_eps": ("eps", number, 1e-5),
        "image_size": ("image", sides, 224),
        "patch_size": ("patch", side, 14),
        "qkv_bias": ("qkv_bias", truth, False),
    },
    _LEARNED | dict(class_token=False, norm="rms", patch_norm=True, gated=True),
    # Its positions at native resolution are computed, columns first.
    {"is_native": False, "mlp_bias": False},
    TRAINING | {"use_head", "intermediate_size"},
)
_CLIP_TEXT = {
    "num_attention_heads": ("heads", count, 8),
    "hidden_act": ("activation", activation, "quick_gelu"),
    "layer_norm_eps": ("eps", number, 1e-5),
}
_SIGLIP_TEXT = {
    "num_attention_heads": ("heads", count, 12),
    "hidden_act": ("activation", activation, "gelu_pytorch_tanh"),
    "layer_norm_eps": ("eps", number, 1e-6),
}
_DINOV2 = Family(
    "vit_b16",
    _VIT
    | {
        "layer_norm_eps": ("eps", number, 1e-6),
        "patch_size": ("patch", side, 14),
        "mlp_ratio": ("mlp_ratio", number, 4),
        "layerscale_value": ("layer_scale", number, 1.0),
        "use_swiglu_ffn": ("gated", truth, False),
    },
    _LEARNED,
    harmless=TRAINING,
)
# Biases on queries and values or on neither (ViT-7B); what only training has is harmless.
_DINOV3 = Family(
    "vit_b16",
    {key: x for key, x in _VIT.items() if key not in ("qkv_bias", "hidden_size")}
    | {
        "hidden_size": ("width", count, 384),
        "num_attention_heads": ("heads", count, 6),
        "layer_norm_eps": ("eps", number, 1e-5),
        "layerscale_value": ("layer_scale", number, 1.0),
        "num_register_tokens": ("registers", whole, 0),
        "rope_theta": ("rope_base", number, 100.0),
        "use_gated_mlp": ("gated", truth, False),
        "query_bias": ("qkv_bias", _queries, True),
    },
    {"positions": "rope", "class_token": True},
    {"key_bias": False, "proj_bias": True, "mlp_bias": True},
    # A bias on values alone, or on queries alone, shows in the weights, which do not fit then.
    TRAINING | {"value_bias", "pos_embed_shift", "pos_embed_jitter", "pos_embed_rescale"},
)
_DINOV2_WITH_REGISTERS = _DINOV2._replace(
    fields=_DINOV2.fields
    | {"num_register_tokens": ("registers", whole, 4), "patch_size": ("patch", side, 16)}
)
FAMILIES: dict[str, Family] = {
    "vit": Family("vit_b16", _VIT, _LEARNED, harmless=TRAINING),
    "ijepa": Family("vit_b16", _VIT, _LEARNED | {"class_token": False}, harmless=TRAINING),
    "vit_msn": Family(
        "vit_b16",
        _VIT | {"layer_norm_eps": ("eps", number, 1e-6)},
        _LEARNED,
        harmless=TRAINING,
    ),
    "vit_mae": Family(
        "vit_b16", _VIT, {"positions": "sincos", "class_token": True}, harmless=TRAINING
    ),
    "dinov2": _DINOV2,
    "dinov3_vit": _DINOV3,
    "dinov2_with_registers": _DINOV2_WITH_REGISTERS,
    "beit": BEIT,
    "data2vec-vision": BEIT,
    "clip_vision_model": _CLIP_VISION,
    "siglip_vision_model": _SIGLIP_VISION,
    "siglip2_vision_model": _NAFLEX_VISION,
    "metaclip_2_vision_model": _CLIP_VISION,
    "aimv2_vision_model": _AIMV2_VISION,
    "swinv2": Family(
        "swin_v2_t",
        {
            "embed_dim": ("width", count, 96),
            "depths": ("depths", counts, [2, 2, 6, 2]),
            "num_heads": ("heads", counts, [3, 6, 12, 24]),
            "image_size": ("image", sides, 224),
            "patch_size": ("stride", side, 4),
            "window_size": ("window", side, 7),
            "pretrained_window_sizes": ("pretrained_window", counts, [0, 0, 0, 0]),
            "mlp_ratio": ("mlp_ratio", number, 4.0),
        },
        {"shift": True},
        {
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-5,
            "qkv_bias": True,
            "use_absolute_embeddings": False,
        },
        TRAINING,
    ),
    "resnet": Family(
        "resnet50",
        {
            "embedding_size": ("width", count, 64),
            "depths": ("depths", counts, [3, 4, 6, 3]),
            "layer_type": ("block", _kind_of_block, "bottleneck"),
        },
        {"stem": "imagenet"},
        {
            "hidden_act": "relu",
            "downsample_in_first_stage": False,
            "downsample_in_bottleneck": False,
        },
        TRAINING,
    ),
    "flava_image_codebook": Family(
        "dalle_encoder",
        {},
        harmless=TRAINING | {"num_groups", "input_channels", "num_blocks_per_group", "freeze"},
    ),
}
# Model types of images and texts: the images' family, and the fields of the text tower.
PAIRS = {
    "clip": (_CLIP_VISION, _CLIP_TEXT),
    "metaclip_2": (_CLIP_VISION, _CLIP_TEXT),
    "siglip": (_SIGLIP_VISION, _SIGLIP_TEXT),
    "siglip2": (_NAFLEX_VISION, _SIGLIP_TEXT),
}
