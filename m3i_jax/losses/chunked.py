"""Products of positions with many candidates, a chunk of candidates at a time.

A batch of 40 000 has 1.6·10⁹ products with itself, 6.4 GB that a backward pass would keep. Beyond
`WHOLE` products the candidates are walked through in chunks, whose products are made again in the
backward pass, so that no more than a chunk of them is ever there (as in SigLIP, Zhai et al. 2023,
§3.3, https://arxiv.org/abs/2303.15343). A chunk takes candidates from all over the table: where
devices have a share of it each, they hold a share of every chunk, and what is gathered is a chunk.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Float32, Int

from m3i_jax.losses.prediction import NEVER
from m3i_jax.types import Array, Scalar

WHOLE = 2**26  # products that are made at once


class Chunk(NamedTuple):
    """Some of the candidates. numbers: which of all they are.  exists: which of them do.

    The last two have the rank of the products, which they stand beside: (1, …, 1, c).
    """

    candidates: Float[Array, "chunk dim"]
    numbers: Int[Array, "*ones chunk"]
    exists: Bool[Array, "*ones chunk"]


class Choice(NamedTuple):
    """What is known of the choice of one candidate among those seen so far, for every position.

    largest: of their logits a.  total: Σ exp(a − largest).  own: the logit of the right one.
    """

    largest: Float32[Array, "*positions"]
    total: Float32[Array, "*positions"]
    own: Float32[Array, "*positions"]

    def nats(self) -> Float32[Array, "*positions"]:
        """−log of the share of the right one."""
        return jnp.log(self.total) + (self.largest - self.own)


def products(
    prediction: Float[Array, "*positions dim"], candidates: Float[Array, "candidates dim"]
) -> Float32[Array, "*positions candidates"]:
    """ẑᵀz of every position with every candidate: (..., D), (M, D) -> (..., M) float32."""
    x, y = jnp.asarray(prediction, jnp.float32), jnp.asarray(candidates, jnp.float32)
    return jnp.matmul(x, y.T, precision="highest")


def count(positions: int, candidates: int, *, whole: int = WHOLE) -> int:
    """Chunks in which candidates are taken: the fewest whose products with all positions are few.

    Of up to twice as many those that divide the candidates, and the largest power of two is left in
    a chunk, to be shared by devices.
    """
    least = min(-(-positions * candidates // whole), candidates)
    if least <= 1:
        return 1
    fits = [n for n in range(least, min(2 * least, candidates) + 1) if candidates % n == 0]
    twos = lambda n: (candidates // n) & -(candidates // n)  # noqa: E731
    return max(fits, key=lambda n: (twos(n), -n), default=least)


def fold(
    see: Callable[[Any, Float32[Array, "*positions chunk"], Chunk], tuple[Any, Any]],
    found: Any,
    prediction: Float[Array, "*positions dim"],
    candidates: Float[Array, "candidates dim"],
    *,
    valid: Bool[Array, " candidates"] | None = None,
    whole: int = WHOLE,
) -> tuple[Any, Any]:
    """`see(carry, products, chunk) -> (carry, out)` over all candidates, from what was `found` on.

    Returns the last carry, and what came out in the order of the candidates: None, or (M,) of (c,).
    """
    total = candidates.shape[0]
    exists = jnp.ones(total, bool) if valid is None else valid
    numbers = jnp.arange(total, dtype=jnp.int32)
    parts = count(math.prod(prediction.shape[:-1]), total, whole=whole)

    def body(carry, dealt):
        rows, *marks = dealt
        marks = (x.reshape((1,) * (prediction.ndim - 1) + x.shape) for x in marks)
        return see(carry, products(prediction, rows), Chunk(rows, *marks))

    if parts == 1:
        return body(found, (candidates, numbers, exists))
    padded = -(-total // parts) * parts

    def dealt(x):
        # (M, …) -> (chunks, c, …): candidate i·chunks + j is the i-th of chunk j.
        x = jnp.pad(x, ((0, padded - total), *((0, 0),) * (x.ndim - 1)))
        return x.reshape(padded // parts, parts, *x.shape[1:]).swapaxes(0, 1)

    # What does not exist has the number 0, which is no harm: nobody counts it.
    chunks = tuple(map(dealt, (candidates, numbers, exists)))
    # In a scan nothing merges what is made again with what was made before.
    carry, out = jax.lax.scan(jax.checkpoint(body, prevent_cse=False), found, chunks)
    return carry, jax.tree.map(lambda x: x.swapaxes(0, 1).reshape(padded)[:total], out)


def nothing(index: Int[Array, "*positions"]) -> Choice:
    """A choice before any candidate was seen."""
    zero = jnp.zeros(index.shape, jnp.float32)
    return Choice(jnp.full(index.shape, NEVER), zero, zero)


def among(
    choice: Choice,
    logits: Float32[Array, "*positions candidates"],
    right: Bool[Array, "*#positions candidates"],
    offered: Bool[Array, "*#positions candidates"],
) -> Choice:
    """The choice after these candidates, too. offered: which there are.  right: the right one."""
    seen = jnp.where(offered, logits, NEVER)
    # Off with the largest first: differences of small numbers keep their digits.
    largest = jax.lax.stop_gradient(jnp.maximum(choice.largest, seen.max(-1)))
    total = choice.total * jnp.exp(choice.largest - largest)
    total = total + jnp.exp(seen - largest[..., None]).sum(-1)
    own = choice.own + jnp.where(right, logits, 0.0).sum(-1)
    return Choice(largest, total, own)


def choose(
    start: Choice,
    prediction: Float[Array, "*positions dim"],
    candidates: Float[Array, "candidates dim"],
    index: Int[Array, "*positions"],
    *,
    temperature: Scalar = 1.0,
    valid: Bool[Array, " candidates"] | None = None,
    skip: Int[Array, "*#positions"] | None = None,
    whole: int = WHOLE,
) -> Choice:
    """The choice of candidate `index` by logits ẑᵀz/τ, after those that `start` has seen.

    index: −1 where the right one is none of these.  skip: one that a position is not offered.
    """

    def see(choice, found, chunk):
        right = (chunk.numbers == index[..., None]) & chunk.exists
        offered = (
            chunk.exists if skip is None else chunk.exists & (chunk.numbers != skip[..., None])
        )
        return among(choice, found / temperature, right, offered), None

    return fold(see, start, prediction, candidates, valid=valid, whole=whole)[0]
