"""How well a run of CIM predicts hidden visual tokens, and how well it repairs or finds them."""

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from m3i_jax import metrics
from m3i_jax.analysis import predictions
from m3i_jax.build import ConfigError
from m3i_jax.checkpoints import place, weights
from m3i_jax.data.epoch import Rows, epoch
from m3i_jax.data.sources.subset import spread
from m3i_jax.evaluation import datasets, models, results
from m3i_jax.evaluation.features import NotMeasurable
from m3i_jax.training.assemble import objective
from m3i_jax.training.step import views
from m3i_jax.types import Array, Batch

LOG = logging.getLogger(__name__)
METHOD = "cim"


class CimModel(NamedTuple):
    """A run of CIM, whole: its generator and heads are in the branch "online" alone.

    states: by slot, those that its codes read (the tokenizer, its codebook).
    """

    trained: models.Model
    method: Any
    states: dict[str, Any]


class Observed(NamedTuple):
    """What was found of B images of n visual tokens.

    hidden, right, replaced: (B, n) bool: hidden from the generator; its likeliest token is the
      target; the token drawn in its place is another.
    target: (B, n) int32.  nats: (B, n), −log P̂(target token).
    odds: (B, n), the enhancer's log-odds that a cell was replaced; None for ResPix.
    errors: (B, 4), means over pixels of |e|, e² and, for a prediction of 0, |t|, t²; None for
      RevDet.
    """

    hidden: Array
    right: Array
    replaced: Array
    target: Array
    nats: Array
    odds: Array | None
    errors: Array | None


def restore(path: str | Path, *, step: int | None = None) -> CimModel:
    """A run of CIM from its work directory, or from one of its checkpoint steps.

    Raises:
      ConfigError: there is no such directory or checkpoint, or it is a run of another method.
    """
    trained = models.restore(path, branch="online", step=step)
    name = trained.config.objective.get("name")
    if name != METHOD:
        raise ConfigError(
            f"'{trained.workdir}' is a run of '{name}'; only those of '{METHOD}' corrupt images"
        )
    method = objective(trained.config)
    if "words" not in method.terms:
        raise ConfigError(f"'{trained.workdir}' repairs erased pixels and has no generator to show")
    kept = place.folder(trained.workdir) / str(trained.step)
    read = [slot for code in method.encoded.values() for slot in code.encoder.slots]
    states = {slot.name: weights.load_slot(kept, slot.name) for slot in read}
    return CimModel(trained, method, states)


def batches(model: CimModel, *, limit: int, batch: int) -> Iterator[Rows]:
    """The test set in order; at most `limit` images, spread evenly, 0 takes all."""
    source = datasets.of_run(model.trained).open("test", None)
    chosen = spread(source, limit or len(source))
    size = model.trained.config.image
    return epoch(chosen, batch=min(batch, len(chosen)), size=size)


def look(
    model: CimModel,
    params: Any,
    states: Any,
    batch: Batch,
    *,
    key: Array,
    sampling: Array | None = None,
) -> predictions.Seen:
    """What the run makes of a batch, its prediction of every term included."""
    method, network = model.method, model.trained.network
    inputs = views(key, batch, {})
    options = dict(key=key, sampling=sampling, terms=tuple(method.terms))
    return predictions.look(method, network, params, states, inputs, **options)


def measure(model: CimModel, *, limit: int = 0, batch: int = 100, seed: int = 0) -> results.Result:
    """Measures of generator and enhancer on the test set, whose images no step has seen.

    generator_top1, generator_nats: of target tokens at hidden cells.
    unigram_top1, unigram_nats: what the best constant makes of the same tokens, their most
      frequent one and their entropy: counted on them, so that no constant can do better.
    replaced: share of hidden cells whose drawn token is not the target.
    RevDet: `auc` of replaced cells among all, `auc_hidden` among the hidden ones alone: those that
      were not replaced were predicted right, so that how hard a cell is tells much there.
    ResPix: `respix_l1`, `respix_l2`, means of |e| and e² over all pixels, and `…_zero` of them for
      a prediction of 0, the mean of every window.

    Args:
      model: see `restore`.
      limit: at most so many images, spread evenly; 0 takes all.
      batch: images at once.   seed: of masks and samples.
    """
    observe = jax.jit(partial(_observe, model))
    observed, count, lost = [], 0, 0
    for i, rows in enumerate(batches(model, limit=limit, batch=batch)):
        key = jax.random.fold_in(jax.random.key(seed), i)
        one = jax.device_get(observe(model.trained.params, model.states, rows.batch, key))
        observed.append(jax.tree.map(lambda x, real=rows.real: x[real], one))
        count, lost = count + int(rows.real.sum()), lost + int(rows.lost.sum())
    if not count:
        raise NotMeasurable(f"there is nothing to measure: none of {lost} images can be read")
    observed = jax.tree.map(lambda *parts: np.concatenate(parts), *observed)
    named = results.named(METHOD, **_generator(observed), **_enhancer(observed))
    task = model.trained.config.objective.get("task", "respix")
    protocol = dict(task=task, batch=batch, seed=seed, image=model.trained.config.image)
    if lost:
        LOG.warning("%d of %d test images cannot be read: they are left out", lost, lost + count)
    return results.Result(named, "online", model.trained.step, protocol, {"test": count})


