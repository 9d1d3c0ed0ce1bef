"""Axial rotary positions: queries and keys are turned by angles that say where their cells are.

Su et al. 2021, https://arxiv.org/abs/2104.09864; by rows and columns as Siméoni et al. 2025,
"DINOv3", https://arxiv.org/abs/2508.10104, §3.2: coordinates from -1 to 1 whatever the grid is.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32

from m3i_jax.types import Array, Grid


class Rotation(NamedTuple):
    """Cosines and sines of the angles of tokens, float32, for half of the channels of a head."""

    cos: Float[Array, "#batch tokens dim"]
    sin: Float[Array, "#batch tokens dim"]


def axial(grid: Grid, dim: int, *, base: float) -> Float32[np.ndarray, "tokens dim"]:
    """Angles (h·w, dim/2) of the cells of a grid, those of the rows first.

        θ_i = 2π c / base^(4i / dim),   i < dim / 4,   c the cell's centre in [-1, 1]

    Args:
      grid: (rows, columns).
      dim: width of a head, a multiple of 4.
      base: of the periods, whose longest it nearly is.
    """
    periods = float(base) ** (4 * np.arange(dim // 4) / dim)
    centres = ((2 * np.arange(side) + 1) / side - 1 for side in grid)
    rows, columns = np.meshgrid(*centres, indexing="ij")
    angles = [2 * np.pi * axis.reshape(-1, 1) / periods for axis in (rows, columns)]
    return np.concatenate(angles, axis=1).astype(np.float32)


def rotation(angles: Float[Array, "#batch tokens dim"]) -> Rotation:
    """The rotation by these angles, (B, n, dim/2); an angle of 0 turns nothing."""
    angles = jnp.asarray(angles, jnp.float32)
    return Rotation(jnp.cos(angles), jnp.sin(angles))


def rotated(
    x: Float[Array, "batch tokens _parts heads dim"], by: Rotation
) -> Float[Array, "batch tokens _parts heads dim"]:
    """Channels i and i + dim/2 of each token as a point of a plane, turned by its angle i.

    In float32; the result is of the dtype of x.
    """
    cos, sin = (y[:, :, None, None] for y in by)
    a, b = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1).astype(x.dtype)
