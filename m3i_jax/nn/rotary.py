"""Axial rotary positions: queries and keys are turned by angles that say where their cells are.

Su et al. 2021, https://arxiv.org/abs/2104.09864. Three published forms, θ = c f of the coordinates
c of rows and columns and frequencies f, see `KINDS`:

* "dinov3", c from -1 to 1 whatever the grid is, f = 2π / base^(4i/dim) (Siméoni et al. 2025, §3.2,
  https://arxiv.org/abs/2508.10104);
* "eva02", c of cells of a grid of 16, f = base^(-4i/dim), neighbours among the channels turned
  together (Fang et al. 2023, §2.1, https://arxiv.org/abs/2303.11331);
* "capi", c from 0 to 1, f = 14π / base^(i/(dim/4 - 1)), registers around the image (Darcet et al.
  2025, https://arxiv.org/abs/2502.08769). Of the two channels that it takes together the first has
  the angle of the row and the second that of the column, which is no rotation.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32, Int

from m3i_jax.types import Array, Grid

CELLS = 16  # of EVA-02, a side, whatever the grid is
HIGHEST = 7  # of CAPI's, turns from one side of the image to the other


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=("cos", "sin"), meta_fields=("neighbours",)
)
@dataclasses.dataclass(frozen=True)
class Rotation:
    """Cosines and sines of the angles of tokens, float32, for every channel of a head.

    neighbours: channels 2i and 2i + 1 go together, otherwise i and i + dim/2.
    """

    cos: Float[Array, "#batch tokens dim"]
    sin: Float[Array, "#batch tokens dim"]
    neighbours: bool = False


class Kind(NamedTuple):
    """A form of rotary positions.

    coordinates: of the centres of a side's cells.
    frequencies: (dim, base) -> (dim/4,), of either axis.
    spread: angles (..., rows' | columns', each dim/4) -> of every channel, (..., dim).
    neighbours: see `Rotation`.
    around: whether registers have places, around the cells that are seen, see `edges`.
    """

    coordinates: Callable[[int], Float[np.ndarray, " side"]]
    frequencies: Callable[[int, float], Float[np.ndarray, " quarter"]]
    spread: Callable[[Float[Array, "*tokens half"]], Float[Array, "*tokens dim"]]
    neighbours: bool = False
    around: bool = False


def _geometric(dim, base):
    return float(base) ** (-4 * np.arange(dim // 4) / dim)


def _falling(dim, base):
    share = np.arange(dim // 4) / max(dim // 4 - 1, 1)
    return 2 * np.pi * HIGHEST * float(base) ** -share


def _by_axis(angles):
    return jnp.concatenate([half for half in jnp.split(angles, 2, -1) for _ in range(2)], -1)


KINDS = {
    "dinov3": Kind(
        lambda side: (2 * np.arange(side) + 1) / side - 1,
        lambda dim, base: 2 * np.pi * _geometric(dim, base),
        lambda angles: jnp.concatenate([angles, angles], -1),
    ),
    "eva02": Kind(
        lambda side: np.arange(side) * (CELLS / side),
        _geometric,
        lambda angles: jnp.repeat(angles, 2, -1),
        neighbours=True,
    ),
    "capi": Kind(lambda side: np.linspace(0, 1, side), _falling, _by_axis, around=True),
}


def of_tokens(
    kind: str,
    grid: Grid,
    index: Int[Array, "batch tokens"] | None,
    *,
    dim: int,
    base: float,
    class_token: bool,
    registers: int,
) -> Rotation:
    """The rotation of class token, registers and patches of a grid; what has no place stays.

    Args:
      kind: one of `KINDS`.
      grid: (rows, columns).
      index: the cells of the patches, None = all.
      dim: width of a head, a multiple of 4.
      base: of the frequencies.
      class_token, registers: that stand in front.
    """
    form = KINDS[kind]
    cells, waves = centres(form, grid), np.tile(form.frequencies(dim, base), (2, 1))
    angles = np.float32(_angles(cells, waves))[None]
    if index is not None:
        angles = jnp.take(angles[0], index, axis=0, mode="clip")
    if form.around and registers:
        seen = jnp.float32(cells)[None]
        seen = seen if index is None else jnp.take(seen[0], index, axis=0, mode="clip")
        low, high = seen.min(1, keepdims=True), seen.max(1, keepdims=True)
        placed = _angles(low + edges(registers)[None] * (high - low), np.float32(waves))
    else:
        placed = jnp.zeros((len(angles), registers, dim // 2))
    first = jnp.zeros((len(angles), int(class_token), dim // 2))
    return rotation(jnp.concatenate([first, placed, angles], axis=1), kind=kind)


def centres(form: Kind, grid: Grid) -> Float[np.ndarray, "tokens 2"]:
    """The (row, column) of every cell of a grid (h·w, 2)."""
    rows, columns = np.meshgrid(*map(form.coordinates, grid), indexing="ij")
    return np.stack([rows.ravel(), columns.ravel()], -1)


def edges(count: int) -> Float32[np.ndarray, "count 2"]:
    """Places of registers around a unit square, a quarter of them along each side, (count, 2)."""
    along = np.arange(count // 4) / max(count // 4, 1)
    still, ones = np.zeros_like(along), np.ones_like(along)
    sides = (along, still), (ones, along), (1 - along, ones), (still, 1 - along)
    return np.concatenate([np.stack(side, -1) for side in sides]).astype(np.float32)


def _angles(places, waves):
    """(..., 2) and (2, dim/4) -> (..., dim/2), those of the rows first."""
    angles = places[..., None] * waves.reshape((1,) * (places.ndim - 1) + waves.shape)
    return angles.reshape(*angles.shape[:-2], -1)


def rotation(angles: Float[Array, "#batch tokens dim"], *, kind: str = "dinov3") -> Rotation:
    """The rotation by these angles of rows and columns, (B, n, dim/2); one of 0 turns nothing."""
    form = KINDS[kind]
    angles = form.spread(jnp.asarray(angles, jnp.float32))
    return Rotation(jnp.cos(angles), jnp.sin(angles), form.neighbours)


def rotated(
    x: Float[Array, "batch tokens _parts heads dim"], by: Rotation
) -> Float[Array, "batch tokens _parts heads dim"]:
    """Two channels of each token as a point of a plane, turned by their angle.

    In float32; the result is of the dtype of x.
    """
    cos, sin = (y[:, :, None, None] for y in (by.cos, by.sin))
    wide = x.astype(jnp.float32)
    if by.neighbours:
        pairs = wide.reshape(*wide.shape[:-1], -1, 2)
        turned = jnp.stack([-pairs[..., 1], pairs[..., 0]], -1).reshape(wide.shape)
    else:
        a, b = jnp.split(wide, 2, axis=-1)
        turned = jnp.concatenate([-b, a], axis=-1)
    return (wide * cos + turned * sin).astype(x.dtype)
