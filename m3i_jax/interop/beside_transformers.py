"""What transformers' config.json says of our encoders.

A key that is not in the file has the default of its class, so the tables have those, too.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from m3i_jax.build import ConfigError, nearest
from m3i_jax.interop.statement import (
    Fact,
    Stated,
    activation,
    check_rest,
    count,
    counts,
    image_channels,
    number,
    side,
    sides,
    truth,
    whole,
)
from m3i_jax.ranges import shown

WHERE = "config.json's "


class Family(NamedTuple):
    """A model type.

    encoder: ours.
    fields: their key -> (our field, how to read it, their default).
    fixed: fields of ours that every such model has.
    only: their key -> the one value that we can be, also their default.
    harmless: further keys, of training, of heads, or seen in shapes.
    """

    encoder: str
    fields: Mapping[str, tuple[str, Callable[[Any, str], Any], Any]]
    fixed: Mapping[str, Any] = {}
    only: Mapping[str, Any] = {}
    harmless: frozenset[str] = frozenset()


def _layer_scale(value: Any, where: str) -> float | None:
    return None if value is None or value == 0 and value is not False else number(value, where)


def _not(value: Any, where: str) -> bool:
    return not truth(value, where)


def _table(value: Any, where: str) -> str:
    return "learned" if truth(value, where) else "none"


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
_TRAINING = frozenset(
    "hidden_dropout_prob attention_probs_dropout_prob attention_dropout drop_path_rate "
    "initializer_range initializer_factor encoder_stride pooler_output_size "
    "pooler_act vocab_size use_mask_token reshape_hidden_states apply_layernorm "
    "stage_names out_features out_indices projection_dim logit_scale_init_value norm_pix_loss "
    "mask_ratio decoder_num_attention_heads decoder_hidden_size decoder_num_hidden_layers "
    "decoder_intermediate_size pool_scales use_auxiliary_head auxiliary_loss_weight "
    "auxiliary_channels auxiliary_num_convs auxiliary_concat_input semantic_loss_ignore_index "
    "add_fpn hidden_sizes num_layers hidden_size".split()
)
_BEIT = Family(
    "vit_b16",
    {key: x for key, x in _VIT.items() if key != "qkv_bias"}
    | {
        "use_absolute_position_embeddings": ("positions", _table, False),
        "layer_scale_init_value": ("layer_scale", _layer_scale, 0.1),
        "use_mean_pooling": ("final_norm", _not, True),
    },
    {"qkv_bias": "qv", "class_token": True},
    harmless=_TRAINING | {"use_relative_position_bias", "use_shared_relative_position_bias"},
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
    harmless=_TRAINING,
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
    harmless=_TRAINING | {"vision_use_head"},
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
    harmless=_TRAINING,
)
_DINOV2_WITH_REGISTERS = _DINOV2._replace(
    fields=_DINOV2.fields | {"num_register_tokens": ("registers", whole, 4)}
)
FAMILIES: dict[str, Family] = {
    "vit": Family("vit_b16", _VIT, _LEARNED, harmless=_TRAINING),
    "ijepa": Family("vit_b16", _VIT, _LEARNED | {"class_token": False}, harmless=_TRAINING),
    "vit_msn": Family(
        "vit_b16",
        _VIT | {"layer_norm_eps": ("eps", number, 1e-6)},
        _LEARNED,
        harmless=_TRAINING,
    ),
    "vit_mae": Family(
        "vit_b16", _VIT, {"positions": "sincos", "class_token": True}, harmless=_TRAINING
    ),
    "dinov2": _DINOV2,
    "dinov2_with_registers": _DINOV2_WITH_REGISTERS,
    "beit": _BEIT,
    "data2vec-vision": _BEIT,
    "clip_vision_model": _CLIP_VISION,
    "siglip_vision_model": _SIGLIP_VISION,
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
        _TRAINING,
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
        _TRAINING,
    ),
    "flava_image_codebook": Family(
        "dalle_encoder",
        {},
        harmless=_TRAINING | {"num_groups", "input_channels", "num_blocks_per_group", "freeze"},
    ),
}
# Model types of images and texts: the images' family, and the fields of the text tower.
PAIRS = {"clip": (_CLIP_VISION, _CLIP_TEXT), "siglip": (_SIGLIP_VISION, _SIGLIP_TEXT)}
# What every config of theirs may have, some from years ago; none of it changes an image's code.
ANYWHERE = re.compile(
    r"_.*|architectures|model_type|transformers_version|torch_dtype|dtype|id2label|label2id|"
    r"num_labels|problem_type|return_dict.*|output_.*|torchscript|use_bfloat16|tf_legacy_loss|"
    r"is_(encoder_)?decoder|is_composition|add_cross_attention|cross_attention_hidden_size|tie_.*|"
    r"chunk_size_feed_forward|finetuning_task|task_specific_params|tokenizer_class|prefix|.*token_id|"
    r"max_length|min_length|do_sample|early_stopping|num_beams|num_beam_groups|diversity_penalty|"
    r"temperature|top_k|top_p|typical_p|repetition_penalty|length_penalty|no_repeat_ngram_size|"
    r"encoder_no_repeat_ngram_size|bad_words_ids|num_return_sequences|remove_invalid_values|"
    r"exponential_decay_length_penalty|suppress_tokens|begin_suppress_tokens|use_cache|"
    r"label_smoothing|dropout|m3i_jax"
)


def model(said: Mapping[str, Any]) -> Stated | None:
    """The facts of a config.json of transformers; None where it is none.

    Raises:
      ConfigError: a model type, or an option of it, that no encoder of ours is.
    """
    kind = None if "architecture" in said else _kind(said)
    if kind is None:
        return None
    if kind in PAIRS:
        return _pair(said, *PAIRS[kind])
    if kind not in FAMILIES:
        raise ConfigError(
            # What a file says of itself is no slip: no other one is meant.
            f"config.json says that it is a {shown(kind)}, which no layout of ours reads"
            f"{nearest('', [*FAMILIES, *PAIRS])}"
        )
    stated = _stated(FAMILIES[kind], said, WHERE)
    if kind == "vit_mae":
        heads = count(said.get("decoder_num_attention_heads", 16), WHERE + "decoder heads")
        return stated._replace(decoders={"image": {"heads": heads}})
    return stated


def _kind(said: Mapping[str, Any]) -> str | None:
    """The model type, or that of the class where a file names only a class."""
    kind, classes = said.get("model_type"), said.get("architectures")
    if kind is not None:
        if not isinstance(kind, str):
            raise ConfigError(f"{WHERE}model_type is {kind!r}, expected a name of transformers'")
        return kind
    if classes is None or classes == []:
        return None
    named = isinstance(classes, list) and all(isinstance(name, str) for name in classes)
    matches = [_CLASS.fullmatch(name) for name in classes] if named else []
    kinds = {match[1] for match in matches if match}
    if len(kinds) != 1 or not kinds <= CLASSES.keys():
        raise ConfigError(
            f"{WHERE}architectures is {classes!r} and model_type is missing; expected a "
            f"model_type, or one class of {', '.join(CLASSES)}"
        )
    return CLASSES[kinds.pop()]


# Classes of transformers without what they are for, such as Model or ForImageClassification.
_CLASS = re.compile(r"([A-Za-z0-9]+?)(?:(?:Model|For|Backbone|PreTrained).*)?")
CLASSES = {
    "ViT": "vit",
    "IJepa": "ijepa",
    "ViTMSN": "vit_msn",
    "ViTMAE": "vit_mae",
    "Dinov2": "dinov2",
    "Dinov2WithRegisters": "dinov2_with_registers",
    "Beit": "beit",
    "Data2VecVision": "data2vec-vision",
    "CLIP": "clip",
    "CLIPVision": "clip_vision_model",
    "Siglip": "siglip",
    "SiglipVision": "siglip_vision_model",
    "Swinv2": "swinv2",
    "ResNet": "resnet",
    "FlavaImageCodebook": "flava_image_codebook",
}


def _pair(said: Mapping[str, Any], vision: Family, text: Mapping[str, Any]) -> Stated:
    parts = {}
    for name in ("vision", "text"):
        # Where there is a `_dict`, as in files of before 2023, it is over the other.
        for key in (f"{name}_config", f"{name}_config_dict"):
            part = said.get(key) or {}
            if not isinstance(part, dict):
                raise ConfigError(f"{WHERE}{key} is {part!r}, expected an object")
            parts[name] = {**parts.get(name, {}), **part}
    _check_keys(said, {f"{n}_config{x}" for n in parts for x in ("", "_dict")}, WHERE)
    seen = (
        "hidden_size intermediate_size num_hidden_layers max_position_embeddings projection_size"
    ).split()
    _check_keys(parts["text"], {*text, *seen}, WHERE + "text_config.")
    image = _stated(vision, parts["vision"], WHERE + "vision_config.")
    return image._replace(text=_facts(text, parts["text"], WHERE + "text_config."))


def _check_keys(said: Mapping[str, Any], known: Any, where: str, harmless: Any = _TRAINING) -> None:
    rest = {key: x for key, x in said.items() if not ANYWHERE.fullmatch(key)}
    check_rest(rest, known, where.removesuffix("'s ").removesuffix("."), harmless=harmless)


def _stated(family: Family, said: Mapping[str, Any], where: str) -> Stated:
    for key, value in family.only.items():
        if said.get(key, value) != value:
            raise ConfigError(
                f"{where}{key} is {said[key]!r}, and our encoders of that kind have {value!r}"
            )
    channels_key = "input_channels" if family.encoder == "dalle_encoder" else "num_channels"
    seen = image_channels(said.get(channels_key, 3), where + channels_key)
    hidden = _mlp_ratio(family, said, where)
    known = {*family.fields, *family.only, channels_key, *(_HIDDEN if hidden else ())}
    _check_keys(said, known, where, family.harmless)
    facts = _facts(family.fields, said, where)
    facts |= {field: Fact(x, where + "model_type") for field, x in family.fixed.items()}
    facts |= hidden | _relative_bias(family, said, where)
    if "gated" in facts and facts["gated"].value:
        width, key = facts["width"].value, where + "use_swiglu_ffn"
        ratio = swiglu_width(int(width * said.get("mlp_ratio", 4))) / width
        facts |= {"activation": Fact("silu", key), "mlp_ratio": Fact(ratio, key)}
    grid = None
    if "image" in facts and "patch" in facts:
        grid = tuple(n // facts["patch"].value for n in facts["image"].value)
    return Stated(family.encoder, facts, grid=grid, channels=Fact(seen, where + channels_key))


def swiglu_width(hidden: int) -> int:
    """DINOv2's width of a gated layer in the place of one of `hidden`: two thirds, in eights."""
    return (int(hidden * 2 / 3) + 7) // 8 * 8


