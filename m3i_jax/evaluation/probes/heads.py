"""Many heads on the same frozen features, trained at once: a grid of rates and decays."""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float, Int

from m3i_jax.evaluation.features import FeatureSet
from m3i_jax.evaluation.probes.probe import ranks
from m3i_jax.evaluation.progress import ticker
from m3i_jax.types import Array

SCORED = 2**24  # scores that are in memory at once

Params = dict[str, Array]
Head = Callable[[Params, Array], Array]  # (parameters, (B, ...) features) -> (B, C) logits


class Optimizer(NamedTuple):
    """p ← p − factor·rate·(u + decay·p), u being what `rule` makes of the gradient.

    rule: without a rate.  factors: of the rate, one for each step.
    """

    rule: optax.GradientTransformation
    factors: Sequence[float]


class Table(NamedTuple):
    """Heads of a grid. params: each leaf (H, ...).  rates, decays: (H,)."""

    params: Params
    rates: np.ndarray
    decays: np.ndarray

    def only(self, number: int) -> "Table":
        """The table of one of them."""
        one = slice(number, number + 1)
        params = {name: leaf[one] for name, leaf in self.params.items()}
        return Table(params, self.rates[one], self.decays[one])


def linear(params: Params, x: Float[Array, "batch dim"]) -> Float[Array, "batch classes"]:
    """x @ kernel + bias."""
    product = jnp.matmul(x, params["kernel"], precision="highest")
    return product + params["bias"][None]


def linear_start(key: Array, width: int, classes: int, *, deviation: float = 0.01) -> Params:
    """Normal weights, no bias."""
    kernel = deviation * jax.random.normal(key, (width, classes))
    return {"kernel": kernel, "bias": jnp.zeros(classes)}


def cosine(steps: int) -> np.ndarray:
    """½(1 + cos(πt/T)) for t = 0 … T − 1: from 1 towards 0, as torch's CosineAnnealingLR."""
    return 0.5 * (1 + np.cos(np.pi * np.arange(steps) / steps))


def shuffled(
    count: int, *, batch: int, steps: int, seed: int = 0
) -> Iterator[tuple[int, Int[np.ndarray, " batch"]]]:
    """(epoch, numbers of rows) for each step: every row once, in random order, then all again.

    A batch never holds rows of two epochs; what is left of an epoch, less than a batch, is dropped.
    """
    batch, rng = min(batch, count), np.random.default_rng(seed)
    for step in range(steps):
        epoch, place = divmod(step, count // batch)
        if place == 0:
            order = rng.permutation(count)
        yield epoch, order[place * batch : (place + 1) * batch]


def fit(
    head: Head,
    start: Callable[[Array], Params],
    optimizer: Optimizer,
    batches: Iterable[tuple[Array, Array]],
    key: Array,
    *,
    rates: Sequence[float],
    decays: Sequence[float] | None = None,
    what: str = "heads",
) -> Table:
    """Trains a head for each rate: softmax cross-entropy, the mean over a batch.

    Args:
      head: a function of its own, as it is compiled for it.
      start: key -> parameters of one head; what is called a bias does not decay.
      optimizer: see `Optimizer`; as many steps as it has factors.
      batches: features and labels, of one shape.
      key: each head starts from another one of it.
      rates, decays: of each head; decays of 0 if None.
      what: is trained, for the log.
    """
    rates = np.asarray(rates, np.float32)
    decays = np.zeros_like(rates) if decays is None else np.asarray(decays, np.float32)
    params = jax.vmap(start)(jax.random.split(key, len(rates)))
    state = params, jax.vmap(optimizer.rule.init)(params)
    tick = ticker(f"{what}: step", total=len(optimizer.factors))
    for done, (factor, (x, y)) in enumerate(zip(optimizer.factors, batches, strict=True)):
        tick(done)
        now = np.float32(factor) * rates
        state = _step(head, optimizer.rule.update, state, x, y, now, decays)
    return Table(jax.device_get(state[0]), rates, decays)


@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=2)
def _step(head: Head, update: Any, state: Any, x: Array, y: Array, rates: Array, decays: Array):
    """One step of every head on one batch."""

    def loss(params):
        return optax.softmax_cross_entropy_with_integer_labels(head(params, x), y).mean()

    def advance(params, memory, rate, decay):
        change, memory = update(jax.grad(loss)(params), memory, params)
        moved = {}
        for name, leaf in params.items():
            shrink = 0.0 if name.endswith("bias") else decay
            moved[name] = leaf - rate * (change[name] + shrink * leaf)
        return moved, memory

    return jax.vmap(advance)(*state, rates, decays)


def top1(head: Head, table: Table, rows: FeatureSet) -> Float[np.ndarray, " heads"]:
    """Share of rows that each head gets right; one whose scores are no numbers gets none."""
    right = np.zeros(len(table.rates), np.int64)
    classes = table.params["kernel"].shape[-1]
    chunk = max(1, SCORED // (len(table.rates) * classes))
    for i in range(0, len(rows.labels), chunk):
        found = scores(head, table, rows.features[i : i + chunk])
        labels = np.asarray(rows.labels[i : i + chunk])
        right += np.array([(ranks(one, labels) < 1).sum() for one in found])
    return right / len(rows.labels)


def scores(head: Head, table: Table, x: Array) -> Float[np.ndarray, "heads batch classes"]:
    """Logits of every head."""
    return np.asarray(_scores(head, table.params, np.asarray(x)))


@functools.partial(jax.jit, static_argnums=0)
def _scores(head: Head, params: Params, x: Array) -> Array:
    return jax.vmap(head, (0, None))(params, x)
