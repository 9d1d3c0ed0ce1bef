"""What timm's config.json says of our encoders.

A name of timm's stands for a function with arguments of its own; the tables have those that no
shape of a parameter tells, and `model_args` are over them.
"""

import math
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
    image_channels,
    named,
    number,
    share,
    side,
    sides,
    truth,
    whole,
)
from m3i_jax.normalize import CHANNELS

WHERE = "config.json's "
EPS = 1e-6  # of timm's own layer norm
HEADS = {"tiny": 3, "small": 6, "medium": 8, "base": 12, "large": 16, "huge": 16, "so400m": 16,
         "giant": 16, "giantopt": 16}  # fmt: skip
SWIN_HEADS = {
    "tiny": (3, 6, 12, 24),
    "small": (3, 6, 12, 24),
    "base": (4, 8, 16, 32),
    "large": (6, 12, 24, 48),
}
# The names that are plain Vision Transformers; all others have rotations, stems of convolutions,
# other norms or blocks. Sides have at most four digits.
_VIT = re.compile(
    r"(?:vit|deit3?|beit(?:v2)?)_(?P<size>tiny|small|medium|base|large|huge|so400m|giant|giantopt)"
    r"_patch(?P<patch>\d{1,4})(?:_reg(?P<registers>\d))?"
    r"(?:_(?P<kind>clip|clip_quickgelu|gap|siglip|siglip_gap|(?P<depth>\d{1,3})x1))?"
    r"_(?P<image>\d{1,4}|dinov2)(?:_(?:miil|in21k|in22k|dino|sam|miil_in21k))?"
    r"|flexivit_(?P<flexible>small|base|large)"
)
# What their plain names do not say: I-JEPA's heads, the later ones of SigLIP.
_OTHER_HEADS = {"vit_base_patch16_gap_224": 16, "vit_giant_patch14_dinov2": 24,
                "vit_giant_patch14_reg4_dinov2": 24}  # fmt: skip
_SWIGLU = re.compile(r"vit_giant_patch14_(reg4_)?dinov2")
_TANH = re.compile(
    r"vit_(base_patch32_siglip(_gap)?_256|large_patch16_siglip(_gap)?_512"
    r"|(so400m|giantopt)_patch16_siglip(_gap)?_\d+)"
)
_SWIN = re.compile(
    r"swinv2_(tiny|small|base|large)_window(\d{1,4})(?:to(\d{1,4}))?_\d{1,4}(?:to\d{1,4})?"
)
# Their norms, activation and positions are those of the name, their heads those of the size.
_FURTHER = {
    re.compile(r"eva02_(tiny|small|base|large)_patch(\d{1,4})(?:_clip)?_\d{1,4}"): dict(
        eps=EPS, activation="silu", positions="learned_rope", rope="eva02", rope_base=10000.0
    ),
    re.compile(r"vit_(small|base|large)_patch(\d{1,4})_dinov3(?:_qkvb)?"): dict(
        eps=1e-5, activation="gelu", positions="rope", rope="dinov3", rope_base=100.0
    ),
    re.compile(r"vit_(small|huge)_plus_patch(\d{1,4})_dinov3(?:_qkvb)?"): dict(
        eps=1e-5, activation="silu", positions="rope", rope="dinov3", rope_base=100.0
    ),
    re.compile(r"aimv2_(large|huge|1b|3b)_patch(\d{1,4})_\d{1,4}"): dict(
        eps=1e-5, activation="silu", norm="rms"
    ),
}
_FURTHER_HEADS = {"dinov3": {"huge": 20}, "aimv2": {"large": 8, "huge": 12, "1b": 16, "3b": 24}}
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
    "reg_tokens": ("registers", whole),
    "num_reg_tokens": ("registers", whole),
    "rope_temperature": ("rope_base", number),
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
    "num_classes global_pool fc_norm use_fc_norm drop_rate pos_drop_rate patch_drop_rate "
    "proj_drop_rate attn_drop_rate drop_path_rate drop_block_rate weight_init fix_init "
    "head_init_scale dynamic_img_size dynamic_img_pad strict_img_size pool_include_prefix "
    "class_token pre_norm final_norm init_values qkv_bias no_embed_class zero_init_last "
    "use_abs_pos_emb use_rel_pos_bias use_shared_rel_pos_bias channels "
    "pretrained_window_size qk_norm swiglu_mlp swiglu_align_to scale_mlp scale_attn_inner "
    "qkv_fused".split()
)
_ONLY = {"norm_layer": ("layernorm",), "pos_embed": ("learn", "none", ""), "proj_bias": (True,)}


