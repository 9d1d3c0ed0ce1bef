"""Maps of attention: what chosen queries look at in each block, and its rollout over all blocks."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Float

from m3i_jax.types import Array, Grid, Scores

CLASS = "class"  # the query that is no cell
Query = str | tuple[float, float]  # CLASS, or (down, right) as shares of the image
Maps = Float[Array, "batch heads queries rows columns"]


def query_maps(
    scores: Scores,
    queries: Sequence[Query],
    grid: Grid,
    *,
    class_token: bool = False,
    registers: int = 0,
) -> Maps:
    """What chosen queries of one block look at: weights of the softmax over all keys, as maps.

    Class token and registers are left out as keys, and their shares with them: a map sums to at
    most 1. Outside the window of the query, the map is 0.

    Args:
      scores: of the block.
      queries: "class", or where on the image.
      grid: (rows, columns) of the block's whole map.
      class_token: whether the first token is one.
      registers: how many there are behind it.

    Returns:
      (B, heads, queries, rows, columns) float32.
    """
    weights = jax.nn.softmax(jnp.asarray(scores.logits, jnp.float32), axis=-1)
    first = int(class_token) + registers
    maps = [_map(weights, scores, cell_of(query, grid), grid, first) for query in queries]
    return jnp.stack(maps, axis=2)


def cell_of(query: Query, grid: Grid) -> int | None:
    """The row-major number of the cell at a place of the image; None of the class token."""
    if query == CLASS:
        return None
    row, column = (min(int(at * side), side - 1) for at, side in zip(query, grid, strict=True))
    return row * grid[1] + column


def _map(weights, scores: Scores, cell: int | None, grid: Grid, first: int):
    """(B, heads, rows, columns) of one query; `cell` None = the class token."""
    if scores.cells is None:
        row = weights[:, :, 0 if cell is None else first + cell, first:]
        return row.reshape(*row.shape[:2], *grid)
    here = scores.cells == cell  # (windows, q), once True
    row = jnp.einsum("bnhqk,nq->bhk", weights, here.astype(weights.dtype))
    keys = jnp.where(here.any(1)[:, None], scores.cells, 0).sum(0)
    flat = jnp.zeros((*row.shape[:2], grid[0] * grid[1] + 1))  # the last one for padding, −1
    return flat.at[..., keys].set(row)[..., :-1].reshape(*row.shape[:2], *grid)


def head_mean(scores: Scores) -> Float[Array, "batch queries keys"]:
    """The weights of a block, the mean over its heads, which is what a rollout is made of."""
    return jax.nn.softmax(jnp.asarray(scores.logits, jnp.float32), axis=-1).mean(1)


def rollout(
    attention: Float[Array, "depth batch tokens tokens"],
    *,
    class_token: bool = False,
    registers: int = 0,
) -> Float[Array, "batch cells"]:
    """How much each cell counts behind all blocks, by attention and what the residuals carry.

        R = Â_L ··· Â_1,   Â = (A + I) / 2 with rows that sum to 1

    A row of R says what one token is made of: that of the class token, or the mean of all cells
    where there is none; without class token and registers, scaled to sum to 1. Abnar & Zuidema
    2020, https://arxiv.org/abs/2005.00928, Section 3.

    Args:
      attention: A of each block, the mean over its heads.
      class_token: whether the first token is one.
      registers: how many there are behind it.
    """
    tokens = attention.shape[-1]
    eye = jnp.eye(tokens)[None]

    def through(product, block):
        mixed = 0.5 * block + 0.5 * eye
        mixed = mixed / mixed.sum(-1, keepdims=True)
        return jnp.matmul(mixed, product, precision=jax.lax.Precision.HIGHEST), None

    start = jnp.broadcast_to(eye, attention.shape[1:])
    product, _ = jax.lax.scan(through, start, jnp.asarray(attention, jnp.float32))
    first = int(class_token) + registers
    row = (product[:, 0] if class_token else product[:, first:].mean(1))[:, first:]
    return row / row.sum(-1, keepdims=True)
