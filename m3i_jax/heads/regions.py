"""Regions: of boxes that may be objects what they are, where exactly, and which pixels they have.

The second stage of Faster R-CNN (Ren et al. 2015, https://arxiv.org/abs/1506.01497) and the masks
of Mask R-CNN (He et al. 2017, §3, https://arxiv.org/abs/1703.06870), as detectron2 has them with
convolutions and layer norms (https://github.com/facebookresearch/detectron2).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Bool, Float, Float32, Int, Int32, Key

from m3i_jax import detection
from m3i_jax.heads.pyramid import CAFFE2
from m3i_jax.heads.region_proposals import Proposals
from m3i_jax.nn.convolution import KAIMING, ConvLayer
from m3i_jax.nn.deconvolution import Deconvolution
from m3i_jax.nn.linear import Linear, Weights
from m3i_jax.types import Array, Detections, Objects

# In front of the exponential, deltas are divided by these: dx, dy, dw, dh.
WEIGHTS = (10.0, 10.0, 5.0, 5.0)
MASK = 28  # side of a mask
Grids = Float[Array, "batch boxes rows columns dim"]


class RegionDraw(NamedTuple):
    """Boxes that a step learns by, of the foreground first, and what they should be.

    corners: (B, R, 4).  object: (B, R) the one that a box is of.  categories: (B, R) what it is,
    the number of categories where it is background.  targets: (B, R, 4) deltas to its object.
    """

    corners: Float32[Array, "batch boxes 4"]
    object: Int32[Array, "batch boxes"]
    categories: Int32[Array, "batch boxes"]
    targets: Float32[Array, "batch boxes 4"]
    positive: Bool[Array, "batch boxes"]
    valid: Bool[Array, "batch boxes"]


class Convolved(nn.Module):
    """3×3 convolutions, norms and ReLUs, `layers_i`, of a grid for each box."""

    layers: int
    width: int
    norm: str
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Grids) -> Float[Array, "_all rows columns out"]:
        """x (B, R, h, w, D) -> (B·R, h, w, width)."""
        x = x.reshape(-1, *x.shape[2:])
        for i in range(self.layers):
            layer = ConvLayer(self.width, 3, self.norm, KAIMING, self.dtype, name=f"layers_{i}")
            x = nn.relu(layer(x))
        return x


class BoxHead(nn.Module):
    """Of each box the logits of its category and, for each category, its deltas.

    `layers` convolutions, a product `hidden` with a ReLU, `products` in all, `hidden_i` from the
    second on, then `categories`, of which the last says background, and `deltas`.
    """

    out: int
    layers: int = 4
    width: int = 256
    hidden: int = 1024
    products: int = 1
    norm: str = "layer"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Grids
    ) -> tuple[Float32[Array, "batch boxes classes"], Float32[Array, "batch boxes _out 4"]]:
        """x (B, R, 7, 7, D) -> (B, R, out + 1) and (B, R, out, 4), float32."""
        batch, boxes = x.shape[:2]
        y = Convolved(self.layers, self.width, self.norm, self.dtype, name="convolved")(x)
        y = y.reshape(batch, boxes, -1)
        for i in range(self.products):
            name = f"hidden_{i}" if i else "hidden"
            y = nn.relu(Linear(self.hidden, True, CAFFE2, self.dtype, name=name)(y))
        normal = nn.initializers.normal
        logits = Linear(self.out + 1, kernel_init=normal(0.01), name="categories")(y)
        deltas = Linear(4 * self.out, kernel_init=normal(0.001), name="deltas")(y)
        return logits, deltas.reshape(batch, boxes, self.out, 4)


class MaskHead(nn.Module):
    """Of each box the logits of the pixels of an object of one category.

    `layers` convolutions, a deconvolution `up`, and a row of `masks` for each category.
    """

    out: int
    layers: int = 4
    width: int = 256
    norm: str = "layer"
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Grids, categories: Int[Array, "batch boxes"]
    ) -> Float32[Array, "batch boxes 2*rows 2*columns"]:
        """x (B, R, 14, 14, D), categories (B, R) -> (B, R, 28, 28) float32."""
        y = Convolved(self.layers, self.width, self.norm, self.dtype, name="convolved")(x)
        own = dict(bias=True, kernel_init=KAIMING, dtype=self.dtype)
        y = nn.relu(Deconvolution(self.width, 2, **own, name="up")(y))
        y = y.reshape(*x.shape[:2], *y.shape[1:])
        kernel, bias = Weights(self.out, True, nn.initializers.normal(0.001), name="masks")(
            y.shape[-1]
        )
        # Only those of one category are read, so only they are made.
        rows = jnp.take(kernel.T, categories, axis=0, mode="clip").astype(y.dtype)
        logits = jnp.einsum("brhwd,brd->brhw", y, rows, preferred_element_type=jnp.float32)
        return logits + jnp.take(bias, categories, mode="clip")[..., None, None]


def draw_regions(
    key: Key[Array, ""],
    proposals: Proposals,
    objects: Objects,
    *,
    categories: int,
    count: int,
    positive: float,
    threshold: float,
) -> RegionDraw:
    """The boxes of each image that a step learns by: proposals, and the objects beside them.

    Of an overlap of `threshold` or more they are the object, else background. Drawn are `count`, of
    objects no more than the share `positive`.
    """
    there = objects.categories >= 0
    boxes = jnp.concatenate([proposals.corners, objects.corners], axis=1)
    boxes = jax.lax.stop_gradient(boxes)
    valid = jnp.concatenate([proposals.valid, there], axis=1)
    own = dict(low=threshold, high=threshold)
    matches = detection.match(boxes, objects.corners, there, **own)
    label = jnp.where(valid, matches.label, -1)
    drawn = detection.sample(key, label, count=count, positive=positive)
    corners = jnp.take_along_axis(boxes, drawn.index[..., None], 1)
    corners = jnp.where(drawn.valid[..., None], corners, 0.0)
    of = jnp.take_along_axis(matches.index, drawn.index, 1)
    kind = jnp.take_along_axis(objects.categories, of, 1)
    target = jnp.take_along_axis(objects.corners, of[..., None], 1)
    return RegionDraw(
        corners=corners,
        object=of,
        categories=jnp.where(drawn.positive, kind, categories).astype(jnp.int32),
        targets=detection.encode(target, corners, weights=WEIGHTS),
        positive=drawn.positive,
        valid=drawn.valid,
    )


def mask_targets(
    objects: Objects, of: Int[Array, "batch boxes"], corners: Float[Array, "batch boxes 4"]
) -> Float32[Array, "batch boxes 28 28"]:
    """What of an object is in each cell of a box, 0 or 1: ROIAlign of its mask, from .5 on 1.

    Args:
      objects: with masks.
      of: (B, R) which object.
      corners: (B, R, 4) of the boxes.
    """
    index = of[..., None]
    frame = jnp.take_along_axis(objects.corners, index, 1)
    masks = jnp.take_along_axis(objects.masks, index[..., None], 1)
    seen = detection.reframed(masks, frame, corners, size=(MASK, MASK))
    return (seen >= 0.5).astype(jnp.float32)


def detect(
    proposals: Proposals,
    probabilities: Float[Array, "batch boxes classes"],
    deltas: Float[Array, "batch boxes _out 4"],
    extent: Float[Array, "batch 2"],
    *,
    score: float,
    threshold: float,
    count: int,
    candidates: int,
) -> Detections:
    """The objects of boxes: of each category those that overlap no better one, without masks.

    The `candidates` best of all pairs of a box and a category are looked at: the objects are those
    that all pairs would give, where `count` of them stay, or no pair is left out.

    Args:
      probabilities: (B, R, out) of the categories, or (B, R, out + 1), the last of background.
      deltas: (B, R, out, 4), one for each category.
      extent: (B, 2) height and width of the images.
      score: what is more than that is an object.
      threshold: of the overlap.
      count, candidates: how many.
    """
    batch, boxes, out = deltas.shape[:3]
    own = jnp.broadcast_to(proposals.corners[:, :, None], deltas.shape)
    corners = detection.decode(deltas, own, weights=WEIGHTS)
    finite = jnp.isfinite(corners).all(-1) & jnp.isfinite(probabilities[..., :out])
    usable = finite & proposals.valid[..., None] & (probabilities[..., :out] > score)
    scores = jnp.where(usable, probabilities[..., :out], 0.0).reshape(batch, -1)
    best, index = jax.lax.top_k(scores, min(candidates, boxes * out))
    corners = jnp.take_along_axis(corners.reshape(batch, -1, 4), index[..., None], 1)
    corners = jnp.where(best[..., None] > 0, corners, 0.0)
    corners = detection.clip(corners, (extent[:, :1], extent[:, 1:]))
    kinds = (index % out).astype(jnp.int32)
    own = dict(threshold=threshold, categories=kinds, valid=best > 0)
    kept = detection.non_maximum_suppression(corners, best, **own)
    place, found = detection.top_kept(kept, best, count=count)
    at = lambda x: jnp.take_along_axis(x, place, 1)  # noqa: E731
    corners = jnp.take_along_axis(corners, place[..., None], 1)
    return Detections(
        corners=jnp.where(found[..., None], corners, 0.0),
        scores=jnp.where(found, at(best), 0.0),
        categories=jnp.where(found, at(kinds), -1),
    )
