"""DINO, the detector: boxes from cells, which layers of queries refine, with noised objects beside.

Zhang et al. 2023, https://arxiv.org/abs/2203.03605, constants of
https://github.com/IDEA-Research/DINO (4 scales). It is no kin of DINO, the self-distillation.
"""

from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float, Key

from m3i_jax.build import ConfigError
from m3i_jax.detection.box_sets import (
    BoxAnswers,
    QueryBoxes,
    best_boxes,
    logit,
    pixels_of,
    proposal_boxes,
)
from m3i_jax.detection.boxes import to_centres
from m3i_jax.detection.denoising import NoisedObjects, denoising_mask, noised_objects
from m3i_jax.heads.box_decoder import BoxDecoder, CategoryLogits, Valid, box_weights, kept_cells
from m3i_jax.heads.pixel_decoder import UNIT, flattened, positioned
from m3i_jax.heads.strides import Pyramid, check_queries, four
from m3i_jax.nn.choices import Dtype
from m3i_jax.nn.group_norm import ConvGroupNorm
from m3i_jax.nn.linear import Linear
from m3i_jax.nn.norms import LayerNorm
from m3i_jax.nn.query_layers import EPS, DeformableEncoder, perceptron
from m3i_jax.ranges import Blocks, Heads, Positive, Range, Share, Width
from m3i_jax.types import Array, Detections, Features, Grid, Objects

WHAT = "the dino_detector head"


