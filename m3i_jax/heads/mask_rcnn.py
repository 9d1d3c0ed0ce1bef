"""Mask R-CNN: objects by boxes that are proposed, looked at once more, and masked.

He et al. 2017, https://arxiv.org/abs/1703.06870; with the numbers of ViTDet (Li et al. 2022,
https://arxiv.org/abs/2203.16527) in the rules of detectron2
(https://github.com/facebookresearch/detectron2).
"""

from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from m3i_jax import detection
from m3i_jax.build import ConfigError
from m3i_jax.heads import region_proposals, regions
from m3i_jax.heads.pyramid import PYRAMIDS
from m3i_jax.heads.region_proposals import RegionProposalNetwork
from m3i_jax.heads.regions import BoxHead, MaskHead
from m3i_jax.nn.blocks import DTYPES, check_choice
from m3i_jax.nn.choices import Dtype
from m3i_jax.ranges import Positive, Range, Share, Width
from m3i_jax.texts import OneOf
from m3i_jax.types import Array, Detections, Features, Objects, RegionAnswers

WHAT = "the mask_rcnn head"
NORMS = ("layer", "none")
Layers = Annotated[int, Range(0, 16)]
Boxes = Annotated[int, Range(1, 20_000, why="a device compares them in pairs")]
Overlap = Annotated[float, Range(0, 1, above=True, why="an intersection over union")]


