"""Relative geometry of two views of one image: offsets, scales, flip.

SiameseIM (Tao et al. 2023, https://arxiv.org/abs/2206.01204); docs/methods.md#two-views.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Bool, Float, Float32

from m3i_jax.types import Array, Box, Grid


class Relation(NamedTuple):
    """The target's box, measured in sizes of the source's box from the source's top-left corner.

    All fields have shape (B,), float32; `flip` is bool, whether one view is mirrored against the
    other. A point at fraction (v, u) of the target lies, in fractions of the source, at row
    `top + height·v` and at column `left + width·u`, or `left − width·u` where flipped.
    """

    top: Float32[Array, " batch"]
    left: Float32[Array, " batch"]
    height: Float32[Array, " batch"]
    width: Float32[Array, " batch"]
    flip: Bool[Array, " batch"]


def relation(
    source: Box | Float[Array, "batch 6"], target: Box | Float[Array, "batch 6"]
) -> Relation:
    """How the target view lies in the source view.

        Δi = (i₂−i₁)/h₁   Δj = (j₂−j₁)/w₁, or (W−j₁−j₂)/w₁ if flipped   s = (h₂/h₁, w₂/w₁)

    A box is measured in its own, possibly mirrored, image frame. Where the two frames are
    mirrored against each other, a point at u of the target sits at W − j₂ − w₂u in the source's
    frame, so columns run backwards from there.

    Args:
      source, target: boxes of one image, as `Box` or packed (B, 6); heights and widths positive.
        `frame` is taken from the source; both views are of the same image.
    """
    one, two = Box.of(source), Box.of(target)
    one, two = (Box(*(jnp.asarray(x, jnp.float32) for x in box)) for box in (one, two))
    flip = (one.flip > 0.5) != (two.flip > 0.5)
    left = jnp.where(flip, one.frame - one.left - two.left, two.left - one.left)
    return Relation(
        top=(two.top - one.top) / one.height,
        left=left / one.width,
        height=two.height / one.height,
        width=two.width / one.width,
        flip=flip,
    )


def target_tokens(
    source: Box | Float[Array, "batch 6"],
    target: Box | Float[Array, "batch 6"],
    grid: Grid,
    *,
    source_grid: Grid | None = None,
) -> tuple[Float32[Array, "batch rows"], Float32[Array, "batch columns"]]:
    """Centres of the target's tokens, in token units of the source.

        r(a) = s_h(a+½) + gΔi − ½      c(b) = ±s_w(b+½) + gΔj − ½,   minus where flipped

    Identical boxes give r = a and c = b exactly, the same region mirrored c = g−1−b.

    Args:
      source, target: boxes of one image, as `Box` or packed (B, 6).
      grid: (rows, columns) of the target's tokens.
      source_grid: of the source's tokens; the same by default.

    Returns:
      rows (B, h) and columns (B, w), float32; 0 is the centre of the source's first token.
    """
    to = relation(source, target)
    (h, w), (source_h, source_w) = grid, source_grid or grid
    rows, columns = (jnp.arange(n, dtype=jnp.float32) + 0.5 for n in (h, w))
    scale_h = to.height * (source_h / h)
    scale_w = jnp.where(to.flip, -to.width, to.width) * (source_w / w)
    r = scale_h[:, None] * rows[None] + (source_h * to.top)[:, None] - 0.5
    c = scale_w[:, None] * columns[None] + (source_w * to.left)[:, None] - 0.5
    return r, c
