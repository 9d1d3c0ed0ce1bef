"""Retrieval between images and texts: what of the other kind comes first, by cosine.

R@k as on Flickr30k and COCO (Karpathy & Fei-Fei 2015, https://arxiv.org/abs/1412.2306);
docs/methods.md#retrieval.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from m3i_jax import normalize
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.types import Array

CHUNK = 256  # queries whose similarities are in memory at once


def ranks(
    queries: Float[Array, "queries dim"],
    candidates: Float[Array, "candidates dim"],
    *,
    wanted: Int[Array, " queries"],
    owners: Int[Array, " candidates"],
    chunk: int = CHUNK,
) -> Int[np.ndarray, " queries"]:
    """How many candidates of others are at least as near as a query's own nearest one.

        rank_q = |{c : owners_c ≠ wanted_q, cos(q, c) ≥ max_{owners_d = wanted_q} cos(q, d)}|

    So a query is found among k where its rank is below k. Ties count against it: a constant
    encoder finds nothing. A query of which no candidate is has all of them before it.

    Args:
      queries, candidates: of any length, compared by their directions.
      wanted, owners: whom a query looks for, and whose a candidate is.
      chunk: queries at a time; memory is chunk x candidates floats.
    """
    # Equal vectors have equal cosines only where the product is the same one: edges of a matrix are
    # summed in another order. So what is equal is computed once.
    distinct, place = np.unique(np.asarray(candidates, np.float32), axis=0, return_inverse=True)
    bank, place = normalize.unit(jnp.asarray(distinct)), jnp.asarray(place.reshape(-1))
    chunk = max(1, min(chunk, len(queries)))
    ahead = []
    for first in range(0, len(queries), chunk):
        rows, whom = (np.asarray(x)[first : first + chunk] for x in (queries, wanted))
        fill = chunk - len(rows)
        rows, whom = np.pad(rows, ((0, fill), (0, 0))), np.pad(whom, (0, fill))
        counts = _ahead(bank, place, jnp.asarray(owners), rows, whom)
        ahead.append(np.asarray(counts)[: chunk - fill])
    return np.concatenate(ahead)


@jax.jit
def _ahead(bank: Array, place: Array, owners: Array, rows: Array, wanted: Array) -> Array:
    """The ranks of a few queries."""
    near = jnp.matmul(normalize.unit(rows), bank.T, precision="highest")[:, place]
    own = owners[None] == wanted[:, None]
    best = jnp.where(own, near, -jnp.inf).max(1, keepdims=True)
    return (~own & (near >= best)).sum(1)


def recalls(
    images: Float[Array, "images dim"],
    texts: Float[Array, "texts dim"],
    owners: Int[Array, " texts"],
    *,
    ks: Sequence[int] = (1, 5, 10),
    chunk: int = CHUNK,
) -> dict[str, dict[int, int]]:
    """How many images and texts find their own among the k nearest, for every k.

    An image is found where any of its texts is among the k texts nearest to it; a text where its
    image is among the k images nearest to it.

    Args:
      images, texts: embeddings, compared by cosine.
      owners: (M,), which row of `images` a text describes; every image has one or more.
      ks: of R@k; one beyond the number of candidates finds all.
      chunk: rows compared at a time; there is never a matrix of all pairs.

    Returns:
      {"image_to_text": {k: images}, "text_to_image": {k: texts}}, counts.

    Raises:
      NotMeasurable: fewer than two images, one without a text, or embeddings that are not finite.
    """
    numbers = np.arange(len(images))
    _require(images, texts, owners)
    ranks_of = functools.partial(ranks, chunk=chunk)
    by_way = {
        "image_to_text": ranks_of(images, texts, wanted=numbers, owners=owners),
        "text_to_image": ranks_of(texts, images, wanted=owners, owners=numbers),
    }
    return {way: {k: int((rank < k).sum()) for k in ks} for way, rank in by_way.items()}


def _require(images: Array, texts: Array, owners: Array) -> None:
    """Refuses what no recall can be counted on."""
    if len(images) < 2:
        raise NotMeasurable(
            f"retrieval needs two images or more to choose from, and there is {len(images) or 'no'}"
        )
    lacking = len(images) - len(np.unique(owners))
    if lacking:
        raise NotMeasurable(f"{lacking} of {len(images)} images have no caption")
    for name, rows in (("images", images), ("captions", texts)):
        if bad := int((~np.isfinite(rows).all(axis=1)).sum()):
            raise NotMeasurable(f"{bad} of {len(rows)} {name} have embeddings that are not finite")
