"""Pictures of what chosen queries attend to, block by block."""

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from jaxtyping import UInt8

from m3i_jax import pictures
from m3i_jax.analysis import heat, images
from m3i_jax.analysis.attention_maps import CLASS, Query, cell_of, query_maps
from m3i_jax.analysis.measure import Measure, Picture, Rows, Shown
from m3i_jax.analysis.placement import names, placement
from m3i_jax.build import ConfigError
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.ranges import Count, Range
from m3i_jax.texts import OneOf
from m3i_jax.types import Array

TILE = 128  # pixels of each map in a picture
BLOCKS = 4  # that are shown where none is named
Share = Annotated[float, Range(0, 1)]
Image = UInt8[np.ndarray, "height width 3"]


def attention_maps(
    *,
    count: Annotated[int, Range(1, 64)] = 3,
    blocks: tuple[Count, ...] = (),
    heads: Annotated[str, OneOf("mean", "each")] = "mean",
    at: tuple[Share, ...] = (0.5, 0.5),
    class_token: bool = True,
) -> Measure:
    """What the class token, and cells at chosen places, look at, over the images.

    Args:
      count: of images, spread evenly over the test set.
      blocks: their numbers, from 1; none = four, from the first to the last.
      heads: "mean" of all, or a map for "each".
      at: queries, pairs of how far down and how far right in the image, from 0 to 1.
      class_token: whether it is a query, too, of an encoder that has one.
    """
    if len(at) % 2 or not (at or class_token):
        raise ConfigError(f"at is {tuple(at)}, expected pairs of how far down and right, 0 to 1")
    cells = list(zip(at[::2], at[1::2], strict=True))

    def measure(evaluation: Evaluation, rows: Rows | None) -> Shown:
        model = evaluation.model
        place, called = placement(model, evaluation.image), names(model)
        chosen = _chosen(blocks, len(called))

        def look(scores):
            where = place(scores)
            queries = [CLASS] * (class_token and where.class_token) + cells
            front = dict(class_token=where.class_token, registers=where.registers)
            maps = query_maps(scores, queries, where.map, **front)
            return maps.mean(1, keepdims=True) if heads == "mean" else maps

        def see(params: Any, x: Array) -> Any:
            maps = evaluation.encode(params, x, attention=look).attention
            return {number: maps[number] for number in chosen}

        shown = images.seen(evaluation, images.spread(evaluation, count), apply=see)
        maps = shown.features
        with_class = maps[chosen[0]].shape[2] > len(cells)
        drawn = [
            _picture(image, {called[b]: maps[b][i] for b in chosen}, [CLASS] * with_class + cells)
            for i, image in enumerate(shown.images)
        ]
        what = "the mean over heads" if heads == "mean" else "each head"
        text = f"What queries attend to in each block, {what}; yellow is the most of a map"
        numbered = [Picture(f"{text}; image {i}", picture) for i, picture in enumerate(drawn, 1)]
        return Shown("pictures", counts={"test": len(drawn)}, pictures=numbered)

    settings = dict(count=count, blocks=blocks, heads=heads, at=at, class_token=class_token)
    return Measure("attention_maps", "maps of attention", "", settings, measure)


def _chosen(blocks: Sequence[int], depth: int) -> list[int]:
    """Numbers of blocks from 0."""
    if not blocks:
        return sorted({round(share * (depth - 1)) for share in np.linspace(0, 1, BLOCKS)})
    if outside := [number for number in blocks if number > depth]:
        raise NotMeasurable(f"the encoder has no block {outside[0]}; its blocks are 1 to {depth}")
    return sorted({number - 1 for number in blocks})


def _picture(image: Image, maps: dict[str, np.ndarray], queries: Sequence[Query]) -> Image:
    """For every query a row: the image with the query, then its map in every block and head."""
    tiles, captions, tile = [], [], pictures.fit(image, TILE)
    for number, query in enumerate(queries):
        tiles.append(_marked(tile, query, next(iter(maps.values())).shape[-2:]))
        captions.append("class token" if query == CLASS else "query in the frame")
        for block, of_heads in maps.items():
            for head, weights in enumerate(of_heads[:, number], 1):
                tiles.append(heat.overlay(tile, weights, most=weights.max()))
                captions.append(f"block {block}" + f", head {head}" * (len(of_heads) > 1))
    columns = len(tiles) // len(queries)
    return pictures.grid(tiles, columns=columns, captions=captions, height=TILE)


def _marked(image: Image, query: Query, grid: tuple[int, int]) -> Image:
    """The image with a frame around the cell of a query; the class token has none."""
    if query == CLASS:
        return image
    row, column = divmod(cell_of(query, grid), grid[1])
    (height, width), (rows, columns) = image.shape[:2], grid
    top, bottom = round(row * height / rows), round((row + 1) * height / rows)
    left, right = round(column * width / columns), round((column + 1) * width / columns)
    frame, inside = (np.zeros((height, width), bool) for _ in range(2))
    frame[max(top - 1, 0) : bottom + 1, max(left - 1, 0) : right + 1] = True
    inside[top + 1 : bottom - 1, left + 1 : right - 1] = True
    return np.where((frame & ~inside)[..., None], np.uint8(pictures.MARK), image)
