"""Evaluation beside a training run: online kNN, its own classifier, the rank of the features."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from m3i_jax import data, metrics, normalize
from m3i_jax.data import pipeline
from m3i_jax.data.sources import protocol
from m3i_jax.data.sources.protocol import NoSplit
from m3i_jax.data.sources.subset import covering
from m3i_jax.evaluation import terms
from m3i_jax.evaluation.features import FeatureSet
from m3i_jax.evaluation.knn import online_knn
from m3i_jax.evaluation.pooling import pooled
from m3i_jax.training import hooks, reading, schema
from m3i_jax.training.loop import Hook, StepInfo
from m3i_jax.training.session import RunContext

LOG = logging.getLogger(__name__)
CHUNK = 256  # images encoded at once, and between two looks whether to leave


def monitor(context: RunContext) -> list[Hook]:
    """Hooks that a run's `config.monitor` asks for; for `training.session.train(watch=...)`."""
    wanted = schema.Monitor(**context.run.config.monitor)
    return _monitor(context, wanted) if wanted.every else []


def _monitor(context: RunContext, wanted: schema.Monitor) -> list[Hook]:
    """The hook that measures the encoder every so many steps."""
    run, config = context.run, context.run.config
    cut = dict(size=wanted.size or config.image, ratio=wanted.ratio)
    known = _subset(context.inputs.source, wanted.bank, cut)
    asked = _asked(context, wanted.queries, cut)
    if asked is not None:
        _warn_lacking(known[1], asked[1], context.inputs.source.classes, wanted.bank)
    pair = terms.pair(run.method, "label")

    @jax.jit
    def encode(params, images):
        # The images are the same on every process, so each device may hold them all.
        return pooled(run.network.encode(params, "image", _normal(images)), "mean")

    @jax.jit
    def measure(params, features, known, asked):
        own = features["online"][0]
        found = {
            "health/feature_std": metrics.feature_std(own),
            "health/effective_rank": metrics.effective_rank(own),
        }
        for branch, (of_bank, *of_asked) in features.items():
            for query in of_asked:
                top1 = online_knn(
                    FeatureSet(of_bank, known[1]), FeatureSet(query, asked[1]), k=wanted.k
                )
                found[f"probe/{branch}_knn/top1"] = top1
        if asked is not None and pair is not None:
            whole = run.network.encode(params, "image", _normal(asked[0]))
            scores = terms.logits(run.network, params, pair, whole)
            found["probe/online_category/top1"] = terms.top1(scores, asked[1])
        return found

    shown = [known[0]] if asked is None else [known[0], asked[0]]

    def hook(info: StepInfo) -> None:
        if info.leaving or not (hooks.due(info.step, wanted.every) or info.last):
            return
        state, features = context.state(info.leaves), {}
        for branch, params in (("online", state.params), ("ema", state.slots["ema"])):
            features[branch] = [_features(encode, params, x, context.asked) for x in shown]
        if not context.asked():
            found = measure(state.params, features, known, asked)
            context.log.scalars(info.step, jax.device_get(found))

    return [hook]


def _warn_lacking(known: np.ndarray, asked: np.ndarray, classes: Sequence[str], bank: int) -> None:
    """Says which classes are asked about that the bank has no image of."""
    lacking = sorted({*asked[asked >= 0].tolist()} - {*known.tolist()})
    if lacking:
        LOG.warning(
            "%d of %d images that the monitor asks about are of %s, of which its bank has none: "
            "its kNN never gets them right; config.monitor.bank is %d",
            np.isin(asked, lacking).sum(),
            len(asked),
            protocol.listed(classes[label] for label in lacking),
            bank,
        )


def _asked(context: RunContext, count: int, cut: dict) -> tuple[np.ndarray, np.ndarray] | None:
    """(images, labels) of test records that a vote can be checked on; None, and why, without any.

    Raises:
      ConfigError: the test split has a class that training lacks.
    """
    train, config = context.inputs.source, context.run.config
    reason = protocol.unlabelled(train, split="train")
    if not reason:
        try:
            test = reading.read(config, context.workdir, split="test", classes=train.classes)
        except NoSplit as error:
            reason = str(error)
        else:
            if not (reason := protocol.unlabelled(test, split="test")):
                protocol.require_labels(test, split="test", what="config.monitor")
                images, labels = _subset(test, count, cut)
                if (labels >= 0).any():
                    return images, labels
                reason = "none of the test images that it takes has a label"
    LOG.warning("the monitor shows no kNN: %s", reason)
    return None


def _features(encode, params: Any, images: np.ndarray, asked: Callable[[], bool]) -> jax.Array:
    """Features of all images, chunk by chunk; fewer of them once somebody asks to leave."""
    rows = min(CHUNK, len(images))
    filled = np.resize(images, (-(-len(images) // rows) * rows, *images.shape[1:]))
    found = []
    for chunk in filled.reshape(-1, rows, *images.shape[1:]):
        if asked() and found:
            break
        found.append(jax.block_until_ready(encode(params, chunk)))
    return jnp.concatenate(found)[: len(images)]


def _normal(images: jax.Array) -> jax.Array:
    return normalize.channels(images.astype(jnp.float32) / 255.0)


def _subset(source: data.Source, count: int, cut: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """(images, labels) of `count` records of all classes, spread over the source, but broken ones.

    cut: size and ratio, see `pipeline.epoch`.
    """
    chosen = covering(source, count)
    rows = next(iter(pipeline.epoch(chosen, batch=len(chosen), **cut)))
    return rows.batch.images["a"][rows.real], rows.batch.label[rows.real]