def dinov2_ratio(hidden: int, width: int, *, gated: bool) -> int:
    """DINOv2's mlp_ratio of a hidden layer, which is whole.

    Raises:
      ConfigError: no such ratio makes that layer.
    """
    of = swiglu_width if gated else lambda x: x
    ratio = next((r for r in range(1, 2 + 2 * hidden // width) if of(r * width) == hidden), None)
    if ratio is None:
        raise ConfigError(
            f"transformers' 'dinov2' has a whole mlp_ratio, not {hidden / width:.3g}"
            + ", of which SwiGLU has two thirds, in multiples of 8" * gated
        )
    return ratio


def _facts(fields, said, where) -> dict[str, Fact]:
    return {
        ours: Fact(read(said.get(theirs, default), where + theirs), where + theirs)
        for theirs, (ours, read, default) in fields.items()
    }


_HIDDEN = ("intermediate_size", "mlp_ratio")


def _mlp_ratio(family: Family, said: Mapping[str, Any], where: str) -> dict[str, Fact]:
    """The width of the hidden layer over that of the stream; {} of what has no stream of one width.

    Some classes have the one key and some the other; what both say has to agree.
    """
    if "hidden_size" not in family.fields:
        return {}
    width = count(said.get("hidden_size", 768), where + "hidden_size")
    own = "mlp_ratio" if "mlp_ratio" in family.fields else "intermediate_size"
    ratio_of = {
        "mlp_ratio": lambda key: number(said.get(key, 4), where + key),
        "intermediate_size": lambda key: count(said.get(key, 3072), where + key) / width,
    }
    ratio = ratio_of[own](own)
    for key in _HIDDEN:
        if said.get(key) is not None and abs(ratio_of[key](key) - ratio) > 0.5 / width:
            raise ConfigError(
                f"{where}{key} is {said[key]!r}, but its model takes {own}, which makes "
                f"{round(ratio * width)} of {width}"
            )
    return {"mlp_ratio": Fact(ratio, where + own)}


def _relative_bias(family, said, where):
    if family is not _BEIT:
        return {}
    kinds = {"layer": "use_relative_position_bias", "shared": "use_shared_relative_position_bias"}
    on = [kind for kind, key in kinds.items() if truth(said.get(key, False), where + key)]
    if len(on) > 1:
        raise ConfigError(
            f"{where}{kinds['layer']} and {kinds['shared']} are both on; ours has one"
        )
    kind = on[0] if on else "none"
    return {"relative_bias": Fact(kind, where + kinds.get(kind, kinds["layer"]))}
