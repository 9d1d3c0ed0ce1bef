"""What timm's config.json and open_clip's say of our encoders.

A name of timm's stands for a function with arguments of its own; the tables have those that no
shape of a parameter tells, and `model_args` are over them.
"""

import re
from collections.abc import Mapping
from typing import Any

from m3i_jax.build import ConfigError
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
EPS = 1e-6  # of timm's own layer norm
HEADS = {"tiny": 3, "small": 6, "base": 12, "large": 16, "huge": 16}
SWIN_HEADS = {
    "tiny": (3, 6, 12, 24),
    "small": (3, 6, 12, 24),
    "base": (4, 8, 16, 32),
    "large": (6, 12, 24, 48),
}
_VIT = re.compile(
    r"(?:vit|deit3?|flexivit|beit(?:v2)?)_(tiny|small|base|large|huge)(?!.*plus)(_.*)?"
)
_SWIN = re.compile(r"swinv2_(tiny|small|base|large)_window(\d+)(?:to(\d+))?_\d+(?:to\d+)?")
_RESNET = re.compile(r"resnet(18|34|50|101|152)")
DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3),
          152: (3, 8, 36, 3)}  # fmt: skip
_FIELDS = {
    "num_heads": ("heads", count),
    "act_layer": ("activation", activation),
    "img_size": ("image", sides),
    "patch_size": ("patch", side),
    "embed_dim": ("width", count),
    "depth": ("depth", count),
    "mlp_ratio": ("mlp_ratio", number),
}
_SWIN_FIELDS = {
    "num_heads": ("heads", counts),
    "img_size": ("image", sides),
    "patch_size": ("stride", side),
    "embed_dim": ("width", count),
    "depths": ("depths", counts),
    "mlp_ratio": ("mlp_ratio", number),
    "window_size": ("window", lambda x, where: side(x, where)),
    "pretrained_window_sizes": ("pretrained_window", counts),
}
# Of training and of heads, or parameters and so seen.
_HARMLESS = frozenset(
    "num_classes in_chans global_pool fc_norm use_fc_norm drop_rate pos_drop_rate patch_drop_rate "
    "proj_drop_rate attn_drop_rate drop_path_rate drop_block_rate weight_init fix_init "
    "head_init_scale dynamic_img_size dynamic_img_pad strict_img_size pool_include_prefix "
    "class_token pre_norm final_norm init_values qkv_bias no_embed_class zero_init_last "
    "use_abs_pos_emb use_rel_pos_bias use_shared_rel_pos_bias channels "
    "pretrained_window_size".split()
)
_ONLY = {"norm_layer": ("layernorm",), "pos_embed": ("learn", "none", ""), "proj_bias": (True,)}


