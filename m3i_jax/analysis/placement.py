"""Where on the image the queries and keys of each block are, and what blocks are called."""

from collections.abc import Callable
from typing import Any, NamedTuple

from m3i_jax.encoders.swin import SwinV2
from m3i_jax.encoders.vit import ViT
from m3i_jax.evaluation import models
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.evaluation.models import Model
from m3i_jax.types import Grid, Scores


class Placement(NamedTuple):
    """Where the tokens are among which a block attends.

    grid: (rows, columns) of cells, of the whole map or of one window.
    map: (rows, columns) of the whole map.
    patch: side of a cell in pixels.
    class_token: whether one is in front of the cells.
    registers: how many there are behind it.
    """

    grid: Grid
    map: Grid
    patch: int
    class_token: bool = False
    registers: int = 0


def placement(model: Model, image: int) -> Callable[[Scores], Placement]:
    """A function from what a block tells an observer to where its tokens are on square images.

    Blocks of the encoder are told apart by their number of queries: the map of every stage has
    another one.

    Raises:
      NotMeasurable: the encoder does not attend.
    """
    module = encoder(model)
    if isinstance(module, ViT):
        grid = image // module.patch, image // module.patch
        front = module.class_token, module.registers
        whole = Placement(grid, grid, module.patch, *front)
        inside = Placement((module.window, module.window), grid, module.patch)
        return lambda scores: inside if scores.logits.ndim == 5 else whole
    if not isinstance(module, SwinV2):
        kind = type(module).__name__
        raise NotMeasurable(f"{model.name} is a {kind}, whose cells do not attend to each other")
    cuts = module.windows(size=(image, image))
    places = {
        cut.padded[0] * cut.padded[1]: Placement(cut.size, cut.grid, image // cut.grid[0])
        for cut in cuts
    }

    def place(scores):
        windows, queries = scores.logits.shape[1], scores.logits.shape[-2]
        return places[windows * queries]

    return place


def encoder(model: Model) -> Any:
    """The module of a model, which says its sizes.

    Raises:
      NotMeasurable: raw pixels have none.
    """
    if model.network is None:
        raise NotMeasurable("raw pixels have no blocks")
    return models.module(model)


def names(model: Model) -> list[str]:
    """What the blocks are called: their numbers from 1, behind those of their stages."""
    module = encoder(model)
    depths = getattr(module, "depths", None)
    if depths is None:
        return [str(number) for number in range(1, module.depth + 1)]
    stages = enumerate(depths, 1)
    return [f"{stage}.{block}" for stage, depth in stages for block in range(1, depth + 1)]
