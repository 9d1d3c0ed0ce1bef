"""Many heads on frozen features, trained at once: a grid of rates and decays.

What the heads of a step look at is made in that step, of its images, or has been made before: `fit`
is told by `see`, and several kinds of features of the same images are one forward pass.
"""

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float, Int

from m3i_jax.evaluation.progress import ticker
from m3i_jax.parallel import sharding
from m3i_jax.types import Array

EPS, MOMENTUM = 1e-6, 0.1  # of AIM's batch norm; the momentum is torch's

Params = dict[str, Array]
Head = Callable[[Params, Array], Array]  # (parameters, (B, ...) features) -> (B, C) logits


class Optimizer(NamedTuple):
    """p ← p − η(u + decay·p), u being what `rule` makes of the gradient, η = f + factor·(rate − f).

    rule: without a rate.  factors: of the rate, one for each step.
    floor: f, the least rate, where the factor is 0.
    """

    rule: optax.GradientTransformation
    factors: Sequence[float]
    floor: float = 0.0

    def rates(self, step: int, peaks: Float[np.ndarray, " heads"]) -> Float[np.ndarray, " heads"]:
        """η of each head in a step, counted from 0."""
        return (self.floor + self.factors[step] * (peaks - self.floor)).astype(np.float32)


class Sight(NamedTuple):
    """How heads see the inputs of a step.

    see: (frozen, inputs) -> {kind: (B, ...) features}; compiled with the step.
    frozen: what `see` needs and no step changes, such as the parameters of an encoder.
    mesh: of the devices that share a batch, see `parallel.sharding`; None = one.
    """

    see: Callable[[Any, Any], dict[str, Array]]
    frozen: Any = None
    mesh: Any = None

    def place(self, tree: Any) -> Any:
        """The same on every device."""
        if self.mesh is None:
            return tree
        return jax.device_put(tree, sharding.replicated(self.mesh))


def _inputs(frozen: Any, inputs: Any) -> Any:
    return inputs


GIVEN = Sight(_inputs)  # features that have been made before


class Norm(NamedTuple):
    """Running mean and unbiased variance of each feature, (D,), of a batch norm without affine."""

    mean: Array
    variance: Array


