"""The maps behind blocks: tokens of an encoder where they are on the image, for dense tasks."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np

from m3i_jax.ranges import Range
from m3i_jax.texts import OneOf
from m3i_jax.types import Features

Block = Annotated[int, Range(1, 10_000)]
# Behind the last block and its norm, behind every stage, or behind blocks by their numbers.
Blocks = Annotated[str, OneOf("last", "stages")] | tuple[Block, ...]
QUARTERS = 4  # of an encoder of one stage


def numbered(blocks: Blocks, depths: Sequence[int]) -> tuple[int, ...]:
    """The numbers of blocks, from 1 over all stages, in rising order; () = behind the last norm.

    "stages" are the last block of each stage; of an encoder of one stage, such as a ViT, the last
    block of each quarter, as DINOv2 has it (https://arxiv.org/abs/2304.07193, Appendix B).

    Args:
      blocks: "last", "stages", or the numbers.
      depths: blocks of each stage.

    Raises:
      ValueError: there are not so many blocks, or they are not in rising order.
    """
    if isinstance(blocks, str):
        if blocks == "last":
            return ()
        whole = sum(depths)
        if len(depths) > 1:
            return tuple(np.cumsum(depths).tolist())
        return tuple(sorted({max(whole * k // QUARTERS, 1) for k in range(1, QUARTERS + 1)}))
    if not blocks or sorted(set(blocks)) != list(blocks) or blocks[0] < 1:
        raise ValueError(f"blocks are {[*blocks]}, expected numbers from 1 in rising order")
    if blocks[-1] > sum(depths):
        raise ValueError(f"blocks has {blocks[-1]}, but the encoder has {sum(depths)}")
    return tuple(blocks)


def mapped(
    features: Features,
    blocks: Sequence[int],
    *,
    strides: Sequence[int],
    size: tuple[int, int],
) -> Features:
    """Features with `maps`: (B, h, w, D) behind blocks, or of the tokens where these are none.

    Args:
      features: of every cell; with `layers`, where there are `blocks`.
      blocks: see `numbered`.
      strides: pixels to a cell behind every block.
      size: height and width of the images.

    Raises:
      ValueError: patches were dropped, so that there is no map.
    """
    if features.index is not None:
        raise ValueError("cells that were dropped leave no map: let the encoder see all of them")
    tokens = [features.layers[block - 1] for block in blocks] or [features.tokens]
    cells = [strides[block - 1] for block in blocks] or [strides[-1]]
    maps = tuple(
        x.reshape(x.shape[0], size[0] // cell, size[1] // cell, x.shape[-1])
        for x, cell in zip(tokens, cells, strict=True)
    )
    return features._replace(maps=maps)