def auc(scores: Array, positive: Array) -> float | None:
    """P(score of a positive > score of a negative) + ½ P(equal), exactly, in float64.

    By ranks: (R − n₊(n₊ + 1)/2) / (n₊ n₋), R the sum of the positives' ranks, tied ones averaged.
    (n,) scores, (n,) bool -> a number; None unless there are both kinds.
    """
    positive = np.asarray(positive, bool).ravel()
    many, few = int(positive.sum()), int((~positive).sum())
    if not many or not few:
        return None
    _, place, tied = np.unique(
        np.asarray(scores, np.float64).ravel(), return_inverse=True, return_counts=True
    )
    rank = np.cumsum(tied) - (tied - 1) / 2
    total = rank[place.ravel()][positive].sum()
    return float((total - many * (many + 1) / 2) / (many * few))


def constant(tokens: np.ndarray) -> tuple[float, float]:
    """Share of the most frequent of the tokens (n,), and their entropy in nats."""
    shares = np.bincount(tokens) / tokens.size
    shares = shares[shares > 0]
    return float(shares.max()), float(-(shares * np.log(shares)).sum())


def _observe(model: CimModel, params, states, batch: Batch, key: Array) -> Observed:
    """What is measured of one batch, compiled."""
    method, network = model.method, model.trained.network
    seen = look(model, params, states, batch, key=key)
    size = len(batch.images["a"])
    logits, tokens = seen.predicted["words"]
    odds = errors = None
    for name in predictions.replaced_terms(method):
        odds = predictions.cells(method, network, seen, name)[0].reshape(size, -1)
    for name in predictions.pixel_terms(method):
        prediction, target = seen.predicted[name]
        e, t = (x.reshape(size, -1) for x in (prediction - target.tokens, target.tokens))
        means = [x.mean(-1) for x in (jnp.abs(e), jnp.square(e), jnp.abs(t), jnp.square(t))]
        errors = jnp.stack(means, axis=-1)
    return Observed(
        hidden=~seen.prepared.visible["guess"].reshape(size, -1),
        right=metrics.hits(logits, tokens.target_index),
        replaced=seen.prepared.views["corrupted"].regions["replaced"].cells.reshape(size, -1),
        target=tokens.target_index,
        nats=method.terms["words"].predict.score(logits, tokens),
        odds=odds,
        errors=errors,
    )


def _generator(cells: Observed) -> dict[str, float]:
    """Measures at hidden cells, beside those of a constant prediction."""
    where = cells.hidden
    top1, nats = constant(cells.target[where])
    return {
        "generator_top1": cells.right[where].mean(),
        "unigram_top1": top1,
        "generator_nats": cells.nats[where].mean(dtype=np.float64),
        "unigram_nats": nats,
        "replaced": cells.replaced[where].mean(),
    }


def _enhancer(cells: Observed) -> dict[str, float | None]:
    """Measures of the task that the run was trained for."""
    if cells.errors is not None:
        names = ("respix_l1", "respix_l2", "respix_l1_zero", "respix_l2_zero")
        return dict(zip(names, cells.errors.mean(0, dtype=np.float64), strict=True))
    where = cells.hidden
    return {
        "auc": auc(cells.odds, cells.replaced),
        "auc_hidden": auc(cells.odds[where], cells.replaced[where]),
    }