class Table(NamedTuple):
    """Heads of a grid. params: each leaf (H, ...).  rates, decays: (H,).

    norm: what is taken from all features before the heads see them; None = nothing.
    """

    params: Params
    rates: np.ndarray
    decays: np.ndarray
    norm: Norm | None = None

    def only(self, number: int) -> "Table":
        """The table of one of them."""
        one = slice(number, number + 1)
        params = {name: leaf[one] for name, leaf in self.params.items()}
        return self._replace(params=params, rates=self.rates[one], decays=self.decays[one])


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
    count: int, *, batch: int, seed: int = 0
) -> Iterator[tuple[int, Int[np.ndarray, " batch"]]]:
    """(epoch, numbers of rows) without end: every row once, in random order, then all again.

    A batch never holds rows of two epochs; what is left of an epoch, less than a batch, is dropped.
    """
    batch, rng = min(batch, count), np.random.default_rng(seed)
    for step in itertools.count():
        epoch, place = divmod(step, count // batch)
        if place == 0:
            order = rng.permutation(count)
        yield epoch, order[place * batch : (place + 1) * batch]


def fit(
    head: Head,
    starts: Mapping[str, Callable[[Array], Params]],
    optimizer: Optimizer,
    batches: Iterable[tuple[Any, Array]],
    key: Array,
    *,
    rates: Sequence[float],
    decays: Sequence[float] | None = None,
    normalise: bool = False,
    sight: Sight = GIVEN,
    what: str = "heads",
) -> dict[str, Table]:
    """Trains a head for each kind of features and rate: softmax cross-entropy, the mean of a batch.

    Args:
      head: a function of its own, as it is compiled for it.
      starts: by kind of features, key -> parameters of one head; what is called a bias does not
        decay.
      optimizer: see `Optimizer`; as many steps as it has factors.
      batches: inputs and labels, of one shape; a label of -1 weighs nothing.
      key: each head starts from another one of it; the heads of all kinds from the same ones.
      rates, decays: of each head; decays of 0 if None.
      normalise: features go through a batch norm without affine first (AIM).
      sight: how heads see the inputs.
      what: is trained, for the log.
    """
    rates = np.asarray(rates, np.float32)
    decays = np.zeros_like(rates) if decays is None else np.asarray(decays, np.float32)
    keys, state = jax.random.split(key, len(rates)), {}
    for kind, start in starts.items():
        params = jax.vmap(start)(keys)
        state[kind] = params, jax.vmap(optimizer.rule.init)(params), None
    tick = ticker(f"{what}: step", total=len(optimizer.factors))
    rule = Rule(head, optimizer.rule.update, normalise, sight.see)
    state = sight.place(state)
    with jax.set_mesh(sight.mesh) if sight.mesh else contextlib.nullcontext():
        for done, (_, (x, y)) in enumerate(zip(optimizer.factors, batches, strict=True)):
            tick(done)
            if normalise and not done:
                state = sight.place(_with_norms(rule, state, sight.frozen, x))
            now = optimizer.rates(done, rates)
            state = _step(rule, state, sight.frozen, x, y, now, decays)
    held = jax.device_get(state)
    return {kind: Table(params, rates, decays, norm) for kind, (params, _, norm) in held.items()}


class Rule(NamedTuple):
    """What a step is compiled for: the head, its optimiser, whether it normalises, what it sees."""

    head: Head
    update: Any
    normalise: bool
    see: Callable[[Any, Any], dict[str, Array]]


def _with_norms(rule: Rule, state: Any, frozen: Any, x: Any) -> Any:
    """The state with running statistics as torch starts them: 0 and 1."""
    shapes, normed = jax.eval_shape(rule.see, frozen, x), {}
    for kind, (params, memory, _) in state.items():
        width = shapes[kind].shape[-1]
        normed[kind] = params, memory, Norm(jnp.zeros(width), jnp.ones(width))
    return normed


@functools.partial(jax.jit, static_argnums=0, donate_argnums=1)
def _step(rule: Rule, state: Any, frozen: Any, x: Any, y: Array, rates: Array, decays: Array):
    """One step of every head of every kind on one batch."""
    features, moved = rule.see(frozen, x), {}
    for kind, (params, memory, norm) in state.items():
        seen = features[kind]
        if rule.normalise:
            seen, norm = _by_the_batch(seen, norm)
        advance = functools.partial(_advance, rule, seen, y)
        moved[kind] = *jax.vmap(advance)(params, memory, rates, decays), norm
    return moved


def _advance(rule: Rule, x: Array, y: Array, params: Params, memory: Any, rate, decay):
    """One step of one head."""

    def loss(params):
        each = optax.softmax_cross_entropy_with_integer_labels(rule.head(params, x), jnp.abs(y))
        return (each * (y >= 0)).sum() / jnp.maximum((y >= 0).sum(), 1)

    change, memory = rule.update(jax.grad(loss)(params), memory, params)
    moved = {}
    for name, leaf in params.items():
        shrink = 0.0 if name.endswith("bias") else decay
        moved[name] = leaf - rate * (change[name] + shrink * leaf)
    return moved, memory


def _by_the_batch(x: Float[Array, "batch *tokens dim"], norm: Norm) -> tuple[Array, Norm]:
    """(x − mean)/√(variance + eps) of the batch, and the running statistics after it."""
    axes, count = tuple(range(x.ndim - 1)), x.size // x.shape[-1]
    batch = Norm(x.mean(axes), x.var(axes))
    unbiased = batch._replace(variance=batch.variance * count / max(count - 1, 1))
    moved = (old + MOMENTUM * (new - old) for old, new in zip(norm, unbiased, strict=True))
    return _normalised(x, batch), Norm(*moved)


def _normalised(x: Float[Array, "batch *tokens dim"], norm: Norm) -> Array:
    mean, variance = (jnp.broadcast_to(row, x.shape) for row in norm)
    return (x - mean) * jax.lax.rsqrt(variance + EPS)


def scores(head: Head, table: Table, x: Array) -> Float[Array, "heads batch classes"]:
    """Logits of every head of (B, ...) features; can be compiled."""
    x = x if table.norm is None else _normalised(x, table.norm)
    return jax.vmap(head, (0, None))(table.params, x)


def choices(head: Head, table: Table, x: Array) -> Int[Array, "batch heads"]:
    """The class that each head gives each row, the lower of equal ones; -1 of scores that are no
    numbers. Can be compiled."""
    scored = scores(head, table, x)
    sound = jnp.isfinite(scored).all(-1)
    return jnp.where(sound, scored.argmax(-1), -1).T
