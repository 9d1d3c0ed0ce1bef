"""Weighted k-nearest-neighbour classification of frozen features.

Wu et al. 2018, §3.4, https://arxiv.org/abs/1805.01978; docs/methods.md#k-nearest-neighbours.
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from m3i_jax import normalize
from m3i_jax.evaluation.features import FeatureSet, require_tables
from m3i_jax.types import Array


def knn(
    train: FeatureSet,
    test: FeatureSet,
    *,
    k: int | Sequence[int] = 20,
    temperature: float = 0.07,
    chunk: int = 256,
) -> dict[int, float]:
    """Top-1 accuracy of a cosine vote of the k nearest training rows, for every k.

        class = argmax_c Σ_{i in the k nearest} exp(cos(z, z_i)/τ) [y_i = c]

    Exact: every pair is compared, in float32. Of equally near rows the earlier one goes first, of
    equal votes the class of the nearer neighbour wins. k beyond the training set means all of it.

    Args:
      train, test: features and labels; every row needs a label.
      k: how many neighbours vote; several numbers cost no more than the largest.
      temperature: τ.
      chunk: test rows at a time; memory is chunk x (training rows + k²) floats.

    Returns:
      {k: top-1}, each a share of exactly the test rows.

    Raises:
      NotMeasurable, ValueError: see `features.require_tables`.
    """
    ks = (int(k),) if isinstance(k, int | np.integer) else tuple(k)
    if not ks or min(ks) < 1:
        raise ValueError(f"k is {k}, expected one or more positive numbers of neighbours")
    if not 0 < temperature < np.inf:
        raise ValueError(f"the temperature is {temperature}, expected a positive number")
    if chunk < 1:
        raise ValueError(f"chunks of {chunk} rows, expected 1 or more")
    require_tables(train, test, what="kNN")
    bank = FeatureSet(normalize.unit(jnp.asarray(train.features)), jnp.asarray(train.labels))
    features, labels = np.asarray(test.features), np.asarray(test.labels)
    correct = np.zeros(len(ks), np.int64)
    for first in range(0, len(labels), chunk):
        rows = features[first : first + chunk]
        fill = np.zeros((min(chunk, len(labels)) - len(rows), rows.shape[1]), rows.dtype)
        voted = _vote_compiled(bank, np.concatenate([rows, fill]), ks, temperature)
        voted = np.asarray(voted)[:, : len(rows)]
        correct += (voted == labels[None, first : first + chunk]).sum(axis=1)
    return {k: int(c) / len(labels) for k, c in zip(ks, correct, strict=True)}


def online_knn(
    bank: FeatureSet, queries: FeatureSet, *, k: int = 20, temperature: float = 0.07
) -> Array:
    """Top-1 of the same vote as a scalar, for use inside a compiled step: a training monitor.

    Rows of the bank without a label (-1) do not vote and queries without one do not count; 0 if
    nothing is left.
    """
    labels = jnp.asarray(queries.labels)
    bank = FeatureSet(normalize.unit(bank.features), jnp.asarray(bank.labels))
    voted = vote(bank, queries.features, ks=(k,), temperature=temperature)[0]
    counted = labels >= 0
    total = counted.sum()
    return ((voted == labels) & counted).sum() / jnp.maximum(total, 1).astype(jnp.float32)


def vote(bank: FeatureSet, queries: Array, *, ks: tuple[int, ...], temperature: float) -> Array:
    """Class that the k nearest rows of the bank vote for: (B, D) queries -> (len(ks), B) int32.

    bank: features of unit norm; rows with label -1 have no vote. -1 where nobody votes.
    """
    # Default precision on accelerators is bfloat16, which reorders near neighbours.
    near = jnp.matmul(normalize.unit(queries), bank.features.T, precision="highest")
    near = jnp.where((bank.labels >= 0)[None, :], near, -jnp.inf)
    # Without barriers XLA fuses the slices below into the search and sorts whole rows on CPU; one
    # barrier around the pair makes it crash where the program is partitioned (jaxlib 0.10.2).
    near, index = map(
        jax.lax.optimization_barrier, jax.lax.top_k(near, min(max(ks), bank.features.shape[0]))
    )
    labels = bank.labels[index]
    # Votes relative to the nearest neighbour, so that no temperature under- or overflows.
    first = jnp.where(labels[:, :1] >= 0, near[:, :1], 0.0)
    weight = jnp.exp((near - first) / temperature)
    same = labels[:, :, None] == labels[:, None, :]
    winners = []
    for k in ks:
        votes = jnp.where(same[:, :k, :k], weight[:, None, :k], 0.0).sum(-1)
        best = jnp.argmax(votes, axis=1)
        winners.append(jnp.take_along_axis(labels, best[:, None], axis=1)[:, 0])
    return jnp.stack(winners)


@functools.partial(jax.jit, static_argnums=(2, 3))
def _vote_compiled(
    bank: FeatureSet, queries: Array, ks: tuple[int, ...], temperature: float
) -> Array:
    return vote(bank, queries, ks=ks, temperature=temperature)
