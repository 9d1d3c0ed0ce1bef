"""Joints as heat maps, and heat maps as joints: unbiased (UDP, DARK), or as Simple Baseline has it.

A heat map is a coarse picture of a crop, and the two say differently where its cells lie:

* unbiased (UDP, Huang et al. 2020, https://arxiv.org/abs/1911.07524): the centres of the corner
  cells are those of the corner pixels, so a cell is (side − 1)/(cells − 1) pixels, and a mirrored
  map needs no shift;
* otherwise (Simple Baseline, Xiao et al. 2018, https://arxiv.org/abs/1804.06208) it is side/cells
  pixels.

Points are row and column in pixels from the upper left corner, so the centre of the first pixel is
at ½, as of all annotations (`types.ViewAnnotations`). All is float32, batched, and can be jitted
with sizes and options static.
"""

from collections.abc import Sequence
from typing import Annotated, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32, Real

from m3i_jax.ranges import Range
from m3i_jax.types import Array, Box, Grid

Sigma = Annotated[float, Range(0.1, 100)]  # cells
Size = tuple[int, int]  # (height, width) of a crop in pixels
BLUR = 11  # taps, of OpenCV's width for them: σ = .3 (10/2 − 1) + .8 = 2 cells
LOWEST, HIGHEST = 1e-3, 50.0  # of what logarithms are taken of
EPS = float(np.finfo(np.float32).eps)


class Joints(NamedTuple):
    """Where joints are, (B, K, 2) row and column, and the largest value of their maps, (B, K)."""

    points: Float32[Array, "batch joints 2"]
    scores: Float32[Array, "batch joints"]


class Target(NamedTuple):
    """What maps are trained towards, (B, h, w, K), and which joints count, (B, K) of 0 and 1."""

    maps: Float32[Array, "batch height width joints"]
    weights: Float32[Array, "batch joints"]


def encode(
    points: Real[Array, "batch joints 3"],
    cells: Grid,
    *,
    crop: Size,
    sigma: Sigma = 2.0,
    unbiased: bool = True,
) -> Target:
    """A Gaussian at each joint: (B, K, 3) row, column, visibility -> (B, h, w, K), (B, K).

        exp(−‖cell − μ‖² / 2σ²) for cells within 3σ of ⌊μ + ½⌋ along each axis, 0 elsewhere

    μ is the joint in cells: exact where unbiased, so that the largest value is less than 1, and
    ⌊μ + ½⌋ itself where not. A joint counts where it is labelled (visibility over 0) and some of
    these cells lie in the map; the maps of the others are 0. https://github.com/open-mmlab/mmpose

    Args:
      cells: (h, w) of the maps.
      crop: (height, width) in pixels of what `points` are of.
      sigma: σ in cells.
    """
    x = jnp.asarray(points, jnp.float32)
    exact = (x[..., :2] - 0.5) / _stride(cells, crop, unbiased)
    middle = jnp.floor(exact + 0.5)
    # (B, K, h), (B, K, w)
    along = [
        _bump(n, (exact if unbiased else middle)[..., i], middle[..., i], sigma)
        for i, n in enumerate(cells)
    ]
    reach = jnp.floor(jnp.float32(3 * sigma))
    last = np.float32(cells)[None, None] - 1
    inside = (middle + reach >= 0) & (middle - reach <= last)
    counted = inside.all(-1) & (x[..., 2] > 0)
    weights = counted.astype(jnp.float32)
    maps = jnp.einsum("bkh,bkw,bk->bhwk", *along, weights, precision="highest")
    return Target(maps, weights)


