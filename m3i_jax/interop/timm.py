"""Our ViT in timm's names and layouts, and back, bit for bit.

One table holds the correspondence. timm keeps kernels as (out, in), the patch embedding as a
convolution (out, channel, row, column), and one set of names per block, `blocks.0.` and so on.
"""

import json
import math
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from safetensors.numpy import save_file

from m3i_jax import encoders, trees
from m3i_jax.build import ConfigError
from m3i_jax.encoders.vit import ViT, fixed_positions
from m3i_jax.types import Array

CHANNELS = 3
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Layout(NamedTuple):
    """A change of layout and its inverse."""

    out: Callable[[np.ndarray], np.ndarray]
    back: Callable[[np.ndarray], np.ndarray]


def _to_convolution(kernel):
    """(p·p·C, D), pixel-major, channel last -> (D, C, p, p)."""
    patch = math.isqrt(kernel.shape[0] // CHANNELS)
    return kernel.reshape(patch, patch, CHANNELS, -1).transpose(3, 2, 0, 1)


def _from_convolution(weight):
    """(D, C, p, p) -> (p·p·C, D)."""
    return weight.transpose(2, 3, 1, 0).reshape(-1, weight.shape[0])


SAME = Layout(lambda x: x, lambda x: x)
TRANSPOSED = Layout(lambda x: x.T, lambda x: x.T)
CONVOLUTION = Layout(_to_convolution, _from_convolution)

# Ours -> (timm's, layout). "{}" is the number of the block, which is our leading axis.
NAMES: dict[str, tuple[str, Layout]] = {
    "cls_token": ("cls_token", SAME),
    "pos_embed": ("pos_embed", SAME),
    "patch_embed/kernel": ("patch_embed.proj.weight", CONVOLUTION),
    "patch_embed/bias": ("patch_embed.proj.bias", SAME),
    "blocks/norm1/scale": ("blocks.{}.norm1.weight", SAME),
    "blocks/norm1/bias": ("blocks.{}.norm1.bias", SAME),
    "blocks/attn/qkv/kernel": ("blocks.{}.attn.qkv.weight", TRANSPOSED),
    "blocks/attn/qkv/bias": ("blocks.{}.attn.qkv.bias", SAME),
    "blocks/attn/proj/kernel": ("blocks.{}.attn.proj.weight", TRANSPOSED),
    "blocks/attn/proj/bias": ("blocks.{}.attn.proj.bias", SAME),
    "blocks/ls1/gamma": ("blocks.{}.ls1.gamma", SAME),
    "blocks/norm2/scale": ("blocks.{}.norm2.weight", SAME),
    "blocks/norm2/bias": ("blocks.{}.norm2.bias", SAME),
    "blocks/mlp/fc1/kernel": ("blocks.{}.mlp.fc1.weight", TRANSPOSED),
    "blocks/mlp/fc1/bias": ("blocks.{}.mlp.fc1.bias", SAME),
    "blocks/mlp/fc2/kernel": ("blocks.{}.mlp.fc2.weight", TRANSPOSED),
    "blocks/mlp/fc2/bias": ("blocks.{}.mlp.fc2.bias", SAME),
    "blocks/ls2/gamma": ("blocks.{}.ls2.gamma", SAME),
    "norm/scale": ("norm.weight", SAME),
    "norm/bias": ("norm.bias", SAME),
}
# Used in pre-training only; timm's VisionTransformer has no place for it.
DROPPED = ("mask_token",)


def export(params: Mapping[str, Any], *, positions: Array | None = None) -> dict[str, np.ndarray]:
    """timm's state dict of a ViT's parameters.

    Args:
      params: of one encoder, without the prefix `encoders/image`.
      positions: (class + h·w, D), the fixed table of an encoder without learned positions.

    Raises:
      ValueError: for parameters that have no name in timm, all of them listed.
    """
    state, unknown = {}, []
    for path, leaf in trees.named_leaves(params):
        if path in DROPPED:
            continue
        if path not in NAMES:
            unknown.append(path)
            continue
        name, layout = NAMES[path]
        leaf = np.asarray(leaf)
        numbered = enumerate(leaf) if "{}" in name else [("", leaf)]
        state |= {name.format(i): np.ascontiguousarray(layout.out(x)) for i, x in numbered}
    if unknown:
        raise ValueError(f"parameters without a name in timm: {', '.join(sorted(unknown))}")
    if positions is not None:
        state.setdefault("pos_embed", np.asarray(positions)[None])
    return state


def restore(state: Mapping[str, np.ndarray], *, learned_positions: bool = True) -> dict[str, Any]:
    """Parameters of one encoder from timm's state dict, the inverse of `export`.

    Args:
      state: name -> array; the classifier `head.*` has to be taken out before.
      learned_positions: False leaves out `pos_embed`, for an encoder with positions="sincos".

    Raises:
      ValueError: for entries that have no place here, or blocks that are missing, all listed.
    """
    left, params = dict(state), {}
    if not learned_positions:
        left.pop("pos_embed", None)
    for path, (name, layout) in NAMES.items():
        if "{}" not in name:
            if name in left:
                params[path] = layout.back(np.asarray(left.pop(name)))
            continue
        blocks, number = [], 0
        while name.format(number) in left:
            blocks.append(layout.back(np.asarray(left.pop(name.format(number)))))
            number += 1
        if blocks:
            params[path] = np.stack(blocks)
    depths = {len(x) for path, x in params.items() if path.startswith("blocks/")}
    if left or len(depths) > 1:
        raise ValueError(
            "this is not the state dict of a plain VisionTransformer; without a place here: "
            f"{', '.join(sorted(left)) or 'none'}; numbers of blocks: {sorted(depths)}"
        )
    return _nested(params)


def save(path: str | os.PathLike, params: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Writes `model.safetensors` in timm's names and `config.json` into the directory `path`.

    Args:
      path: a directory, made if needed.
      params: of one encoder.
      config: what to remember of its origin; under `encoder` the block `{name, **kwargs}` from
        which `encoders.create` makes it again.

    Raises:
      ConfigError: the encoder is no ViT.
    """
    block = dict(config["encoder"])
    module = encoders.create(block.pop("name"), **block)
    if not isinstance(module, ViT):
        name = config["encoder"]["name"]
        raise ConfigError(f"encoder '{name}' is no ViT, and timm's names are for ViTs")
    positions = None
    if module.positions == "sincos":
        positions = fixed_positions(module.grid, module.width, class_token=module.class_token)
    os.makedirs(path, exist_ok=True)
    state = export(params, positions=positions)
    save_file(state, os.path.join(path, "model.safetensors"), metadata={"format": "pt"})
    with open(os.path.join(path, "config.json"), "w") as file:
        json.dump(_description(module, config), file, indent=2)


def _description(module: ViT, config: Mapping[str, Any]) -> dict[str, Any]:
    """What timm needs to build the model, and `m3i_jax`, what we need."""
    height, width = module.size
    return {
        "architecture": "vit_base_patch16_224",
        "num_classes": 0,
        "num_features": module.width,
        "model_args": {
            "img_size": [height, width],
            "patch_size": module.patch,
            "embed_dim": module.width,
            "depth": module.depth,
            "num_heads": module.heads,
            "mlp_ratio": module.mlp_ratio,
            "qkv_bias": module.qkv_bias,
            "init_values": module.layer_scale,
            "class_token": module.class_token,
            "global_pool": "token" if module.class_token else "avg",
            "num_classes": 0,
            "final_norm": module.final_norm,
            "fc_norm": False,
        },
        "pretrained_cfg": {
            "input_size": [CHANNELS, height, width],
            "mean": IMAGENET_MEAN,
            "std": IMAGENET_STD,
            "interpolation": "bicubic",
            "num_classes": 0,
        },
        "m3i_jax": {**config, "encoder": dict(config["encoder"])},
    }


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Nested dicts of slash-joined names."""
    tree: dict[str, Any] = {}
    for path, leaf in flat.items():
        *parents, last = path.split("/")
        node = tree
        for name in parents:
            node = node.setdefault(name, {})
        node[last] = leaf
    return tree
