"""The training step: a pure function of (state, batch), compiled once.

augment → derive views → encode every code once → score every term → weigh → differentiate →
optimise → update slots. Randomness is fold_in(fold_in(seed, step), name): any step can be
replayed, and no random state is kept.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Bool, Int32

from m3i_jax import augment as augmenting
from m3i_jax import framework as fw
from m3i_jax import normalize, trees
from m3i_jax.framework.keys import named
from m3i_jax.framework.scoring import Prepared
from m3i_jax.parallel.constrain import summed_in
from m3i_jax.training import spikes
from m3i_jax.training.spikes import Spikes
from m3i_jax.training.state import TrainState
from m3i_jax.types import Array, Batch, Box, Scalar, View, ViewAnnotations

Augment = Callable[[Array, Array], Array]  # (key, images in [0, 1]) -> normalised


def views(key: Array, batch: Batch, augment: Mapping[str, Augment]) -> dict[str, View]:
    """The host's views on the device, normalised as ImageNet's, by `augment` where it has the view.

    Categories are absent where the label is −1, texts where every token is padding. What is said of
    the pixels of view a are views of their own, as `framework.PIXELWISE` calls them.
    """
    views = {}
    for name, images in (batch.images | _resized(batch)).items():
        # uint8 up to here: a quarter of the bytes on the way from the host.
        images = images.astype(jnp.float32) / 255.0
        if name in augment:
            images = augment[name](named(key, "augment/" + name), images)
        else:
            images = normalize.channels(images)
        box = Box.of(batch.boxes[name]) if name in batch.boxes else None
        views[name] = View(images, box)
    if batch.label is not None:
        # Absent, not zero: rows without a target drop out of its terms (`engine._row_weights`).
        views["label"] = View(batch.label, present=batch.label >= 0)
    if batch.text is not None:
        views["text"] = View(batch.text, present=(batch.text != 0).any(-1))
    said = (batch.annotations or {}).get("a", ViewAnnotations())
    for name in fw.PIXELWISE:
        if (value := getattr(said, name)) is not None:
            views[name] = View(value, present=said.present[name])
    return views


def _resized(batch: Batch) -> dict[str, Array]:
    """The views that the host has cut and not resized."""
    return {
        name: augmenting.views_of(cuts, batch.boxes[name], interpolation=interpolation)
        for interpolation, views in (batch.cuts or {}).items()
        for name, cuts in views.items()
    }


def make_step(
    *,
    network: Any,
    method: fw.Method,
    weighting: fw.Weighting,
    optimizer: optax.GradientTransformationExtraArgs,
    schedule: Callable[[Array], Array],
    augment: Mapping[str, Augment],
    seed: int,
    total: int,
    accumulate: int = 1,
    group: int = 1,
    every: int = 1,
    split: Callable[[fw.engine.Gradients], fw.engine.Gradients] = lambda result: result,
    sums: str | None = None,
    freeze: str | None = None,
    policy: Spikes = Spikes(),
) -> Callable[[TrainState, Batch], tuple[TrainState, dict[str, Array]]]:
    """step(state, batch) -> (state, metrics), a pure function.

    total: number of steps of the whole training, for the ramps.
    accumulate: micro-batches per step; `group`: rows that must stay together in one.
    every: steps from one that is logged to the next. What only the log reads, the information and
      the health of the terms, is computed by these and the last one, and is NaN elsewhere.
    split: constrains where gradients live.  sums: their dtype, see `constrain.summed_in`.
    freeze: pattern of paths that do not move, whose gradient then nobody needs.
    policy: which steps change nothing but the counters, see `spikes`.
    """

    def step(state: TrainState, batch: Batch):
        # No random state is kept: the step number is all that a replay needs.
        key = jax.random.fold_in(jax.random.key(seed), state.step)
        sources = views(key, batch, augment)
        # For the whole batch, before it is cut: partners of mixes, masks and weights of rows are
        # the same however many micro-batches there are.
        prepared = fw.prepare(
            method, network, sources, key=key, params=state.params, states=state.slots
        )
        # The step counts itself, so that the last one is at 1.
        progress = (state.step + 1).astype(jnp.float32) / total
        read = _read(state.step + 1, every, total)
        differentiate = lambda part, key: fw.gradients(  # noqa: E731
            method, network, weighting, state.params, state.slots, part,
            balance=state.balance, progress=progress, key=key, read=read,
        )  # fmt: skip
        with summed_in(sums):
            result = split(_accumulated(differentiate, prepared, key, accumulate, group))
        norm = optax.tree.norm(_trained(result.params, freeze))
        counted = state.step - state.skipped
        sound, medians = spikes.sound(policy, state.recent, result.loss, norm)
        move = partial(_moved, method, optimizer, result, norm, progress)
        # A branch, not a select: it lets the state be updated in place.
        state = jax.lax.cond(sound, move, lambda state: state, state)
        # Counted also when it was skipped: the next one draws other numbers, and gets other data.
        kept = state.replace(step=state.step + 1, skipped=state.skipped + ~sound)
        # The optimiser's own count stands still in steps that are skipped; so does its rate.
        metrics = _metrics(result, norm, schedule(counted), kept.skipped) | medians
        return kept, metrics | _slot_metrics(method, progress)

    return step


def _read(step: Int32[Array, ""], every: int, total: int) -> Bool[Array, ""] | None:
    """Whether `step` is logged; None where all are."""
    # Decided in the program: the numbers take some Cholesky decompositions, on every device.
    if every == 1:
        return None
    last = step == total
    return (step % every == 0) | last if every else last


def _trained(gradient: Any, freeze: str | None) -> Any:
    """What the optimiser goes by; the gradient of what is frozen would be computed for the norm."""
    # What running statistics have in place of a gradient is a distance, and no gradient.
    gradient = trees.drop(gradient, trees.STATISTICS)
    return trees.drop(gradient, freeze) if freeze else gradient


def _moved(method, optimizer, result, norm, progress, state: TrainState) -> TrainState:
    """The state moved by the optimiser, its averages and queues behind it."""
    changes, moments = optimizer.update(result.params, state.optimizer, state.params, norm=norm)
    params = optax.apply_updates(state.params, changes)
    slots = fw.update(method, params, state.slots, result.updates, progress)
    recent = spikes.noted(state.recent, state.step - state.skipped, result.loss, norm)
    return state.replace(
        params=params,
        optimizer=moments,
        slots=slots,
        balance=result.weighting,
        recent=recent,
    )


class Advance(NamedTuple):
    """advance(leaves, batch) -> (leaves, metrics), over the flat leaves of the state.

    program: (leaves, batch, total, warmup) -> the same, jitted or compiled: one for runs of every
      length.
    total, warmup: steps of this one.
    """

    program: Callable
    total: int
    warmup: int

    def __call__(self, leaves: list, batch: Batch) -> tuple[list, dict[str, Array]]:
        """One step; the leaves are donated."""
        return self.program(leaves, batch, self.total, self.warmup)

    def trace(self, leaves: list, batch: Batch) -> Any:
        """The step traced, as `jax.jit` does; arrays may be given by their shapes."""
        return self.program.trace(leaves, batch, self.total, self.warmup)

    def of(self, compiled: Any) -> "Advance":
        """The same by a program that is compiled."""
        return self._replace(program=compiled)


def jit_step(
    step: Callable[[int, int], Callable], state: TrainState, *, shardings: Any, batch_sharding: Any
) -> Callable:
    """The program of `Advance`, not compiled yet.

    step: (total, warmup) -> the pure step of a run of such lengths, which are traced: as inputs of
      the program they cost nothing, and as its constants every length would compile again.
    A flat list keeps the host's part of a call small (docs/benchmarks.md has the figures).
    """
    treedef = jax.tree.structure(state)
    flat = treedef.flatten_up_to(shardings)

    def advance(leaves, batch, total, warmup):
        state, metrics = step(total, warmup)(jax.tree.unflatten(treedef, leaves), batch)
        return jax.tree.leaves(state), metrics

    return jax.jit(
        advance,
        donate_argnums=0,
        in_shardings=(flat, batch_sharding, None, None),
        out_shardings=(flat, None),
    )


def _metrics(result: fw.engine.Gradients, norm, rate, skipped) -> dict[str, Array]:
    """Scalars of one step under their public names."""
    metrics = {
        "train/loss": result.loss,
        "optim/grad_norm": norm,
        "optim/lr": rate,
        "optim/skipped": skipped,
    }
    for name, score in result.scores.items():
        metrics[f"train/{name}"] = score.prediction
        if score.regularizer is not None:
            metrics[f"train/{name}/regularizer"] = score.regularizer
        if score.evidence is not None:
            metrics |= _evidence(name, score.evidence)
    metrics |= {f"balance/norm_{group}": value for group, value in result.norms.items()}
    if "sp" in result.weights:
        # The public name of M3I's one λ; weightings with other groups have a name for each.
        metrics["balance/lambda"] = result.weights["sp"]
    else:
        metrics |= {f"balance/weight_{g}": jnp.asarray(w) for g, w in result.weights.items()}
    return metrics


def _slot_metrics(method: fw.Method, progress: Scalar) -> dict[str, Scalar]:
    """What the slots tell about themselves, such as the momentum of an average."""
    slots = method.slots.values()
    return {name: value for slot in slots for name, value in slot.metrics(progress).items()}


def _evidence(name: str, evidence: fw.Evidence) -> dict[str, Array]:
    """What a term says about the information it carries, in nats, and the health of its target."""
    information = {
        f"information/{name}": evidence.information,
        f"information/{name}/prediction": evidence.prediction,
        f"information/{name}/entropy": evidence.entropy,
    }
    health = {"spread": evidence.spread, "rank": evidence.rank, "used": evidence.used}
    return information | {f"health/{name}/{k}": v for k, v in health.items() if v is not None}


def sliced(tree: Any, parts: int, group: int) -> Any:
    """Arrays (B, …) as `parts` micro-batches, (parts, B/parts, …); `group` rows stay together."""

    def split(x):
        # (B, …) -> (B/(parts·group), parts, group, …) -> (parts, B/parts, …)
        rows = x.reshape(x.shape[0] // (parts * group), parts, group, *x.shape[1:])
        rows = jnp.moveaxis(rows, 1, 0)
        return rows.reshape(parts, -1, *x.shape[1:])

    return jax.tree.map(split, tree)


def _accumulated(differentiate, prepared: Prepared, key, parts: int, group: int):
    """Mean of the gradients of `parts` micro-batches: exact where losses are means over rows.

    A micro-batch takes rows from all over the batch, so that under data sharding each device
    keeps its own rows; `group` neighbouring rows stay together.
    """

    if parts == 1:
        return differentiate(prepared, key)
    slices = sliced(prepared, parts, group)
    # The sum has to start from zeros of the right shapes, which tracing finds without computing.
    first = jax.eval_shape(differentiate, jax.tree.map(lambda x: x[0], slices), key)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), first)

    def body(total, part):
        number, rows = part
        result = differentiate(rows, jax.random.fold_in(key, number))
        # Integers have no mean: the last ones stand. Methods whose updates have any (tokens
        # that were chosen) keep statistics of the batch, and are refused with micro-batches.
        share = lambda t, r: t + r / parts if jnp.issubdtype(r.dtype, jnp.inexact) else r  # noqa: E731
        return jax.tree.map(share, total, result), None

    # A scan, so that one micro-batch after the other has the memory of one.
    total, _ = jax.lax.scan(body, zeros, (jnp.arange(parts), slices))
    return total