def decode(
    maps: Float[Array, "batch height width joints"], *, crop: Size, unbiased: bool = True
) -> Joints:
    """The joint of each map in pixels of the crop: (B, h, w, K) -> (B, K, 2) row, column, (B, K).

    From the largest cell, the first of equals, unbiased: one step of Newton's method to the maximum
    of the blurred map's logarithm (DARK, Zhang et al. 2020, https://arxiv.org/abs/1910.06278, as in
    UDP, Huang et al. 2020, https://arxiv.org/abs/1911.07524); otherwise: a quarter of a cell
    towards the larger neighbour. A map without a value over 0 has no maximum that is moved.
    """
    x = jnp.asarray(maps, jnp.float32).transpose(0, 3, 1, 2)
    cells = x.shape[2:]
    flat = x.reshape(*x.shape[:2], -1)
    top, scores = flat.argmax(-1), flat.max(-1)
    place = jnp.stack(jnp.unravel_index(top, cells), axis=-1)
    move = _newton(x, place) if unbiased else _quarter(x, place)
    move = jnp.where((scores > 0)[..., None], move, 0.0)
    points = (place.astype(jnp.float32) + move) * _stride(cells, crop, unbiased) + 0.5
    return Joints(points, scores)


def to_image(
    points: Float[Array, "batch joints 2"], box: Box | Float[Array, "batch 6"], *, crop: Size
) -> Float32[Array, "batch joints 2"]:
    """Points of a crop as points of its image: (B, K, 2) -> (B, K, 2), row and column.

        row = top + r height / H      column = left + c width / W,   frame − that where mirrored

    Args:
      box: what the crop shows, as `Box` or packed (B, 6), with its margin.
      crop: (H, W) in pixels.
    """
    x, box = jnp.asarray(points, jnp.float32), Box.of(box)
    box = Box(*(jnp.asarray(part, jnp.float32)[:, None] for part in box))
    row = box.top + x[..., 0] * (box.height / crop[0])
    column = box.left + x[..., 1] * (box.width / crop[1])
    return jnp.stack([row, jnp.where(box.flip > 0.5, box.frame - column, column)], axis=-1)


def mirrored(
    maps: Float[Array, "batch height width joints"],
    swapped: Sequence[tuple[int, int]],
    *,
    unbiased: bool = True,
) -> Float[Array, "batch height width joints"]:
    """Maps of a mirrored crop as those of the crop: (B, h, w, K) -> (B, h, w, K).

    Where they are not unbiased, they are moved by one cell to the right and the first column stays,
    as the centres of cells do not fall on those of the mirrored ones (Huang et al. 2020, §3,
    https://arxiv.org/abs/1911.07524).

    Args:
      swapped: numbers of joints that change places in a mirror image, as the two eyes.

    Raises:
      ValueError: a joint has two partners, or there is none of that number.
    """
    x = maps[:, :, ::-1, _order(swapped, maps.shape[-1])]
    return x if unbiased else jnp.concatenate([x[:, :, :1], x[:, :, :-1]], axis=2)


def _order(swapped: Sequence[tuple[int, int]], joints: int) -> np.ndarray:
    """Which joint of a mirror image each one is."""
    order = np.arange(joints)
    for one, two in swapped:
        if not (0 <= one < joints and 0 <= two < joints):
            raise ValueError(f"joints {one} and {two} change places, and there are {joints}")
        order[one], order[two] = two, one
    if (order[order] != np.arange(joints)).any():
        raise ValueError(f"a joint changes places with two others: {swapped}")
    return order


def _stride(cells: Grid, crop: Size, unbiased: bool) -> Float32[np.ndarray, "1 1 2"]:
    """Pixels of a cell, (1, 1, 2) along rows and columns."""
    less = 1 if unbiased else 0
    if min(*cells, *crop) <= less:
        raise ValueError(f"maps of {cells} cells of a crop of {crop} pixels have no such step")
    return np.float32([(n - less) / (c - less) for n, c in zip(crop, cells, strict=True)])[
        None, None
    ]


def _bump(
    cells: int,
    centre: Float32[Array, "batch joints"],
    middle: Float32[Array, "batch joints"],
    sigma: float,
) -> Float32[Array, "batch joints {cells}"]:
    """One axis of the Gaussian, 0 beyond 3σ of the cell in the middle."""
    at = jnp.arange(cells, dtype=jnp.float32)[None, None]
    near = jnp.abs(at - middle[..., None]) <= 3 * sigma
    value = jnp.exp(-jnp.square(at - centre[..., None]) / (2 * sigma**2))
    return jnp.where(near, value, 0.0)


