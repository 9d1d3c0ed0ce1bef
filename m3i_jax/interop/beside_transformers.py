"""What transformers' config.json says of our encoders."""

import math
import re
from collections.abc import Mapping
from typing import Any

from m3i_jax.build import ConfigError, nearest
from m3i_jax.interop.families import BEIT, FAMILIES, PAIRS, TRAINING, Family
from m3i_jax.interop.statement import (
    Fact,
    Stated,
    check_rest,
    count,
    image_channels,
    number,
    truth,
)
from m3i_jax.ranges import shown

WHERE = "config.json's "
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
    "DINOv3ViT": "dinov3_vit",
    "Dinov2WithRegisters": "dinov2_with_registers",
    "Beit": "beit",
    "Data2VecVision": "data2vec-vision",
    "CLIP": "clip",
    "CLIPVision": "clip_vision_model",
    "Siglip": "siglip",
    "SiglipVision": "siglip_vision_model",
    "Siglip2": "siglip2",
    "Siglip2Vision": "siglip2_vision_model",
    "MetaClip2": "metaclip_2",
    "MetaClip2Vision": "metaclip_2_vision_model",
    "Aimv2Vision": "aimv2_vision_model",
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


def _check_keys(said: Mapping[str, Any], known: Any, where: str, harmless: Any = TRAINING) -> None:
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
    known = {*family.fields, *family.only, channels_key, family.grid, *(_HIDDEN if hidden else ())}
    _check_keys(said, known, where, family.harmless)
    facts = _facts(family.fields, said, where)
    facts |= {field: Fact(x, where + "model_type") for field, x in family.fixed.items()}
    facts |= hidden | _relative_bias(family, said, where)
    if "use_swiglu_ffn" in family.fields and facts["gated"].value:
        width, key = facts["width"].value, where + "use_swiglu_ffn"
        ratio = swiglu_width(int(width * said.get("mlp_ratio", 4))) / width
        facts |= {"activation": Fact("silu", key), "mlp_ratio": Fact(ratio, key)}
    grid, notes = None, ()
    if family.grid:
        (cells, key), patch = _square(said, family.grid, where), facts["patch"].value
        facts["image"], notes = Fact((cells * patch, cells * patch), key), (_NAFLEX,)
    if "image" in facts and "patch" in facts:
        grid = tuple(n // facts["patch"].value for n in facts["image"].value)
    seen = Fact(seen, where + channels_key)
    return Stated(family.encoder, facts, grid=grid, channels=seen, notes=notes)


_NAFLEX = (
    "SigLIP 2's NaFlex form: the same as theirs of images with as many rows and columns of patches "
    "as it has positions; for others theirs are resampled in another way"
)


def _square(said: Mapping[str, Any], key: str, where: str) -> Fact:
    """How many cells a side has of the square that so many positions make."""
    number = count(said.get(key, 256), where + key)
    if math.isqrt(number) ** 2 != number:
        raise ConfigError(f"{where}{key} is {number}, and positions of ours are those of squares")
    return Fact(math.isqrt(number), where + key)


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
    usual = family.fields["hidden_size"][2]
    width = count(said.get("hidden_size", usual), where + "hidden_size")
    own = "mlp_ratio" if "mlp_ratio" in family.fields else "intermediate_size"
    ratio_of = {
        "mlp_ratio": lambda key: number(said.get(key, 4), where + key),
        "intermediate_size": lambda key: count(said.get(key, 4 * usual), where + key) / width,
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
    if family is not BEIT:
        return {}
    kinds = {"layer": "use_relative_position_bias", "shared": "use_shared_relative_position_bias"}
    on = [kind for kind, key in kinds.items() if truth(said.get(key, False), where + key)]
    if len(on) > 1:
        raise ConfigError(
            f"{where}{kinds['layer']} and {kinds['shared']} are both on; ours has one"
        )
    kind = on[0] if on else "none"
    return {"relative_bias": Fact(kind, where + kinds.get(kind, kinds["layer"]))}
