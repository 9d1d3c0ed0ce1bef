"""What the files beside weights say of their networks, held against the encoder that gets them.

Heads, activation, eps, the normalisation of the images and the grid of a table are in no shape of
a parameter. What is said is taken, or refused where ours is another; what nobody says is a guess,
and said to be one.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from m3i_jax import encoders, normalize
from m3i_jax.build import ConfigError
from m3i_jax.encoders.vit import TURNED
from m3i_jax.interop import (
    beside_images,
    beside_open_clip,
    beside_timm,
    beside_transformers,
    files,
    rotary,
)
from m3i_jax.interop.statement import Fact, Stated, share
from m3i_jax.interop.vit import MOCO_V3
from m3i_jax.types import Grid

# Of an encoder, what no shape of its parameters shows, or not for certain.
SILENT = (
    "heads", "groups", "activation", "eps", "normalization", "shift", "offset_scale", "norm",
    "rope", "rope_base",
)  # fmt: skip
# Without these nobody can compute the same; the other silent ones are rare.
NEEDED = ("heads", "activation", "eps", "normalization")
# What a name of ours says as well, such as vit_b16.
SIZES = ("width", "depth", "depths", "patch", "stride", "mlp_ratio", "block")


def by_names(prefix: str, params: Mapping[str, Any]) -> Stated:
    """What the names of the weights themselves let guess: MoCo v3's ViT-S has 12 heads, not 6.

    A gated MLP is SwiGLU, of SiLU; waves of rotary positions say how wide a head is.
    """
    if heads := rotary.heads(params):
        return Stated(image={"heads": Fact(heads, "the frequencies of its rotary positions")})
    if "encoders/image/blocks/mlp/w12/kernel" in params:
        return Stated(image={"activation": Fact("silu", "the weights, whose MLPs are SwiGLU")})
    token = params.get("encoders/image/cls_token")
    if prefix != MOCO_V3 or token is None or token.shape[-1] != 384:
        return Stated()
    fact = Fact(12, "MoCo v3's ViT-S, which its names are of")
    return Stated(image={"heads": fact}, notes=("heads=12 is a guess: the names are MoCo v3's",))


def read(path: str | Path, *, names: Stated = Stated()) -> Stated:
    """What is said beside the weights at `path`, by us, transformers, timm or open_clip.

    names: what to take where nobody says anything.

    Raises:
      ConfigError: it cannot be read, or it is of a network that no encoder of ours can be.
    """
    config = files.beside(path, files.CONFIG)
    own = config.get("m3i_jax")
    if own is not None:
        if not isinstance(own, dict) or not isinstance(own.get("encoder"), dict):
            raise ConfigError(f"{files.CONFIG}'s m3i_jax is {own!r}, expected an 'encoder' in it")
        stated = of_block(own["encoder"], where=f"{files.CONFIG}'s m3i_jax.encoder.")
        if own.get("crop") is not None:
            stated = stated._replace(crop=share(own["crop"], f"{files.CONFIG}'s m3i_jax.crop"))
        note = own.get("note")  # such as that a moving average has hardly moved
        return stated._replace(notes=(*stated.notes, note)) if isinstance(note, str) else stated
    readers = (beside_transformers.model, beside_timm.model)
    stated = next((model for reader in readers if (model := reader(config))), names)
    for name, reader in (
        (files.OPEN_CLIP_CONFIG, beside_open_clip.model),
        (files.PREPROCESSOR, beside_images.preprocessor),
        ("processor_config.json", beside_images.processor),
    ):
        said = files.beside(path, name)
        stated = reader(said, stated) if said else stated
    if "pretrained_window" in stated.image:
        known = {f: x for f, x in stated.fields().items() if encoders.accepts(stated.encoder, f)}
        stated = stated._replace(windows=_reference(create({"name": stated.encoder, **known})))
    return stated


def of_block(block: Mapping[str, Any], *, where: str) -> Stated:
    """What the block `{name, **kwargs}` of one of our encoders says, its defaults included.

    where: in front of the names of its keys, for sentences.
    """
    module = create(block)
    fields = {name: getattr(module, name) for name in (*SILENT, "positions") if _has(module, name)}
    facts = {name: Fact(x, where + name) for name, x in fields.items()}
    if module.kind != "image":
        return Stated(text=facts)
    facts["image"] = Fact(module.size, where + "image")
    return Stated(block["name"], facts, {}, module.grid, _reference(module), dict(block))


def create(block: Mapping[str, Any]) -> Any:
    """The module of a block `{name, **kwargs}`, without the keys that are the network's.

    Raises:
      ConfigError: there is none like that; a file may say anything.
    """
    kwargs = {key: x for key, x in block.items() if key not in ("name", "shares")}
    if not isinstance(block.get("name"), str):
        raise ConfigError("a block of an encoder lacks 'name'")
    try:
        return encoders.create(block["name"], **kwargs)
    except ConfigError:
        raise
    except (TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        raise ConfigError(f"there is no encoder {dict(block)}: {error}") from error


def takes_images(block: Mapping[str, Any]) -> bool:
    """Whether a block is of an encoder of images."""
    return "name" in block and encoders.accepts(block["name"], "image")


def agree(
    stated: Stated,
    block: Mapping[str, Any],
    *,
    chosen: Callable[[str], bool] = lambda field: False,
    what: str,
) -> list[str]:
    """Refuses an encoder that is another one than is said; returns what is guessed or overruled.

    Args:
      stated: what lies beside the file.
      block: `{name, **kwargs}` of the encoder, of images or texts, that gets its weights.
      chosen: whether somebody wants this field to be other than said.
      what: how to name the file.

    Raises:
      ConfigError: all differences, with the settings that end them.
    """
    module, lines, notes = create(block), [], []
    facts = stated.image if module.kind == "image" else stated.text
    for field, fact in facts.items():
        ours = _ours(module, field)
        if ours is not None and not _same(field, ours, fact.value):
            line = f"{field} is {ours!r}, and {fact.value!r} in {fact.where}"
            (notes if chosen(field) else lines).append((field, line))
    reference = _reference(module)
    if stated.windows and reference and reference != stated.windows:
        field = "pretrained_window"
        line = f"{field} is {_sides(reference)}, and the file's is {_sides(stated.windows)}"
        (notes if chosen(field) else lines).append((field, line))
    if lines:
        fields = "|".join(field for field, _ in lines)
        raise ConfigError(
            f"{what} is of another encoder: {'; '.join(line for _, line in lines)}. Set what the "
            f"file says, or name the fields that may differ (ignore '^({fields})$')"
        )
    known = [line for _, line in notes] + list(stated.notes)
    return known + guesses(facts, module, what=what)


def decoder(theirs: Mapping[str, Any], ours: Mapping[str, Any], *, what: str) -> None:
    """Refuses a block of a decoder that says another number of heads, or the like, than theirs.

    Raises:
      ConfigError: all differences.
    """
    both = [field for field in SILENT if field in theirs and field in ours]
    lines = [
        f"{field} is {ours[field]!r}, and {theirs[field]!r} there"
        for field in both
        if not _same(field, ours[field], theirs[field])
    ]
    if lines:
        raise ConfigError(f"{what} is another one: {'; '.join(lines)}")


def guesses(facts: Mapping[str, Fact], module: Any, *, what: str) -> list[str]:
    """A sentence on what the encoder needs and nobody says, if there is any."""
    open_ones = [f for f in NEEDED if _has(module, f) and f not in facts]
    if not open_ones:
        return []
    values = ", ".join(f"{field}={getattr(module, field)!r}" for field in open_ones)
    unlike = usual_heads(module) if "heads" in open_ones else ""
    return [f"nothing beside {what} says {values}: a guess, set them if it is wrong{unlike}"]


def usual_heads(module: Any) -> str:
    """A hint where published encoders of this width have other numbers of heads."""
    width, heads = getattr(module, "width", 0), getattr(module, "heads", 0)
    known = (384, 6), (384, 12), (1280, 16), (1408, 16), (width, width // 64)
    usual = {n for w, n in known if w == width}
    others = sorted(usual - {heads, 0})
    if isinstance(heads, tuple) or not others:
        return ""
    whose = " (MoCo v3's ViT-S has 12)" if width == 384 else ""
    return f"; of width {width} there are encoders with {' or '.join(map(str, others))}{whose}"


def _has(module: Any, field: str) -> bool:
    return getattr(module, field, None) is not None


def _ours(module, field):
    """The encoder's value of a field that counts, None where it has none or it shows anyway."""
    if field == "positions":
        kind = getattr(module, field, None)
        return {"tuned": "sincos"}.get(kind, kind)
    if field in ("rope", "rope_base") and getattr(module, "turned", None) is None:
        return None
    return getattr(module, field, None) if field in SILENT else None


