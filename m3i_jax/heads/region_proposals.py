"""Proposals: where objects may be, of anchors at every cell of a pyramid's maps.

Faster R-CNN (Ren et al. 2015, §3.1, https://arxiv.org/abs/1506.01497) on a pyramid (FPN, Lin et al.
2017, §4.1, https://arxiv.org/abs/1612.03144), in the rules of detectron2
(https://github.com/facebookresearch/detectron2).
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Bool, Float, Float32, Key

from m3i_jax import detection
from m3i_jax.heads.maps import Maps
from m3i_jax.nn.convolution import convolve
from m3i_jax.nn.linear import Linear
from m3i_jax.types import Array, Objects

NORMAL = nn.initializers.normal(0.01)


class Anchored(NamedTuple):
    """What is said of the anchors of each level, each a tuple of one array for a level.

    anchors: (n, 4) corners, the same for all images.
    logits: (B, n) float32, of whether an object is there.   deltas: (B, n, 4), how far it is moved.
    """

    anchors: tuple[Float[Array, "_anchors 4"], ...]
    logits: tuple[Float[Array, "batch _anchors"], ...]
    deltas: tuple[Float[Array, "batch _anchors 4"], ...]


class Proposals(NamedTuple):
    """Boxes in falling order of their scores; places that are left over are not `valid`."""

    corners: Float32[Array, "batch boxes 4"]
    valid: Bool[Array, "batch boxes"]


class AnchorDraw(NamedTuple):
    """Anchors that a step learns by, as `types.RegionAnswers` names them."""

    logits: Float32[Array, "batch _anchors"]
    deltas: Float32[Array, "batch _anchors 4"]
    targets: Float32[Array, "batch _anchors 4"]
    positive: Bool[Array, "batch _anchors"]
    valid: Bool[Array, "batch _anchors"]


class RegionProposalNetwork(nn.Module):
    """3×3 convolutions and ReLUs, `layers_i`, then of each anchor a logit and four deltas.

    One network for all levels. ratios: of the anchors, of which each cell has as many.
    scale: side of a square anchor over the stride of its level.
    """

    layers: int = 2
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    scale: float = 8.0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, maps: Maps, strides: Sequence[float]) -> Anchored:
        """Maps (B, h_i, w_i, D) of these strides in pixels -> what is said of all anchors."""
        count = len(self.ratios)
        anchors = detection.anchor_boxes(
            [x.shape[1:3] for x in maps],
            strides=strides,
            sizes=[(self.scale * stride,) for stride in strides],
            ratios=self.ratios,
        )
        levels = Cells(self.layers, count, self.dtype, name="cells")
        return Anchored(anchors, *map(tuple, zip(*map(levels, maps), strict=True)))


class Cells(nn.Module):
    """The network of one map: layers_i, objectness and deltas."""

    layers: int
    anchors: int
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch rows columns dim"]
    ) -> tuple[Float32[Array, "batch _anchors"], Float32[Array, "batch _anchors 4"]]:
        """x (B, h, w, D) -> logits (B, h·w·anchors) and deltas (B, h·w·anchors, 4), float32."""
        batch, width = x.shape[0], x.shape[-1]
        for i in range(self.layers):
            own = dict(bias=True, kernel_init=NORMAL, dtype=self.dtype)
            x = nn.relu(convolve(x, width, 3, **own, name=f"layers_{i}"))
        logits = Linear(self.anchors, kernel_init=NORMAL, name="objectness")(x)
        deltas = Linear(4 * self.anchors, kernel_init=NORMAL, name="deltas")(x)
        return logits.reshape(batch, -1), deltas.reshape(batch, -1, 4)


def propose(
    said: Anchored,
    extent: Float[Array, "batch 2"],
    *,
    before: int,
    count: int,
    threshold: float,
) -> Proposals:
    """The best boxes of all levels, without those that overlap better ones of their level.

    Of each level the `before` highest logits, moved, cut to the image, without empty ones and those
    that are not finite, suppressed; of all levels together the `count` highest. No gradient.

    Args:
      said: of the anchors.
      extent: (B, 2) height and width of the images.
      before, count: how many.
      threshold: of the overlap.
    """
    boxes, scores, kept = zip(
        *(_of_level(*level, extent, before, threshold) for level in zip(*said, strict=True)),
        strict=True,
    )
    boxes, scores, kept = (jnp.concatenate(x, axis=1) for x in (boxes, scores, kept))
    index, valid = detection.top_kept(kept, scores, count=count)
    corners = jnp.take_along_axis(boxes, index[..., None], 1)
    return Proposals(jnp.where(valid[..., None], corners, 0.0), valid)


def _of_level(anchors, logits, deltas, extent, before, threshold):
    """Boxes of a level, their scores, and which stay."""
    logits, deltas = (jax.lax.stop_gradient(x) for x in (logits, deltas))
    scores, index = jax.lax.top_k(logits, min(before, logits.shape[1]))
    deltas = jnp.take_along_axis(deltas, index[..., None], 1)
    own = jnp.take(jnp.asarray(anchors), index, axis=0)
    boxes = detection.decode(deltas, own)
    finite = jnp.isfinite(boxes).all(-1) & jnp.isfinite(scores)
    boxes = detection.clip(jnp.where(finite[..., None], boxes, 0.0), (extent[:, :1], extent[:, 1:]))
    valid = finite & (detection.area(boxes) > 0)
    kept = detection.non_maximum_suppression(boxes, scores, threshold=threshold, valid=valid)
    return boxes, scores, kept


def draw_anchors(
    key: Key[Array, ""],
    said: Anchored,
    objects: Objects,
    *,
    count: int,
    positive: float,
    low: float,
    high: float,
) -> AnchorDraw:
    """The anchors of each image that a step learns by, and what they should have said.

    Anchors of an overlap of `high` or more are objects, those of less than `low` background; so are
    of each object the anchors that overlap it most objects. Drawn are `count`, of the objects no
    more than the share `positive`.
    """
    anchors = jnp.concatenate(said.anchors)
    logits, deltas = (jnp.concatenate(x, axis=1) for x in said[1:])
    there = objects.categories >= 0
    matches = detection.match(anchors, objects.corners, there, low=low, high=high, closest=True)
    drawn = detection.sample(key, matches.label, count=count, positive=positive)
    of = jnp.take_along_axis(matches.index, drawn.index, 1)
    corners = jnp.take_along_axis(objects.corners, of[..., None], 1)
    return AnchorDraw(
        logits=jnp.take_along_axis(logits, drawn.index, 1),
        deltas=jnp.take_along_axis(deltas, drawn.index[..., None], 1),
        targets=detection.encode(corners, jnp.take(anchors, drawn.index, axis=0)),
        positive=drawn.positive,
        valid=drawn.valid,
    )
