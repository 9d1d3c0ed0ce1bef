"""Pictures of how much each cell counts behind all blocks, by their attention."""

from typing import Annotated, Any

from m3i_jax import pictures
from m3i_jax.analysis import heat, images
from m3i_jax.analysis.attention_maps import head_mean
from m3i_jax.analysis.attention_maps import rollout as rolled
from m3i_jax.analysis.measure import Measure, Picture, Rows, Shown
from m3i_jax.analysis.measures.attention_maps import TILE
from m3i_jax.analysis.placement import encoder
from m3i_jax.encoders.vit import ViT
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.ranges import Range
from m3i_jax.types import Array


def rollout(*, count: Annotated[int, Range(1, 64)] = 6) -> Measure:
    """Attention rollout of the class token, or the mean of all cells where there is none.

    Abnar & Zuidema 2020, https://arxiv.org/abs/2005.00928.

    Args:
      count: of images, spread evenly over the test set.
    """

    def measure(evaluation: Evaluation, rows: Rows | None) -> Shown:
        module = encoder(evaluation.model)
        if not isinstance(module, ViT):
            raise NotMeasurable(
                f"{evaluation.model.name} is a {type(module).__name__}; a rollout multiplies "
                "attention over whole images, a ViT's"
            )
        grid = evaluation.image // module.patch, evaluation.image // module.patch

        def see(params: Any, x: Array) -> Array:
            blocks = evaluation.encode(params, x, attention=head_mean).attention
            front = dict(class_token=module.class_token, registers=module.registers)
            return rolled(blocks, **front)

        shown = images.seen(evaluation, images.spread(evaluation, count), apply=see)
        tiles = []
        for image, weights in zip(shown.images, shown.features, strict=True):
            tile = pictures.fit(image, TILE)
            tiles += [tile, heat.overlay(tile, weights.reshape(grid), most=weights.max())]
        drawn = pictures.grid(tiles, columns=min(6, len(tiles)), height=TILE)
        text = "Images and how much each cell counts; yellow is the most of a map"
        return Shown(
            "pictures", counts={"test": len(shown.images)}, pictures=[Picture(text, drawn)]
        )

    return Measure("rollout", "attention rollout", "", {"count": count}, measure)
