"""Sine positions of DETR: of the cells of a map as shares of it, and of the sides of boxes.

Carion et al. 2020, appendix A.4, https://arxiv.org/abs/2005.12872.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32

from m3i_jax.types import Array, Grid

TURN = 2 * np.pi
LEAST = 1e-6  # beside the number of cells, as DETR divides


def waves(
    shares: Float[Array, "*positions"], dim: int, *, temperature: float = 10_000.0
) -> Float32[Array, "*positions {dim}"]:
    """[sin a_0, cos a_0, sin a_1, cos a_1, ...], a_i = 2π s T^(−2i/dim); (...,) -> (..., dim).

    Args:
      shares: s, numbers that are of the size of 1.
      dim: an even number.
      temperature: T, of the slowest wave; 10 000, or 20 (DINO, Zhang et al. 2023,
        https://arxiv.org/abs/2203.03605).

    Raises:
      ValueError: dim is odd.
    """
    if dim % 2:
        raise ValueError(f"a sine position has a sine and a cosine of each wave, not {dim} numbers")
    # The frequencies are rounded once, from float64.
    speed = np.float32(TURN * temperature ** (-2 * np.arange(dim // 2) / dim))
    shares = jnp.asarray(shares, jnp.float32)[..., None]
    angle = shares * speed.reshape((1,) * (shares.ndim - 1) + (-1,))
    both = jnp.stack([jnp.sin(angle), jnp.cos(angle)], axis=-1)
    return both.reshape(*angle.shape[:-1], dim)


def grid_waves(
    grid: Grid,
    dim: int,
    *,
    temperature: float = 10_000.0,
    part: Float[Array, "batch 2"] | None = None,
) -> Float32[Array, "batch tokens {dim}"]:
    """Of all cells of a map, row-major: (1, h·w, dim), one half of the row and one of the column.

    Row i of h is (i + 1) / (h + 1e-6), as DETR counts.

    part: (B, 2) shares of the rows and columns that are image, the others padding, which are
      counted then; (B, h·w, dim).

    Raises:
      ValueError: dim is not a multiple of 4.
    """
    if dim % 4:
        raise ValueError(f"a sine position is a multiple of 4 wide (two axes), not {dim}")
    rows, columns = grid
    if part is None:
        shares = [np.float32(np.arange(1, n + 1) / (n + LEAST))[None] for n in grid]
    else:
        counts = (n * part[:, axis, None] + LEAST for axis, n in enumerate(grid))
        shares = [
            jnp.arange(1, n + 1, dtype=jnp.float32)[None] / count
            for n, count in zip(grid, counts, strict=True)
        ]
    row, column = (waves(x, dim // 2, temperature=temperature) for x in shares)
    shape = len(row), rows, columns, dim // 2
    pair = jnp.broadcast_to(row[:, :, None], shape), jnp.broadcast_to(column[:, None], shape)
    return jnp.concatenate(pair, axis=-1).reshape(len(row), rows * columns, dim)
