"""What dense decoders are made of: tokens on a grid, mask tokens, a stack of blocks."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float, Float32, Int

from m3i_jax import geometry
from m3i_jax.build import ConfigError
from m3i_jax.nn.blocks import check_blocks, stack
from m3i_jax.nn.norms import NORMS
from m3i_jax.types import Array, Grid


def with_class(
    tokens: Float[Array, "batch tokens dim"], class_token: Float[Array, "batch dim"] | None
) -> tuple[Float[Array, "batch _tokens dim"], int]:
    """Tokens behind the class token (B, D) where there is one, and how many were put in front."""
    if class_token is None:
        return tokens, 0
    return jnp.concatenate([class_token[:, None], tokens], axis=1), 1


def absolute(grid: Grid, width: int) -> Float32[Array, "tokens {width}"]:
    """Fixed sin-cos positions of all cells, (h·w, D) float32, without gradient."""
    return jax.lax.stop_gradient(geometry.sincos(grid, width).astype(jnp.float32))


def fill(
    cells: Float[Array, "batch cells dim"],
    index: Int[Array, "batch tokens"],
    tokens: Float[Array, "batch tokens dim"],
) -> Float[Array, "batch cells dim"]:
    """`cells` (B, L, D) with `tokens` (B, n, D) in the cells `index` (B, n)."""
    return jax.vmap(lambda y, i, t: y.at[i].set(t))(cells, index, tokens)


def mask_token(module: nn.Module) -> Float32[Array, "1 1 dim"]:
    """The learned token (1, 1, width) of a decoder for what is not there."""
    init = nn.initializers.normal(0.02)
    return module.param("mask_token", init, (1, 1, module.width), jnp.float32)


def blocks(
    module: nn.Module, x: Float[Array, "batch tokens dim"], *, norm: str = "layer", **options: Any
) -> tuple[Float[Array, "batch tokens dim"], Callable[..., nn.Module]]:
    """x (B, n, D) through the blocks that a decoder's fields describe, and the norm they use."""
    y, _ = stack(
        x,
        depth=module.depth,
        scan=module.scan,
        remat=module.remat,
        attention=module.attention,
        heads=module.heads,
        mlp_ratio=module.mlp_ratio,
        norm=NORMS[norm],
        dtype=jnp.dtype(module.dtype),
        **options,
    )
    return y, NORMS[norm]


def check_sizes(what: str, module: nn.Module) -> None:
    """Refuses the fields of a decoder of blocks with positions that do not fit together."""
    check_blocks(
        what,
        width=module.width or module.heads,  # 0 is the width of the input
        heads=module.heads,
        depth=module.depth,
        dtype=module.dtype,
        remat=module.remat,
        attention=module.attention,
        mlp_ratio=module.mlp_ratio,
    )
    if module.width % 4:
        raise ConfigError(f"{what}: width {module.width} is not divisible by 4, as positions need")