def model(said: Mapping[str, Any]) -> Stated | None:
    """The facts of a config.json of timm; None where it is none.

    Raises:
      ConfigError: an architecture, or an argument of it, that no encoder of ours is.
    """
    name = said.get("architecture")
    if name is None:
        return None
    if not isinstance(name, str):
        raise ConfigError(f"{WHERE}architecture is {name!r}, expected a name of timm's")
    arguments, pretrained = said.get("model_args") or {}, said.get("pretrained_cfg") or said
    if not isinstance(arguments, dict) or not isinstance(pretrained, dict):
        raise ConfigError("config.json's model_args and pretrained_cfg are no objects")
    stated = architecture(name, arguments)
    size, key = pretrained.get("input_size"), WHERE + "pretrained_cfg.input_size"
    if size is not None:
        if not isinstance(size, list) or len(size) != 3:
            raise ConfigError(f"{key} is {size!r}, expected [3, height, width]")
        image_channels(size[0], key)
        if "image" not in stated.image:
            stated = stated.but(image=Fact(sides(size[1:], key), key))
    key, pair = WHERE + "pretrained_cfg.mean and std", _pair(pretrained, WHERE + "pretrained_cfg.")
    if pair is not None:
        stated = stated.but(normalization=Fact(named(channels(*pair, key), CHANNELS), key))
    stated = stated._replace(notes=_resizing(pretrained), crop=_crop(pretrained, size))
    facts = stated.image
    if "image" in facts and "patch" in facts:
        grid = tuple(n // facts["patch"].value for n in facts["image"].value)
        return stated._replace(grid=grid)
    return stated


def _pair(images: Mapping[str, Any], where: str) -> tuple | None:
    """Mean and deviation, None where neither is there."""
    there = [key for key in ("mean", "std") if images.get(key) is not None]
    if len(there) == 1:
        raise ConfigError(f"{where}{there[0]} is there alone; images need both mean and std")
    return (images["mean"], images["std"]) if there else None


def _resizing(pretrained: Mapping[str, Any]) -> tuple[str, ...]:
    """How its images were made of photographs, which evaluation does in its own way."""
    method, share = pretrained.get("interpolation"), pretrained.get("crop_pct")
    if method is None and share is None:
        return ()
    return (f"config.json: images were resized ({method or 'some way'}), a share of {share} kept",)


def _crop(pretrained: Mapping[str, Any], size: list[int] | None) -> float | None:
    """The share that is kept: timm's short side is ⌊size / crop_pct⌋ pixels."""
    kept = pretrained.get("crop_pct")
    if kept is None or size is None:
        return None
    side = max(sides(size[1:], WHERE + "pretrained_cfg.input_size"))
    return side / math.floor(side / share(kept, WHERE + "pretrained_cfg.crop_pct"))


def architecture(name: str, arguments: Mapping[str, Any], *, key: str = "architecture") -> Stated:
    """The facts that a name and its arguments say.

    key: of the name, for sentences.

    Raises:
      ConfigError: none that we know, or an argument that no encoder of ours has.
    """
    where = f"{key if '.' in key else WHERE + key} '{name}'"
    name = name.split(".")[0]
    for key, allowed in _ONLY.items():
        if arguments.get(key) is not None and arguments[key] not in allowed:
            raise ConfigError(
                f"{WHERE}model_args.{key} is {arguments[key]!r}, and ours is {allowed[0]!r}"
            )
    if match := _VIT.fullmatch(name):
        facts, fields, encoder = _vit(name, match, where), _FIELDS, "vit_b16"
    elif facts := _further(name, where):
        fields, encoder = _FIELDS, "vit_b16"
    elif match := _SWIN.fullmatch(name):
        facts = _swin(match[1], int(match[2]), int(match[3] or 0), where)
        fields, encoder = _SWIN_FIELDS, f"swin_v2_{match[1][0]}"
    elif match := _RESNET.fullmatch(name):
        facts, fields = _resnet(int(match[1]), where), {"layers": ("depths", counts)}
        encoder = "resnet50" if int(match[1]) >= 50 else "resnet18"
    else:
        raise ConfigError(f"{where} is none whose heads, norms and activation we know")
    apart = arguments.get("no_embed_class", "registers" in facts)
    norm = arguments.get("norm_layer")
    if norm is not None and encoder != "vit_b16":
        raise ConfigError(f"{WHERE}model_args.norm_layer is {norm!r}, and ours is its own")
    if norm is not None:  # timm's own has this eps, whatever the name's has
        facts["eps"] = Fact(EPS, WHERE + "model_args.norm_layer")
    key = WHERE + "model_args.in_chans"
    seen = Fact(image_channels(arguments.get("in_chans", 3), key), key)
    check_rest(arguments, {*fields, *_ONLY, "in_chans"}, WHERE + "model_args", harmless=_HARMLESS)
    for key, (field, read) in fields.items():
        if arguments.get(key) is not None:
            said = f"{WHERE}model_args.{key}"
            facts[field] = Fact(read(arguments[key], said), said)
    if "gated" in facts and "mlp_ratio" in facts:  # theirs is that of both halves
        ratio, said = facts["mlp_ratio"]
        facts["mlp_ratio"] = Fact(ratio / 2, said)
    if arguments.get("pos_embed") in ("none", ""):
        facts["positions"] = Fact("none", WHERE + "model_args.pos_embed")
    _check_registers(facts, bool(apart))
    if arguments.get("use_abs_pos_emb") is not None:  # of BEiT, whose names have no table
        key = WHERE + "model_args.use_abs_pos_emb"
        table = truth(arguments["use_abs_pos_emb"], key)
        facts["positions"] = Fact("learned" if table else "none", key)
    return Stated(encoder, facts, channels=seen)


def _check_registers(facts: Mapping[str, Fact], apart: bool) -> None:
    """Refuses registers that have positions; `apart`: the table is one of patches alone."""
    count, table = facts.get("registers"), facts.get("positions")
    if count and count.value and not apart and not (table and table.value in ("none", "rope")):
        raise ConfigError(
            f"{count.where} is {count.value} without no_embed_class=True: those registers have "
            "positions, and ours have none"
        )


def _vit(name: str, match: re.Match, where: str) -> dict[str, Fact]:
    size, kind = match["size"] or match["flexible"], match["kind"] or ""
    facts = {
        "heads": _OTHER_HEADS.get(name, HEADS[size]),
        "eps": 1e-5 if kind.startswith("clip") else EPS,
        "activation": "quick_gelu" if kind == "clip_quickgelu" else "gelu",
        "patch": count(int(match["patch"] or 16), f"{where}'s patch"),
    }
    if _SWIGLU.fullmatch(name):
        facts |= dict(gated=True, activation="silu")
    if match["registers"]:
        facts["registers"] = int(match["registers"])
    if _TANH.fullmatch(name):
        facts["activation"] = "gelu_tanh"
    if match["depth"]:
        facts["depth"] = count(int(match["depth"]), f"{where}'s depth")
    return {field: Fact(x, where) for field, x in facts.items()}


def _further(name: str, where: str) -> dict[str, Fact]:
    """Of an EVA-02, a DINOv3 or an AIMv2; {} of another name."""
    for pattern, fields in _FURTHER.items():
        if match := pattern.fullmatch(name):
            kind = next((kind for kind in _FURTHER_HEADS if kind in name), "")
            heads = (HEADS | _FURTHER_HEADS.get(kind, {}))[match[1]]
            patch = count(int(match[2]), f"{where}'s patch")
            return {f: Fact(x, where) for f, x in (fields | dict(heads=heads, patch=patch)).items()}
    return {}


def _resnet(layers: int, where: str) -> dict[str, Fact]:
    block = "bottleneck" if layers >= 50 else "basic"
    facts = {"depths": DEPTHS[layers], "block": block, "stem": "imagenet"}
    return {field: Fact(x, where) for field, x in facts.items()}


def _swin(size: str, window: int, larger: int, where: str) -> dict[str, Fact]:
    facts = {"heads": SWIN_HEADS[size], "stride": 4, "shift": True}
    facts["window"] = count(larger or window, f"{where}'s window")
    # Fine-tuned at more pixels: the bias was learned in windows of before, the last of half a map.
    learned = (window, window, window, window // 2) if larger else (0, 0, 0, 0)
    facts["pretrained_window"] = learned
    return {field: Fact(x, where) for field, x in facts.items()}