class MaskRCNN(nn.Module):
    """The objects of an image, or what learning them needs, from maps behind an encoder.

    Parameters neck, rpn, box_head and mask_head.

    Attributes:
      out: number of categories.
      pyramid: "simple", of the last map of a ViT, or "fpn", of the maps of stages.
      width: of the maps of the pyramid and of all convolutions.
      norm: "layer" norms of convolutions of the pyramid and of boxes and masks, or "none".
      masks: whether objects have masks, beside their boxes.
      proposal_layers, box_layers, mask_layers: convolutions of each part.
      hidden: width of the products behind those of boxes.
      products: how many these are, 1 (ViTDet) or, mostly without convolutions, 2 (Mask R-CNN).
      ratios: height over width of the anchors of a cell.
      anchor_scale: side of square anchors over the stride of their level, 32 to 512 pixels at 8.
      anchors: drawn of an image in a step.  anchor_share: of these, the largest share of objects.
      anchor_overlaps: an anchor under the first is background, from the second on an object.
      level_proposals: of each level, in front of suppression, in training and otherwise.
      proposals: of an image.  proposal_overlap: what more than that suppresses.
      regions: proposals and objects that are drawn of an image in a step.
      region_share: of these, the largest share of objects.  region_overlap: from that on.
      canonical: side in pixels of boxes that are read at stride 16, half of it at 8, and so on.
      score: what is found has more.  overlap: what more than that suppresses, of a category.
      found: objects of an image.  candidates: pairs of box and category that are looked at.
      softmax: whether categories exclude each other; else each has a sigmoid (LVIS).
      dtype: of the products but the last.
    """

    out: Width
    pyramid: Annotated[str, OneOf(*PYRAMIDS)] = "simple"
    width: Width = 256
    norm: Annotated[str, OneOf(*NORMS)] = "layer"
    masks: bool = True
    proposal_layers: Layers = 2
    box_layers: Layers = 4
    mask_layers: Layers = 4
    hidden: Width = 1024
    products: Annotated[int, Range(1, 4)] = 1
    ratios: tuple[Positive, ...] = (0.5, 1.0, 2.0)
    anchor_scale: Positive = 8.0
    anchors: Boxes = 256
    anchor_share: Share = 0.5
    anchor_overlaps: tuple[Overlap, Overlap] = (0.3, 0.7)
    level_proposals: tuple[Boxes, Boxes] = (2000, 1000)
    proposals: Boxes = 1000
    proposal_overlap: Overlap = 0.7
    regions: Boxes = 512
    region_share: Share = 0.25
    region_overlap: Overlap = 0.5
    canonical: Positive = 224.0
    score: Annotated[float, Range(0, 1, below=True)] = 0.05
    overlap: Overlap = 0.5
    found: Boxes = 100
    candidates: Boxes = 2000
    softmax: bool = True
    dtype: Dtype = "float32"

    geometry_inputs: ClassVar[tuple[str, ...]] = ("size", "extent", "objects")

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for options that do not fit together."""
        check_choice(WHAT, "dtype", self.dtype, DTYPES)
        check_choice(WHAT, "pyramid", self.pyramid, PYRAMIDS)
        check_choice(WHAT, "norm", self.norm, NORMS)
        low, high = self.anchor_overlaps
        if low > high:
            raise ConfigError(
                f"{WHAT} has anchor_overlaps {low:g} and {high:g}: an anchor under the first is "
                "background and from the second on an object; expected the lower one first"
            )
        if not self.ratios:
            raise ConfigError(f"{WHAT} has no ratios of anchors; (0.5, 1.0, 2.0) are the usual")
        if self.masks and int(self.region_share * self.regions) < 1:
            raise ConfigError(
                f"{WHAT} draws {self.regions} regions and of these the share "
                f"{self.region_share:g} of objects, which is none: masks could not be learned"
            )

    @nn.compact
    def __call__(
        self,
        x: Features,
        *,
        size: tuple[int, int],
        extent: Float[Array, "batch 2"] | None = None,
        objects: Objects | None = None,
        train: bool = False,
    ) -> RegionAnswers | Detections:
        """The objects of images; with `objects`, what the losses of a step need.

        Args:
          x: features with maps.
          size: (height, width) of the images in pixels.
          extent: (B, 2) float32, height and width of what of them is no padding; None = all.
          objects: of the images, with masks where these are asked for. Which anchors and boxes are
            learned by is drawn with a key of the stream "draw".
          train: nothing here: what is drawn for learning says `objects`.

        Raises:
          ConfigError: maps that are no pyramid, or whose cells are no whole numbers of pixels.
          ValueError: masks are asked for, and objects have none.
        """
        dtype = jnp.dtype(self.dtype)
        maps = PYRAMIDS[self.pyramid](self.width, self.norm, dtype, name="neck")(x)
        strides = _strides(maps, size)
        if extent is None:
            extent = jnp.broadcast_to(jnp.array(size, jnp.float32), (len(maps[0]), 2))
        own = dict(layers=self.proposal_layers, ratios=self.ratios, scale=self.anchor_scale)
        said = RegionProposalNetwork(**own, dtype=dtype, name="rpn")(maps, strides)
        proposals = region_proposals.propose(
            said,
            extent,
            before=self.level_proposals[objects is None],
            count=self.proposals,
            threshold=self.proposal_overlap,
        )
        common = dict(width=self.width, norm=self.norm, dtype=dtype)
        own = dict(hidden=self.hidden, products=self.products, **common)
        boxes = BoxHead(self.out, self.box_layers, **own, name="box_head")
        masks = MaskHead(self.out, self.mask_layers, **common, name="mask_head")

        def read(corners, side):
            return detection.roi_aligned_by_level(
                [y.astype(jnp.float32) for y in maps[:-1]],
                corners,
                size=(side, side),
                strides=strides[:-1],
                side=self.canonical,
            )

        if objects is None:
            return self._found(boxes, masks, proposals, extent, read)
        return self._learned(boxes, masks, said, proposals, objects, read)

    def _found(self, boxes, masks, proposals, extent, read):
        """Detections."""
        logits, deltas = boxes(read(proposals.corners, 7))
        said = jax.nn.softmax(logits) if self.softmax else jax.nn.sigmoid(logits)
        found = regions.detect(
            proposals,
            said,
            deltas,
            extent,
            score=self.score,
            threshold=self.overlap,
            count=self.found,
            candidates=self.candidates,
        )
        if not self.masks:
            return found
        kinds = jnp.maximum(found.categories, 0)
        return found._replace(masks=jax.nn.sigmoid(masks(read(found.corners, 14), kinds)))

    def _learned(self, boxes, masks, said, proposals, objects, read):
        """RegionAnswers."""
        # Without a key, where a loss is only watched, it is of the same draw every time.
        key = self.make_rng("draw") if self.has_rng("draw") else jax.random.key(0)
        keys = jax.random.split(key)
        lots = None
        if not self.softmax:
            own = jax.random.fold_in(key, 2)
            lots = jax.random.uniform(own, (len(proposals.corners), self.out))
        low, high = self.anchor_overlaps
        own = dict(count=self.anchors, positive=self.anchor_share, low=low, high=high)
        anchors = region_proposals.draw_anchors(keys[0], said, objects, **own)
        own = dict(count=self.regions, positive=self.region_share, threshold=self.region_overlap)
        drawn = regions.draw_regions(keys[1], proposals, objects, categories=self.out, **own)
        logits, deltas = boxes(read(drawn.corners, 7))
        right = jnp.minimum(drawn.categories, self.out - 1)
        answers = RegionAnswers(
            *(anchors.logits, anchors.deltas, anchors.targets, anchors.positive, anchors.valid),
            class_logits=logits,
            categories=drawn.categories,
            region_deltas=jnp.take_along_axis(deltas, right[..., None, None], 2)[:, :, 0],
            region_targets=drawn.targets,
            region_positive=drawn.positive,
            region_valid=drawn.valid,
            lots=lots,
        )
        if not self.masks:
            return answers
        if objects.masks is None:
            raise ValueError(f"{WHAT} learns masks, and objects have none: set masks=False")
        first = int(self.region_share * self.regions)
        corners, of, right = (x[:, :first] for x in (drawn.corners, drawn.object, right))
        return answers._replace(
            mask_logits=masks(read(corners, 14), right),
            mask_targets=regions.mask_targets(objects, of, corners),
            mask_valid=drawn.positive[:, :first],
        )


def _strides(maps, size):
    """Pixels to a cell of each map: each twice that of the one before it."""
    first = size[0] / maps[0].shape[1]
    if any(side != first * cells for side, cells in zip(size, maps[0].shape[1:3], strict=True)):
        height, width = size
        raise ConfigError(
            f"{WHAT} reads a map of {maps[0].shape[1]}x{maps[0].shape[2]} cells of images of "
            f"{height}x{width}, of which a cell is no square"
        )
    return [first * 2**i for i in range(len(maps))]