def _same(field, ours, theirs) -> bool:
    if field == "normalization":
        ours, theirs = (np.asarray(normalize.statistics(x)) for x in (ours, theirs))
        return np.allclose(ours, theirs, rtol=0, atol=1e-6)
    if field == "positions":
        # A learned table is a parameter, and seen; between a fixed one and none nothing tells.
        seen = ours in ("learned", "learned_rope") or theirs in ("learned", "tuned", ours)
        return seen and (ours in TURNED) == (theirs in TURNED)
    if isinstance(ours, float):
        return isinstance(theirs, int | float) and math.isclose(ours, theirs, rel_tol=1e-6)
    return _plain(ours) == _plain(theirs)


def _plain(value):
    return tuple(value) if isinstance(value, list | tuple) else value


def _reference(module: Any) -> tuple[Grid, ...]:
    """Of a SwinV2, the windows in which its bias was learned, by stage; () of another."""
    windows = getattr(module, "pretrained_window", None)
    if windows is None:
        return ()
    each = (windows,) * len(module.depths) if isinstance(windows, int) else tuple(windows)
    cuts, firsts = module.windows(), np.cumsum((0, *module.depths[:-1]))
    return tuple(
        (side, side) if side else cuts[first].size for side, first in zip(each, firsts, strict=True)
    )


