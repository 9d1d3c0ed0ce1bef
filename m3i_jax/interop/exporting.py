"""Our encoders for others: safetensors in their names, and a config.json that says what they are.

`timm` and `huggingface` are formats with a table for every family of encoders; the first table
with a name for every parameter is taken. `m3i_jax` is our own names, for anything.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from m3i_jax import encoders, ordinary, trees
from m3i_jax.build import ConfigError, nearest
from m3i_jax.encoders.vit import TURNED, fixed_positions
from m3i_jax.interop import (
    aimv2,
    clip,
    convolutional,
    describe,
    files,
    huggingface,
    layouts,
    rotary,
    swin,
    vit,
)
from m3i_jax.interop.rename import Layout, to_theirs

FORMATS: dict[str, tuple[Layout, ...]] = {
    "timm": (
        vit.TIMM,
        vit.BEIT,
        rotary.DINOV3_TIMM,
        rotary.EVA02_TIMM,
        aimv2.TIMM,
        swin.TIMM,
        convolutional.RESNET,
    ),
    "huggingface": (
        huggingface.VIT,
        huggingface.DINOV2,
        huggingface.DINOV3,
        huggingface.DINOV3_GATED,
        huggingface.BEIT,
        clip.HUGGING_FACE_IMAGE,
        aimv2.HUGGING_FACE,
        swin.HUGGING_FACE,
        convolutional.RESNET_HUGGING_FACE,
    ),
    "m3i_jax": (layouts.OWN,),
}
IMAGE = "encoders/image/"


def export(
    params: Mapping[str, Any], module: Any, *, to: str = "timm"
) -> tuple[dict[str, np.ndarray], Layout]:
    """The state dict of an image encoder in another's names, and the table that they are from.

    Args:
      params: of the encoder, nested.
      module: the encoder; a fixed table of positions is written down, as others keep it.
      to: a format, or a layout such as "dinov2".

    Raises:
      ConfigError: no such format, or parameters that have no name there, all of them.
    """
    candidates = _suited(FORMATS.get(to) or (_layout(to),), module)
    flat = {IMAGE + path: np.asarray(x) for path, x in trees.named_leaves(params)}
    if getattr(module, "positions", None) == "sincos" and candidates != (layouts.OWN,):
        table = fixed_positions(module.grid, module.width, class_token=module.class_token)
        flat[IMAGE + "pos_embed"] = np.asarray(table)[None]
    tried = [(layout, *to_theirs(_told(flat, layout, module), layout)) for layout in candidates]
    for layout, state, unknown in tried:
        if not unknown:
            return state | _counters(state), layout
    layout, _, unknown = min(tried, key=lambda trial: len(trial[2]))
    names = [path.removeprefix(IMAGE) for path in unknown]
    raise ConfigError(f"parameters without a name in {layout.name}: {', '.join(sorted(names))}")


def save(
    path: str | os.PathLike,
    params: Mapping[str, Any],
    config: Mapping[str, Any],
    *,
    to: str = "timm",
) -> str:
    """Writes `model.safetensors` and `config.json` into the directory `path`.

    Args:
      path: a directory, made if needed.
      params: of one image encoder.
      config: what to remember of its origin; under `encoder` the block `{name, **kwargs}` from
        which `encoders.create` makes it again, under `crop` the share of an image's short side
        that it sees.
      to: see `export`.

    Returns:
      The name of the layout that was taken.

    Raises:
      ConfigError: the encoder is none of images, or has parameters without a name there.
      OSError: the directory cannot be made, or a file in it cannot be written; it is named.
    """
    block = dict(config["encoder"])
    module = encoders.create(block.pop("name"), **block)
    if module.kind != "image":
        name = config["encoder"]["name"]
        raise ConfigError(f"encoder '{name}' is none of images; only those are exported")
    state, layout = export(params, module, to=to)
    kept = {"kept": config["crop"]} if config.get("crop") else {}
    described = describe.config(module, layout, **kept)
    own = {"m3i_jax": {**config, "layout": layout.name, "encoder": dict(config["encoder"])}}
    os.makedirs(path, exist_ok=True)
    _write(path, files.CONFIG, described | own)
    if images := describe.preprocessor(module, described, **kept):
        _write(path, files.PREPROCESSOR, images)
    files.write(path, _identities(layout, module) | state)
    return layout.name


def _suited(candidates: tuple[Layout, ...], module: Any) -> tuple[Layout, ...]:
    """Those whose encoders turn queries, and normalise, as this one does: no name shows it."""
    own = getattr(module, "turned", None), getattr(module, "norm", "layer")

    def usual(layout):
        fields = layout.encoder
        turned = fields.get("rope", "dinov3") if fields.get("positions") in TURNED else None
        return turned, fields.get("norm", "layer")

    wanted = own[0] and own[0][0], own[1]
    return tuple(x for x in candidates if usual(x) == wanted) or candidates


def _told(flat: Mapping[str, Any], layout: Layout, module: Any) -> Mapping[str, Any]:
    """The parameters as a layout tells them: beside registers, timm has positions of patches alone.

    There the class token carries its own.
    """
    table = flat.get(IMAGE + "pos_embed")
    if layout is not vit.TIMM or not getattr(module, "registers", 0) or table is None:
        return flat
    if not module.class_token:
        return flat
    token = flat[IMAGE + "cls_token"] + table[:, :1]
    return {**flat, IMAGE + "cls_token": token, IMAGE + "pos_embed": table[:, 1:]}


def _write(folder: str | os.PathLike, name: str, content: Mapping[str, Any]) -> None:
    ordinary.written(os.path.join(folder, name), json.dumps(content, indent=2).encode())


def _identities(layout: Layout, module: Any) -> dict[str, np.ndarray]:
    """What transformers' models have beside our encoder and would draw at random: identities.

    Its ViT's pooler then gives the class token as it is, with the activation in the config; its
    BEiT without a final norm gives the mean of the patches, normalised. Its DINO
    always has LayerScale, and with registers or rotary positions a token of masks.
    """
    ones, zeros = np.ones(module.features, np.float32), np.zeros(module.features, np.float32)
    if layout is huggingface.VIT:
        return {"pooler.dense.weight": np.diag(ones), "pooler.dense.bias": zeros}
    if layout in (rotary.DINOV3, rotary.CAPI):
        return rotary.beside(layout, module)
    if layout is huggingface.BEIT and not module.final_norm:
        return {"pooler.layernorm.weight": ones, "pooler.layernorm.bias": zeros}
    if layout in (huggingface.DINOV3, huggingface.DINOV3_GATED):
        tokens = {"mask_token": zeros[None, None], "register_tokens": zeros[None, None][:, :0]}
        return _of_dino("layer.{}.", tokens, module)
    if layout is huggingface.DINOV2 and (module.registers or module.layer_scale is None):
        tokens = {"mask_token": zeros[None]} if module.registers else {}
        return _of_dino("encoder.layer.{}.", tokens, module)
    return {}


def _of_dino(block: str, tokens: dict[str, np.ndarray], module: Any) -> dict[str, np.ndarray]:
    """Tokens that nobody sees, and a LayerScale that changes nothing."""
    front, ones = map(block.format, range(module.depth)), np.ones(module.features, np.float32)
    scales = [f"{b}layer_scale{number}.lambda1" for b in front for number in (1, 2)]
    named = {f"embeddings.{name}": token for name, token in tokens.items()}
    return {**named, **dict.fromkeys(scales, ones)}


def _counters(state: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The counter that torch keeps beside running statistics, and nobody reads."""
    mean, counter = ".running_mean", ".num_batches_tracked"
    names = [name.removesuffix(mean) for name in state if name.endswith(mean)]
    return {name + counter: np.zeros((), np.int64) for name in names}


def _layout(name: str) -> Layout:
    names = [layout.name for layout in layouts.LAYOUTS]
    if name not in names:
        raise ConfigError(f"unknown format '{name}'{nearest(name, [*FORMATS, *names])}")
    return layouts.lookup(name)