def model(said: Mapping[str, Any]) -> Stated | None:
    """The facts of a config.json of timm; None where it is none.

    Raises:
      ConfigError: an architecture, or an argument of it, that no encoder of ours is.
    """
    name = said.get("architecture")
    if not isinstance(name, str):
        return None
    arguments, pretrained = said.get("model_args") or {}, said.get("pretrained_cfg") or said
    if not isinstance(arguments, dict) or not isinstance(pretrained, dict):
        raise ConfigError("config.json's model_args and pretrained_cfg are no objects")
    stated = _architecture(name, arguments)
    size = pretrained.get("input_size")
    if "image" not in stated.image and isinstance(size, list) and len(size) == 3:
        key = WHERE + "pretrained_cfg.input_size"
        stated = stated.but(image=Fact(sides(size[1:], key), key))
    if "mean" in pretrained and "std" in pretrained:
        key = WHERE + "pretrained_cfg.mean and std"
        pair = channels(pretrained["mean"], pretrained["std"], key)
        stated = stated.but(normalization=Fact(named(pair, CHANNELS), key))
    stated = stated._replace(notes=_resizing(pretrained))
    facts = stated.image
    if "image" in facts and "patch" in facts:
        grid = tuple(n // facts["patch"].value for n in facts["image"].value)
        return stated._replace(grid=grid)
    return stated


def _resizing(pretrained: Mapping[str, Any]) -> tuple[str, ...]:
    """How its images were made of photographs, which evaluation does in its own way."""
    how, share = pretrained.get("interpolation"), pretrained.get("crop_pct")
    if how is None and share is None:
        return ()
    return (f"config.json: images were resized ({how or 'some way'}), a share of {share} kept",)


def _architecture(name: str, arguments: Mapping[str, Any]) -> Stated:
    """The facts that a name and its arguments say."""
    where = f"{WHERE}architecture '{name}'"
    name = name.split(".")[0]
    for key, allowed in _ONLY.items():
        if arguments.get(key) is not None and arguments[key] not in allowed:
            raise ConfigError(
                f"{WHERE}model_args.{key} is {arguments[key]!r}, and ours is {allowed[0]!r}"
            )
    if match := _VIT.fullmatch(name):
        facts = _vit(match[1], match[2] or "", where)
        fields, encoder = _FIELDS, "vit_b16"
    elif match := _SWIN.fullmatch(name):
        facts = _swin(match[1], int(match[2]), match[3], where)
        fields, encoder = _SWIN_FIELDS, f"swin_v2_{match[1][0]}"
    elif match := _RESNET.fullmatch(name):
        facts, fields = _resnet(int(match[1]), where), {"layers": ("depths", counts)}
        encoder = "resnet50" if int(match[1]) >= 50 else "resnet18"
    else:
        raise ConfigError(f"{where} is none whose heads, norms and activation we know")
    check_rest(arguments, {*fields, *_ONLY}, WHERE + "model_args", harmless=_HARMLESS)
    for key, (field, read) in fields.items():
        if arguments.get(key) is not None:
            said = f"{WHERE}model_args.{key}"
            facts[field] = Fact(read(arguments[key], said), said)
    if arguments.get("pos_embed") in ("none", ""):
        facts["positions"] = Fact("none", WHERE + "model_args.pos_embed")
    return Stated(encoder, facts)


def _vit(size: str, rest: str, where: str) -> dict[str, Fact]:
    clip = "_clip_" in rest
    facts = {
        "heads": HEADS[size],
        "eps": 1e-5 if clip else EPS,
        "activation": "quick_gelu" if "quickgelu" in rest else "gelu",
    }
    if patch := re.search(r"_patch(\d+)", rest):
        facts["patch"] = int(patch[1])
    return {field: Fact(x, where) for field, x in facts.items()}


def _resnet(layers: int, where: str) -> dict[str, Fact]:
    block = "bottleneck" if layers >= 50 else "basic"
    facts = {"depths": DEPTHS[layers], "block": block, "stem": "imagenet"}
    return {field: Fact(x, where) for field, x in facts.items()}


def _swin(size: str, window: int, larger: str | None, where: str) -> dict[str, Fact]:
    facts = {"heads": SWIN_HEADS[size], "stride": 4, "shift": True}
    facts["window"] = int(larger or window)
    # Fine-tuned at more pixels: the bias was learned in windows of before, the last of half a map.
    learned = (window, window, window, window // 2) if larger else (0, 0, 0, 0)
    facts["pretrained_window"] = learned
    return {field: Fact(x, where) for field, x in facts.items()}


def open_clip(said: Mapping[str, Any], stated: Stated) -> Stated:
    """With what an open_clip_config.json says of a vision tower.

    Raises:
      ConfigError: a tower that no encoder of ours is.
    """
    where = "open_clip_config.json's "
    config, images = said.get("model_cfg") or {}, said.get("preprocess_cfg") or {}
    tower = config.get("vision_cfg") if isinstance(config, dict) else None
    if not isinstance(tower, dict) or not isinstance(images, dict):
        raise ConfigError("open_clip_config.json has no model_cfg.vision_cfg, or no object there")
    if "timm_model_name" in tower or not isinstance(tower.get("layers"), int):
        raise ConfigError(f"{where}vision_cfg is no Vision Transformer of CLIP's own")
    harmless = {"layers", "mlp_ratio", "patch_dropout", "ls_init_value", "output_tokens"}
    check_rest(tower, {"image_size", "width", "patch_size", "head_width"}, where + "vision_cfg",
               harmless=harmless)  # fmt: skip
    key = where + "model_cfg.vision_cfg."
    width = count(tower.get("width", 768), key + "width")
    image = sides(tower.get("image_size", 224), key + "image_size")
    patch = side(tower.get("patch_size", 16), key + "patch_size")
    quick = bool(config.get("quick_gelu"))
    facts = {
        "heads": Fact(width // count(tower.get("head_width", 64), key), key + "head_width"),
        "activation": Fact("quick_gelu" if quick else "gelu", where + "model_cfg.quick_gelu"),
        "eps": Fact(1e-5, where + "model_cfg"),
        "image": Fact(image, key + "image_size"),
        "patch": Fact(patch, key + "patch_size"),
        "width": Fact(width, key + "width"),
        "depth": Fact(tower["layers"], key + "layers"),
        "positions": Fact("learned", where + "model_cfg"),
        "patch_bias": Fact(False, where + "model_cfg"),
        "pre_norm": Fact(True, where + "model_cfg"),
    }
    key = where + "preprocess_cfg"
    pair = (images["mean"], images["std"]) if {"mean", "std"} <= images.keys() else CHANNELS["clip"]
    facts["normalization"] = Fact(named(channels(*pair, key), CHANNELS), key)
    grid = image[0] // patch, image[1] // patch
    return Stated("vit_b16", {**stated.image, **facts}, grid=grid)
