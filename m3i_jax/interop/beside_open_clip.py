"""What open_clip_config.json says of towers: CLIP's own, and SigLIP's, whose images are timm's."""

from collections.abc import Mapping
from typing import Any

from m3i_jax.build import ConfigError
from m3i_jax.interop import beside_timm, files
from m3i_jax.interop.statement import (
    Fact,
    Stated,
    channels,
    check_rest,
    count,
    named,
    number,
    side,
    sides,
    truth,
)
from m3i_jax.normalize import CHANNELS

WHERE = files.OPEN_CLIP_CONFIG + "'s "
CONFIG = WHERE + "model_cfg."
VISION, TEXT = CONFIG + "vision_cfg.", CONFIG + "text_cfg."
# What ours are, and what is meant where nothing is said.
_CLIPS = {"pool_type": ("tok", "tok"), "pos_embed_type": ("learnable", "learnable")}
_SIGLIPS = {"timm_pool": ("map", "avg"), "timm_proj": ("none", "linear")}
_SIGLIPS_TEXT = {
    "no_causal_mask": (True, False),
    "proj_bias": (True, False),
    "pool_type": ("last", "argmax"),
}
# Of tokens, or parameters and so seen.
_HARMLESS = frozenset(
    "context_length vocab_size width layers mlp_ratio hf_tokenizer_name tokenizer_kwargs "
    "output_tokens".split()
)


def model(said: Mapping[str, Any], stated: Stated) -> Stated:
    """With what an open_clip_config.json says.

    Raises:
      ConfigError: a tower that no encoder of ours is.
    """
    config, images = said.get("model_cfg") or {}, said.get("preprocess_cfg") or {}
    tower = config.get("vision_cfg") if isinstance(config, dict) else None
    if not isinstance(tower, dict) or not isinstance(images, dict):
        raise ConfigError(f"{files.OPEN_CLIP_CONFIG} has no model_cfg.vision_cfg, or no object")
    if images.get("mode", "RGB") != "RGB":
        raise ConfigError(f"{WHERE}preprocess_cfg.mode is {images['mode']!r}, and ours is 'RGB'")
    if "timm_model_name" in tower:
        facts, text = _of_timm(tower), _text(config.get("text_cfg") or {})
    else:
        facts, text = _of_clip(tower, config), stated.text
    key = WHERE + "preprocess_cfg"
    # Each has a default of its own.
    pair = [images.get(n) or x for n, x in zip(("mean", "std"), CHANNELS["clip"], strict=True)]
    facts["normalization"] = Fact(named(channels(*pair, key), CHANNELS), key)
    grid = tuple(n // facts["patch"].value for n in facts["image"].value)
    return Stated("vit_b16", {**stated.image, **facts}, text, grid=grid, notes=_resizing(images))


def _resizing(images: Mapping[str, Any]) -> tuple[str, ...]:
    """What its images were that evaluation, which keeps their shape, does in its own way."""
    mode = images.get("resize_mode")
    if mode in (None, "shortest"):
        return ()
    return (f"{files.OPEN_CLIP_CONFIG}: images were resized ({mode}), here their middle is cut",)


def _of_clip(tower: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Fact]:
    """The facts of a vision tower of CLIP's own."""
    if not isinstance(tower.get("layers"), int):
        raise ConfigError(f"{VISION[:-1]} is no Vision Transformer of CLIP's own")
    _require(tower, _CLIPS, VISION)
    read = {
        "width": ("width", count, 768),
        "layers": ("depth", count, 12),
        "image_size": ("image", sides, 224),
        "patch_size": ("patch", side, 16),
        "mlp_ratio": ("mlp_ratio", number, 4.0),
    }
    head = count(tower.get("head_width", 64), VISION + "head_width")
    bare = truth(tower.get("no_ln_pre", False), VISION + "no_ln_pre")
    known = {*read, *_CLIPS, "head_width", "no_ln_pre"}
    harmless = {"patch_dropout", "ls_init_value", "output_tokens"}
    check_rest(tower, known, VISION[:-1], harmless=harmless)
    facts = {
        field: Fact(reader(tower.get(name, default), VISION + name), VISION + name)
        for name, (field, reader, default) in read.items()
    }
    width = facts["width"].value
    if width % head:
        raise ConfigError(f"{VISION}head_width is {head}, which does not divide the width {width}")
    fixed = {"eps": 1e-5, "positions": "learned", "patch_bias": False, "pre_norm": not bare}
    facts |= {field: Fact(x, VISION[:-1]) for field, x in fixed.items()}
    key = CONFIG + "quick_gelu"
    quick = truth(config.get("quick_gelu", False), key)
    facts["activation"] = Fact("quick_gelu" if quick else "gelu", key)
    return facts | {"heads": Fact(width // head, VISION + "head_width")}


def _of_timm(tower: Mapping[str, Any]) -> dict[str, Fact]:
    """The facts of a vision tower of timm's that is pooled as SigLIP's is."""
    key, name = VISION + "timm_model_name", tower["timm_model_name"]
    if not isinstance(name, str):
        raise ConfigError(f"{key} is {name!r}, expected a name of timm's")
    _require(tower, _SIGLIPS, VISION)
    known = {"timm_model_name", "image_size", *_SIGLIPS}
    check_rest(tower, known, VISION[:-1], harmless={"timm_model_pretrained"})
    facts = dict(beside_timm.architecture(name, {}, key=key).image)
    if "patch" not in facts:
        raise ConfigError(f"{key} is {name!r}, which is no Vision Transformer")
    image = sides(tower.get("image_size", 224), VISION + "image_size")
    return facts | {"image": Fact(image, VISION + "image_size")}


def _text(tower: Any) -> dict[str, Fact]:
    """The facts of a text tower of SigLIP's."""
    if not isinstance(tower, dict):
        raise ConfigError(f"{TEXT[:-1]} is {tower!r}, expected an object")
    _require(tower, _SIGLIPS_TEXT, TEXT)
    known = {*_SIGLIPS_TEXT, "heads", "norm_kwargs", "act_kwargs"}
    check_rest(tower, known, TEXT[:-1], harmless=_HARMLESS)
    norm, act = (_options(tower, name) for name in ("norm_kwargs", "act_kwargs"))
    check_rest(norm, {"eps"}, TEXT + "norm_kwargs")
    kinds = {None: "gelu", "none": "gelu", "tanh": "gelu_tanh"}
    kind = act.get("approximate")
    check_rest(act, {"approximate"}, TEXT + "act_kwargs")
    if not (kind is None or isinstance(kind, str)) or kind not in kinds:
        raise ConfigError(f"{TEXT}act_kwargs.approximate is {kind!r}, expected 'tanh' or 'none'")
    return {
        "heads": Fact(count(tower.get("heads", 8), TEXT + "heads"), TEXT + "heads"),
        "eps": Fact(number(norm.get("eps", 1e-5), TEXT + "norm_kwargs.eps"), TEXT + "norm_kwargs"),
        "activation": Fact(kinds[kind], TEXT + "act_kwargs"),
    }


def _options(tower: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    options = tower.get(name) or {}
    if not isinstance(options, dict):
        raise ConfigError(f"{TEXT}{name} is {options!r}, expected an object")
    return options


def _require(said: Mapping[str, Any], only: Mapping[str, tuple[Any, Any]], where: str) -> None:
    """Refuses another value than ours; only: ours by key, and what is meant without it."""
    for name, (ours, default) in only.items():
        if said.get(name, default) != ours:
            raise ConfigError(f"{where}{name} is {said.get(name, default)!r}, and ours is {ours!r}")