def _quarter(
    x: Float32[Array, "batch joints height width"], place: Real[Array, "batch joints 2"]
) -> Float32[Array, "batch joints 2"]:
    """A quarter of a cell towards the larger neighbour; nothing at the edges of the map."""
    height, width = x.shape[2:]
    around = _around(jnp.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)], mode="edge"), place)
    down, across = around[..., 2, 1] - around[..., 0, 1], around[..., 1, 2] - around[..., 1, 0]
    last = jnp.asarray([[[height - 1, width - 1]]], place.dtype)
    # The second row and column are left out, too, as in Simple Baseline's code.
    inner = ((place > 1) & (place < last)).all(-1, keepdims=True)
    return jnp.where(inner, 0.25 * jnp.sign(jnp.stack([down, across], -1)), 0.0)


def _newton(
    x: Float32[Array, "batch joints height width"], place: Real[Array, "batch joints 2"]
) -> Float32[Array, "batch joints 2"]:
    """−H⁻¹g of the logarithm of the blurred maps at a cell, in cells."""
    blurred = _blurred(x)
    # As high as before; what is blurred of maps without a maximum over 0 is not looked at.
    old, new = x.max((2, 3), keepdims=True), blurred.max((2, 3), keepdims=True)
    blurred = blurred * old / jnp.where(new > 0, new, 1.0)
    logs = jnp.log(jnp.clip(blurred, LOWEST, HIGHEST))
    l = _around(jnp.pad(logs, [(0, 0), (0, 0), (1, 1), (1, 1)], mode="edge"), place)
    down, across = 0.5 * (l[..., 2, 1] - l[..., 0, 1]), 0.5 * (l[..., 1, 2] - l[..., 1, 0])
    yy = l[..., 2, 1] - 2.0 * l[..., 1, 1] + l[..., 0, 1] + EPS
    xx = l[..., 1, 2] - 2.0 * l[..., 1, 1] + l[..., 1, 0] + EPS
    straight = l[..., 2, 1] + l[..., 1, 2] + l[..., 0, 1] + l[..., 1, 0]
    xy = 0.5 * (l[..., 2, 2] + l[..., 0, 0] + 2.0 * l[..., 1, 1] - straight)
    volume = yy * xx - jnp.square(xy)
    step = jnp.stack([xx * down - xy * across, yy * across - xy * down], -1)
    # No matrix of four equal numbers has an inverse, and no flat place a maximum.
    flat = (volume == 0)[..., None]
    return jnp.where(flat, 0.0, -step / jnp.where(flat, 1.0, volume[..., None]))


def _around(
    padded: Float32[Array, "batch joints tall wide"], place: Real[Array, "batch joints 2"]
) -> Float32[Array, "batch joints 3 3"]:
    """The 3 x 3 cells around one, of maps that are padded by 1."""
    width = padded.shape[-1]
    steps = jnp.arange(3, dtype=place.dtype)
    rows, columns = (place[..., i, None] + steps[None, None] for i in (0, 1))
    index = rows[..., :, None] * width + columns[..., None, :]  # (B, K, 3, 3)
    flat = padded.reshape(*padded.shape[:2], -1)
    found = jnp.take_along_axis(flat, index.reshape(*index.shape[:2], 9), axis=-1)
    return found.reshape(index.shape)


def _blurred(
    x: Float32[Array, "batch joints height width"],
) -> Float32[Array, "batch joints height width"]:
    """A Gaussian of 11 taps and σ 2 along both axes, with zeros around."""
    down, across = (_band(side) for side in x.shape[2:])
    x = jnp.einsum("ih,bkhw->bkiw", down, x, precision="highest")
    return jnp.einsum("jw,bkiw->bkij", across, x, precision="highest")


def _band(side: int) -> Float32[np.ndarray, "{side} {side}"]:
    """The blur along an axis, as a matrix."""
    t = np.arange(side)[:, None] - np.arange(side)[None]
    taps = np.exp(-np.square(np.arange(BLUR) - BLUR // 2) / 8.0)
    values = np.exp(-np.square(t) / 8.0) / taps.sum()
    return np.where(abs(t) <= BLUR // 2, values, 0.0).astype(np.float32)
