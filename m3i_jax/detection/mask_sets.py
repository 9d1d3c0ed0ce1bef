"""What a set of queries, each with a category and a mask, says of an image: pixels, or objects.

Cheng et al. 2021 (MaskFormer), section 3.4, https://arxiv.org/abs/2107.06278; Cheng et al. 2022
(Mask2Former), https://arxiv.org/abs/2112.01527. "Nothing" is the last of the categories.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Float32

from m3i_jax.detection.points import DrawnPoints, point_sample_each
from m3i_jax.types import Array, Detections

__all__ = ["MaskAnswers", "mask_instances", "semantic_map"]

SIDE = 64  # of the frames of masks


class MaskAnswers(NamedTuple):
    """What a head says in training of each query, in front of its first layer and behind each.

    categories: (B, L, Q, K + 1) float32 logits, the last of "nothing".
    masks: (B, L, Q, h, w) float32 logits of the cells of the image.
    points: where masks are compared with those that are true.
    """

    categories: Float[Array, "batch outputs queries _categories"]
    masks: Float[Array, "batch outputs queries rows columns"]
    points: DrawnPoints


def semantic_map(
    categories: Float[Array, "batch queries _categories"],
    masks: Float[Array, "batch queries rows columns"],
) -> Float32[Array, "batch rows columns classes"]:
    """s_k(cell) = Σ_q p_q(k) σ(m_q(cell)), p the softmax with "nothing", which is then left out.

    (B, Q, K + 1), (B, Q, h, w) -> (B, h, w, K). In the published code masks are resized to the
    image in front of σ; whoever needs pixels resizes these sums.
    """
    p = jax.nn.softmax(categories.astype(jnp.float32), axis=-1)[..., :-1]
    inside = jax.nn.sigmoid(masks.astype(jnp.float32))
    return jnp.einsum("bqk,bqhw->bhwk", p, inside, precision="highest")


def mask_instances(
    categories: Float[Array, "batch queries _categories"],
    masks: Float[Array, "batch queries rows columns"],
    *,
    size: tuple[int, int],
    found: int = 100,
    side: int = SIDE,
) -> Detections:
    """The `found` best pairs of a query and a category, as objects of an image of `size`.

        score = p_q(k) · mean of σ(m_q) over pixels where it is more than ½

    Masks are resized to the image, where they have their corners; one without pixels is nothing. A
    query may be several objects, of different categories.

    Args:
      categories, masks: logits (B, Q, K + 1) and (B, Q, h, w).
      size: (height, width) in pixels.
      side: masks that are returned are side × side, in the frame of their corners.
    """
    p = jax.nn.softmax(categories.astype(jnp.float32), axis=-1)[..., :-1]
    count = p.shape[-1]
    scores, best = jax.lax.top_k(p.reshape(len(p), -1), min(found, p[0].size))
    masks = masks.astype(jnp.float32)

    def one(query):
        own = jnp.take_along_axis(masks, query[:, None, None, None], axis=1)
        return _object(own[:, 0], size, side)

    corners, quality, frames = jax.lax.map(one, best.T // count)
    corners, quality, frames = (jnp.moveaxis(x, 0, 1) for x in (corners, quality, frames))
    scores, order = jax.lax.top_k(scores * quality, scores.shape[1])
    picked = lambda x: jax.vmap(jnp.take, (0, 0, None))(x, order, 0)  # noqa: E731
    kind = jnp.where(scores > 0, picked(best % count), -1)
    return Detections(picked(corners), scores, kind.astype(jnp.int32), picked(frames))


def _object(logits, size, side):
    """Corners (B, 4), quality (B,) and frame (B, side, side) of masks (B, h, w)."""
    grid = logits.shape[1:]
    whole = jax.image.resize(logits, (len(logits), *size), "bilinear", antialias=False)
    inside = whole > 0.0
    top, bottom = _ends(inside.any(2))
    left, right = _ends(inside.any(1))
    corners = jnp.stack([top, left, bottom, right], -1)
    pixels = inside.astype(jnp.float32)
    quality = (jax.nn.sigmoid(whole) * pixels).sum((1, 2)) / (pixels.sum((1, 2)) + 1e-6)
    share = (jnp.arange(side, dtype=jnp.float32) + 0.5)[None] / side

    def along(first, last, pixels, cells):
        place = (first[:, None] + share * (last - first)[:, None]) * (cells / pixels) - 0.5
        return jnp.clip(place, 0.0, cells - 1.0)  # edges are repeated, as they are resized

    rows, columns = along(top, bottom, size[0], grid[0]), along(left, right, size[1], grid[1])
    shape = len(logits), side, side
    places = jnp.stack(
        [jnp.broadcast_to(rows[:, :, None], shape), jnp.broadcast_to(columns[:, None], shape)], -1
    )
    frame = point_sample_each(logits[:, None], places.reshape(len(logits), 1, -1, 2))
    return corners, quality, jax.nn.sigmoid(frame).reshape(shape)


def _ends(used: Bool[Array, "batch length"]) -> tuple[Array, Array]:
    """First index that is True, and that behind the last one; 0 and 0 where none is."""
    some, count = used.any(1), used.shape[1]
    first, last = jnp.argmax(used, axis=1), count - jnp.argmax(used[:, ::-1], axis=1)
    return tuple(jnp.where(some, x, 0).astype(jnp.float32) for x in (first, last))
