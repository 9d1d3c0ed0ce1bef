"""Two ViTs with their first blocks in common: patch embedding and n blocks (CIM Table 5).

The one that shares keeps what is its own: tokens, positions, the blocks behind, the final norm.
What is shared is kept once, with the other, and gets the gradients of both.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from m3i_jax.build import ConfigError

EMBEDDING, BLOCKS = "patch_embed", "blocks"
# What decides how the parameters in common are used, and is not seen in their shapes.
ALIKE = (
    "width", "heads", "patch", "mlp_ratio", "qkv_bias", "patch_bias", "frozen_patch", "block_bias",
    "layer_scale", "relative_bias", "activation", "gated", "norm", "qk_norm", "inner_norm", "eps",
    "normalization", "turned", "window", "global_blocks",
)  # fmt: skip

Params = dict[str, Any]


def own(params: Params, count: int) -> Params:
    """What a tower keeps when the embedding and the first `count` blocks are another's."""
    behind = jax.tree.map(lambda leaf: leaf[count:], params[BLOCKS])
    return {name: x for name, x in params.items() if name != EMBEDDING} | {BLOCKS: behind}


def whole(params: Params, other: Params, count: int) -> Params:
    """All parameters of a tower: its own behind the first `count` blocks of `other`."""
    join = lambda first, behind: jnp.concatenate([first[:count], behind])  # noqa: E731
    blocks = jax.tree.map(join, other[BLOCKS], params[BLOCKS])
    return params | {EMBEDDING: other[EMBEDDING], BLOCKS: blocks}


def check(name: str, tower: nn.Module, other: nn.Module, count: int) -> None:
    """Raises ConfigError where tower `name` cannot have its first blocks in common with `other`."""
    what = f"config.towers.{name} shares {count!r} blocks with the encoder"
    for which, module in (("it", tower), ("the encoder", other)):
        if type(module).__name__ != "ViT":
            raise ConfigError(f"{what}, but {which} is a {type(module).__name__}: only ViTs share")
    most = min(tower.depth - 1, other.depth)
    if type(count) is not int or not 1 <= count <= most:
        raise ConfigError(
            f"{what}, expected 1 to {most}: it has {tower.depth} blocks, of which one at least is "
            f"its own, and the encoder has {other.depth}"
        )
    for field in ALIKE:
        ours, theirs = getattr(tower, field), getattr(other, field)
        if ours != theirs:
            raise ConfigError(f"{what}, but its {field} is {ours!r} and the encoder's {theirs!r}")
