"""Mask2Former: a set of queries, each with a category and a mask, for semantic and instance tasks.

Cheng et al. 2022, https://arxiv.org/abs/2112.01527, constants of
https://github.com/facebookresearch/Mask2Former.
"""

from typing import Annotated, ClassVar

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from m3i_jax.build import ConfigError
from m3i_jax.detection import points as drawing
from m3i_jax.detection.mask_sets import MaskAnswers, mask_instances, semantic_map
from m3i_jax.heads.mask_decoder import MaskDecoder
from m3i_jax.heads.pixel_decoder import PixelDecoder
from m3i_jax.heads.strides import Pyramid, check_queries, four
from m3i_jax.nn.blocks import check_choice
from m3i_jax.nn.choices import Dtype
from m3i_jax.ranges import Blocks, Heads, Range, Share, Width
from m3i_jax.texts import OneOf
from m3i_jax.types import Array, Detections, Features, Objects

WHAT = "the mask2former head"
FINDS = ("categories", "objects")


class Mask2Former(nn.Module):
    """Categories and masks of queries, from four maps.

    Masks are products of an embedding of each query with the finest map, at a quarter of the image
    where maps are of strides 4, 8, 16 and 32. A layer's queries attend to the cells where the mask
    of the layer before is ½ or more. Predictions are made in front of the first layer, and behind
    each one.

    Attributes:
      out: number of categories, "nothing" not counted.
      width: of maps and queries.
      mask_width: of what masks are products of.
      queries: how many (ADE20K and COCO: 100; of their largest models: 200).
      rounds: of three layers of the decoder, one for each level.
      encoder_layers: of the pixel decoder.
      heads: of all attention.
      hidden, encoder_hidden: widths of MLPs of the decoder and of the pixel decoder.
      points: at which masks are compared, in training.
      oversampled: candidates over `points`.
      doubtful: share of the points that are those of the candidates that are most in doubt.
      finds: what is returned but in training: "categories" of cells, or "objects".
      found: number of objects.
      pyramid: "simple" makes the four maps of the last one of a plain ViT.
      dtype: of the products but those that make logits of categories.
    """

    out: Width
    width: Width = 256
    mask_width: Width = 256
    queries: Annotated[int, Range(1, 10_000)] = 100
    rounds: Blocks = 3
    encoder_layers: Blocks = 6
    heads: Heads = 8
    hidden: Width = 2048
    encoder_hidden: Width = 1024
    points: Annotated[int, Range(1, 2**20)] = 12544
    oversampled: Annotated[float, Range(1, 16)] = 3.0
    doubtful: Share = 0.75
    finds: Annotated[str, OneOf(*FINDS)] = "categories"
    found: Annotated[int, Range(1, 10_000)] = 100
    pyramid: Pyramid = "none"
    dtype: Dtype = "float32"

    geometry_inputs: ClassVar[tuple[str, ...]] = ("size", "objects")

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for an unknown option, and for a width that cannot be shared out."""
        check_choice(WHAT, "finds", self.finds, FINDS)
        about = dict(width=self.width, heads=self.heads, dtype=self.dtype, pyramid=self.pyramid)
        check_queries(WHAT, **about)

    @nn.compact
    def __call__(
        self,
        x: Features,
        *,
        size: tuple[int, int] | None = None,
        objects: Objects | None = None,
        train: bool = False,
    ) -> Float[Array, "batch rows columns out"] | Detections | MaskAnswers:
        """Four maps (B, h_i, w_i, D_i), finest first -> what is said of the image.

        In training `MaskAnswers`, of all layers, with points drawn from the stream "draw"; else
        (B, h_1, w_1, out) float32, Σ_q p_q(k) σ(m_q), or objects as `Detections`.

        Args:
          size: (height, width) of the view in pixels, which objects are found in.
          objects: those that are true; nothing here depends on them.
          train: whether all layers are asked.

        Raises:
          ConfigError: maps that are not four of falling size, or objects in a view of no size.
        """
        dtype = jnp.dtype(self.dtype)
        decoder = PixelDecoder(
            self.width,
            self.mask_width,
            self.encoder_layers,
            self.heads,
            self.encoder_hidden,
            dtype,
            name="pixel_decoder",
        )
        maps = four(x, self.pyramid, width=self.width, dtype=dtype, what=WHAT)
        features, levels = decoder(maps)
        queries = MaskDecoder(
            self.queries, self.rounds, self.heads, self.hidden, self.out, dtype, name="decoder"
        )
        categories, masks = queries(levels, features, every=train)
        if train:
            return MaskAnswers(categories, masks, self._points(*categories.shape[:2]))
        if self.finds == "categories":
            return semantic_map(categories[:, -1], masks[:, -1])
        if size is None:
            raise ConfigError(f"{WHAT} finds objects in a view, and is not told its size")
        return mask_instances(categories[:, -1], masks[:, -1], size=size, found=self.found)

    def _points(self, batch, outputs):
        """Where masks are compared."""
        return drawing.random_points(
            self.make_rng("draw"),
            batch,
            outputs,
            points=self.points,
            oversampled=self.oversampled,
            doubtful=self.doubtful,
        )