class DinoDetector(nn.Module):
    """Boxes with categories, from three maps and one of half the size of the last.

    The cells of all levels attend to each other; those that look most like an object of any
    category are queries, whose boxes are what the cells say, and whose contents are learned. In
    training there are queries of noised objects beside them. Cells of padding are neither read nor
    chosen, and boxes are shares of what is image. Here, unlike in the published code, the norms of
    the maps leave padding out, too, and queries stand in the image, not in the view: so the answer
    is that about the image alone.

    Attributes:
      out: number of categories.
      width: of maps and queries.
      queries: how many.
      layers, encoder_layers: of the decoder, and of the encoder.
      heads: of all attention.
      hidden: width of MLPs.
      groups: of two noised copies of each object. The published ones are as many as make 200
        queries, so 5 where an image of the batch has 20 objects.
      shift: how far a corner of the first copy moves at most, over half of the side.
      flips: share of the categories that are drawn anew.
      found: number of objects, but in training.
      temperature: of the positions of cells.
      pyramid: "simple" makes the four maps of the last one of a plain ViT.
      dtype: of the products but those that make logits of categories.
    """

    out: Width
    width: Width = 256
    queries: Annotated[int, Range(1, 10_000)] = 900
    layers: Blocks = 6
    encoder_layers: Blocks = 6
    heads: Heads = 8
    hidden: Width = 2048
    groups: Annotated[int, Range(1, 1000)] = 5
    shift: Annotated[float, Range(0, 0.5, why="a side would be turned around")] = 0.4
    flips: Share = 0.25
    found: Annotated[int, Range(1, 10_000)] = 300
    temperature: Positive = 20.0
    pyramid: Pyramid = "none"
    dtype: Dtype = "float32"

    geometry_inputs: ClassVar[tuple[str, ...]] = ("size", "extent", "objects")

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for an unknown option, and for a width that cannot be shared out."""
        about = dict(width=self.width, heads=self.heads, dtype=self.dtype, pyramid=self.pyramid)
        check_queries(WHAT, **about)

    @nn.compact
    def __call__(
        self,
        x: Features,
        *,
        size: tuple[int, int],
        extent: Float[Array, "batch 2"] | None = None,
        objects: Objects | None = None,
        train: bool = False,
    ) -> Detections | BoxAnswers:
        """Four maps (B, h_i, w_i, D_i), finest first, the last three of which are read.

        In training `BoxAnswers`, with what is said of objects that are noised by the stream "draw";
        else `Detections`, (B, found) of them.

        Args:
          size: (height, width) of the view in pixels.
          extent: (B, 2) float32, height and width of what of it is no padding; None = all, or what
            `objects` say.
          objects: those that are true, in pixels of the view.
          train: whether all layers are asked.

        Raises:
          ConfigError: maps that are not four of falling size, or fewer cells than queries.
        """
        dtype, extent = jnp.dtype(self.dtype), objects.extent if objects is not None else extent
        levels, valid = self._levels(x, extent, size)
        grids = tuple(y.shape[1:3] for y in levels)
        embedding = self.param("level_embed", UNIT, (len(levels), self.width), jnp.float32)
        own = self.encoder_layers, self.heads, self.hidden, grids, dtype
        encoder = DeformableEncoder(*own, name="encoder")
        part, kept = (None, None) if valid is None else valid
        position = positioned(grids, embedding, temperature=self.temperature, part=part)
        cells = encoder(flattened(levels), position, kept)
        proposals = self._proposals(cells, grids, valid)
        start = self.param("query", UNIT, (self.queries, self.width), jnp.float32)
        contents = self.param("category_embed", UNIT, (self.out, self.width), jnp.float32)
        y = jnp.broadcast_to(start[None], (len(cells), *start.shape))
        boxes, mask, noise = jax.lax.stop_gradient(proposals.boxes), None, None
        if train and objects is not None:
            noise = self._noised(self.make_rng("draw"), objects, size)
            y = jnp.concatenate([contents[noise.categories], y], axis=1)
            clear = jax.nn.sigmoid(logit(noise.boxes))
            boxes = jnp.concatenate([clear, boxes], axis=1)
            mask = denoising_mask(noise.real, self.queries, groups=self.groups)
        decoder = BoxDecoder(
            self.layers, self.heads, self.hidden, self.out, grids, dtype, name="decoder"
        )
        said = decoder(y, boxes, cells, mask, valid)
        if not train:
            last = jax.tree.map(lambda y: y[:, -1], said)
            return best_boxes(last, size=size, extent=extent, count=self.found)
        count = 0 if noise is None else noise.real.shape[1]
        own = QueryBoxes(*(y[:, :, count:] for y in said))
        return BoxAnswers(
            own, proposals, QueryBoxes(*(y[:, :, :count] for y in said)) if count else None
        )

    def _levels(self, x, extent, size):
        """Three maps, finest first, and a coarser one, (B, h, w, width) float32; what is image."""
        dtype = jnp.dtype(self.dtype)
        maps = four(x, self.pyramid, width=self.width, dtype=dtype, what=WHAT)[1:]
        grids = [y.shape[1:3] for y in maps]
        grids.append(tuple(-(-side // 2) for side in grids[-1]))
        valid = None if extent is None else Valid.of(extent, size, grids)
        kept = [None] * len(grids)
        if valid is not None:
            kept = [kept_cells(valid.part, grid) for grid in grids]
            maps = [jnp.where(k[..., None], y, 0) for y, k in zip(maps, kept, strict=False)]
        given = dict(bias=True, dtype=dtype)
        levels = [
            ConvGroupNorm(self.width, **given, name=f"inputs_{i}")(y, kept[i])
            for i, y in enumerate(maps)
        ]
        further = ConvGroupNorm(self.width, 3, 2, **given, name=f"inputs_{len(maps)}")
        return [*levels, further(maps[-1], kept[-1])], valid

    def _proposals(self, cells, grids: tuple[Grid, ...], valid: Valid | None) -> QueryBoxes:
        """What the cells say that are most like an object, (B, queries, ...)."""
        if cells.shape[1] < self.queries:
            raise ConfigError(
                f"{WHAT} chooses {self.queries} queries among {cells.shape[1]} cells of "
                f"{', '.join(f'{m}x{n}' for m, n in grids)}; expected fewer, or larger images"
            )
        begin, inside = proposal_boxes(grids, part=valid and valid.part)
        inside = inside if valid is None else inside & valid.kept
        y = jnp.where(inside[..., None], cells, 0.0)
        y = Linear(self.width, dtype=jnp.dtype(self.dtype), name="proposal")(y)
        y = LayerNorm(EPS, name="proposal_norm")(y)
        categories = CategoryLogits(self.out, name="proposal_category")(y)
        moves = box_weights(self.width, "proposal_box")
        boxes = perceptron(moves, y, jnp.dtype(self.dtype)) + begin
        # Cells at the border, and of padding, come last, whatever they say.
        likely = jnp.where(inside, categories.max(-1), -jnp.inf)
        best = jax.lax.top_k(jax.lax.stop_gradient(likely), self.queries)[1][..., None]
        picked = lambda x: jnp.take_along_axis(x, best, axis=1)  # noqa: E731
        return QueryBoxes(picked(categories), jax.nn.sigmoid(picked(boxes)))

    def _noised(self, key: Key[Array, ""], objects: Objects, size: Grid) -> NoisedObjects:
        """Queries of the objects."""
        shares = objects.corners / pixels_of(size, extent=objects.extent)
        return noised_objects(
            key,
            to_centres(shares),
            objects.categories,
            groups=self.groups,
            classes=self.out,
            shift=self.shift,
            flips=self.flips,
        )