def _sides(windows: tuple[Grid, ...]) -> tuple:
    return tuple(height if height == width else (height, width) for height, width in windows)


def shown(params: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a ViT or a SwinV2 that its parameters show by their paths; {} of others."""
    if "stages_0/blocks/attn/logit_scale" in params:
        hide = "mask" if "mask_token" in params else ""
        return {"final_norm": "norm/scale" in params, "hide": hide}
    if "blocks/attn/qkv/kernel" not in params:
        return {}
    biased = {"blocks/attn/qkv/bias": True, "blocks/attn/q_bias": "qv"}
    relative = {"relative_position/table": "shared", "blocks/attn/relative_position/table": "layer"}
    relative["blocks_0/relative_position/rows"] = "decomposed"
    inner = {"blocks/attn/norm/scale": "both", "blocks/mlp/norm/scale": "mlp"}
    registers = params["reg_token"].shape[1] if "reg_token" in params else 0
    return {
        "class_token": "cls_token" in params,
        "registers": registers,
        "gated": "blocks/mlp/w12/kernel" in params,
        "patch_bias": "patch_embed/bias" in params,
        "patch_norm": "patch_norm/scale" in params,
        "norm": "layer" if "blocks/norm1/bias" in params else "rms",
        "qk_norm": _kind_of_norm("blocks/attn/q_norm", params),
        "inner_norm": next((kind for path, kind in inner.items() if path in params), "none"),
        "block_bias": "blocks/attn/proj/bias" in params,
        "pre_norm": "norm_pre/scale" in params,
        "final_norm": "norm/scale" in params,
        "layer_scale": 1.0 if "blocks/ls1/gamma" in params else None,
        "qkv_bias": next((kind for path, kind in biased.items() if path in params), False),
        "relative_bias": next((kind for path, kind in relative.items() if path in params), "none"),
    }


def _kind_of_norm(path: str, params: Mapping[str, Any]) -> str:
    if f"{path}/scale" not in params:
        return "none"
    return "layer" if f"{path}/bias" in params else "rms"


def sizes(params: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a ViT that the shapes of its parameters show, {} of another encoder.

    Heads are in no shape: of 64 dimensions each, as in all ViTs of timm's and DINO's but a few.
    """
    kernel = params.get("patch_embed/kernel")
    hidden = params.get("blocks/mlp/fc2/kernel", params.get("blocks/mlp/w3/kernel"))
    if kernel is None or hidden is None or kernel.ndim != 4:
        return {}
    width, table = kernel.shape[-1], params.get("pos_embed")
    fields = {
        "width": width,
        "depth": hidden.shape[0],
        "patch": kernel.shape[0],
        "mlp_ratio": hidden.shape[-2] / width,
        "heads": max(1, width // 64),
    }
    if table is None:
        return fields
    side = math.isqrt(table.shape[1])  # a class token's row is less than one of the grid's
    return fields | {"image": side * kernel.shape[0]}
