"""What transformers' config.json and preprocessor_config.json say of our encoders.

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
    channels,
    check_rest,
    count,
    counts,
    named,
    number,
    side,
    sides,
)
from m3i_jax.normalize import CHANNELS

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


def _as_is(value: Any, where: str) -> Any:
    return value


def _layer_scale(value: Any, where: str) -> float | None:
    return number(value, where) if value else None


def _relation(value: Any, where: str) -> bool:
    return not value


_VIT = {
    "hidden_size": ("width", count, 768),
    "num_hidden_layers": ("depth", count, 12),
    "num_attention_heads": ("heads", count, 12),
    "hidden_act": ("activation", activation, "gelu"),
    "layer_norm_eps": ("eps", number, 1e-12),
    "image_size": ("image", sides, 224),
    "patch_size": ("patch", side, 16),
    "qkv_bias": ("qkv_bias", _as_is, True),
}
_LEARNED = {"positions": "learned", "class_token": True}
_TRAINING = frozenset(
    "hidden_dropout_prob attention_probs_dropout_prob attention_dropout drop_path_rate "
    "initializer_range initializer_factor num_channels encoder_stride pooler_output_size "
    "pooler_act intermediate_size vocab_size use_mask_token reshape_hidden_states apply_layernorm "
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
        "use_absolute_position_embeddings": (
            "positions",
            lambda x, where: "learned" if x else "none",
            False,
        ),
        "layer_scale_init_value": ("layer_scale", _layer_scale, 0.1),
        "use_mean_pooling": ("final_norm", _relation, True),
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
_CLIP_TEXT = {
    "num_attention_heads": ("heads", count, 8),
    "hidden_act": ("activation", activation, "quick_gelu"),
    "layer_norm_eps": ("eps", number, 1e-5),
}
_DINOV2 = Family(
    "vit_b16",
    _VIT
    | {
        "layer_norm_eps": ("eps", number, 1e-6),
        "patch_size": ("patch", side, 14),
        "mlp_ratio": ("mlp_ratio", number, 4),
        "layerscale_value": ("layer_scale", number, 1.0),
    },
    _LEARNED,
    {"use_swiglu_ffn": False},
    _TRAINING,
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
    "beit": _BEIT,
    "data2vec-vision": _BEIT,
    "clip_vision_model": _CLIP_VISION,
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
            "layer_type": ("block", _as_is, "bottleneck"),
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
    kind = said.get("model_type")
    if not isinstance(kind, str) or "architecture" in said:
        return None
    if kind == "clip":
        parts = {key: said.get(f"{key}_config") or {} for key in ("vision", "text")}
        if not all(isinstance(part, dict) for part in parts.values()):
            raise ConfigError("config.json's vision_config and text_config are no objects")
        image = _stated(_CLIP_VISION, parts["vision"], WHERE + "vision_config.")
        return image._replace(text=_facts(_CLIP_TEXT, parts["text"], WHERE + "text_config."))
    if kind not in FAMILIES:
        raise ConfigError(
            f"config.json says that it is a '{kind}', which no layout of ours reads"
            f"{nearest(kind, [*FAMILIES, 'clip'])}"
        )
    stated = _stated(FAMILIES[kind], said, WHERE)
    if kind == "vit_mae":
        heads = count(said.get("decoder_num_attention_heads", 16), WHERE + "decoder heads")
        return stated._replace(decoders={"image": {"heads": heads}})
    return stated


def _stated(family: Family, said: Mapping[str, Any], where: str) -> Stated:
    for key, value in family.only.items():
        if said.get(key, value) != value:
            raise ConfigError(
                f"{where}{key} is {said[key]!r}, and our encoders of that kind have {value!r}"
            )
    rest = {key: x for key, x in said.items() if not ANYWHERE.fullmatch(key)}
    known = {*family.fields, *family.only, "mlp_ratio"}
    check_rest(rest, known, where.removesuffix("'s "), harmless=family.harmless)
    facts = _facts(family.fields, said, where)
    facts |= {field: Fact(x, where + "model_type") for field, x in family.fixed.items()}
    facts |= _mlp_ratio(said, where) | _relative_bias(family, said, where)
    grid = None
    if "image" in facts and "patch" in facts:
        grid = tuple(n // facts["patch"].value for n in facts["image"].value)
    return Stated(family.encoder, facts, grid=grid)


def _facts(fields, said, where) -> dict[str, Fact]:
    return {
        ours: Fact(read(said.get(theirs, default), where + theirs), where + theirs)
        for theirs, (ours, read, default) in fields.items()
    }


def _mlp_ratio(said, where):
    """The width of the hidden layer over that of the stream."""
    if "intermediate_size" not in said:
        return {}
    key = where + "intermediate_size"
    hidden = count(said["intermediate_size"], key)
    return {"mlp_ratio": Fact(hidden / count(said.get("hidden_size", 768), key), key)}


def _relative_bias(family, said, where):
    if family is not _BEIT:
        return {}
    kinds = {"layer": "use_relative_position_bias", "shared": "use_shared_relative_position_bias"}
    on = [kind for kind, key in kinds.items() if said.get(key)]
    if len(on) > 1:
        raise ConfigError(
            f"{where}{kinds['layer']} and {kinds['shared']} are both on; ours has one"
        )
    kind = on[0] if on else "none"
    return {"relative_bias": Fact(kind, where + kinds.get(kind, kinds["layer"]))}


def preprocessor(
    said: Mapping[str, Any], stated: Stated, *, where: str = "preprocessor_config.json's "
) -> Stated:
    """With the normalisation of a preprocessor_config.json.

    Raises:
      ConfigError: images that we cannot make.
    """
    if said.get("do_flip_channel_order"):
        raise ConfigError(f"{where}do_flip_channel_order is on; our images are red, green, blue")
    factor = said.get("rescale_factor", 1 / 255) if said.get("do_rescale", True) else 1.0
    scale = 255 * number(factor, where + "rescale_factor")
    pair = channels(0.0, 1.0, where + "rescale_factor", scale=scale)
    if said.get("do_normalize", True):
        if "image_mean" not in said or "image_std" not in said:
            return stated
        keys = where + "image_mean and image_std"
        pair = channels(said["image_mean"], said["image_std"], keys, scale=scale)
    fact = Fact(named(pair, CHANNELS), where + "image_mean and image_std")
    return stated.but(normalization=fact)._replace(notes=(*stated.notes, *_resizing(said, where)))


def processor(said: Mapping[str, Any], stated: Stated) -> Stated:
    """The same of the image processor in a processor_config.json."""
    inner = said.get("image_processor")
    if not isinstance(inner, dict):
        return stated
    return preprocessor(inner, stated, where="processor_config.json's image_processor.")


RESAMPLE = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}


def _resizing(said, where):
    """How its images were made of photographs, which evaluation does in its own way."""
    if not said.get("do_resize", False):
        return ()
    number_of = said.get("resample")
    how = RESAMPLE.get(number_of, "some way") if isinstance(number_of, int) else "some way"
    cut = f" and cut to {said.get('crop_size')}" if said.get("do_center_crop") else ""
    file = where.split(".json")[0] + ".json"
    return (f"{file}: images were resized ({how}) to {said.get('size')}{cut}",)
