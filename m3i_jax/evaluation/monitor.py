"""Evaluation beside a training run: online kNN, and whether the features keep their rank."""

import logging
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from m3i_jax import build, data, metrics, normalize
from m3i_jax.data import pipeline, samples
from m3i_jax.data.samples import NoSplit
from m3i_jax.evaluation.features import Table, pooled
from m3i_jax.evaluation.knn import online_knn
from m3i_jax.evaluation.subjects import every_nth
from m3i_jax.training import hooks, reading
from m3i_jax.training.loop import Hook, Moment
from m3i_jax.training.session import Session

LOG = logging.getLogger(__name__)


def monitor(session: Session) -> list[Hook]:
    """Hooks that a run's `config.monitor` asks for; for `training.session.train(watch=...)`."""
    return build.call(_monitor, session.run.config.monitor, what="config.monitor", session=session)


def _monitor(
    *, session: Session, every: int = 0, bank: int = 1000, queries: int = 500, k: int = 20
) -> list[Hook]:
    """config.monitor: interval in steps (0 = off), images in the bank, queries, neighbours."""
    if every == 0:
        return []
    run, config = session.run, session.run.config
    known = _subset(session.inputs.source, bank, config)
    asked = _asked(session, queries)

    @jax.jit
    def measure(params, average, known, asked):
        def features(params, images):
            # The images are the same on every process, so each device may hold them all.
            x = normalize.channels(images.astype(jnp.float32) / 255.0)
            return pooled(run.network.encode(params, "image", x), "mean")

        found, own = {}, features(params, known[0])
        found["health/feature_std"] = metrics.feature_std(own)
        found["health/effective_rank"] = metrics.effective_rank(own)
        if asked is not None:
            for branch, tree in (("online", params), ("ema", average)):
                table = Table(features(tree, known[0]), known[1])
                query = Table(features(tree, asked[0]), asked[1])
                found[f"probe/{branch}_knn/top1"] = online_knn(table, query, k=k)
        return found

    def hook(moment: Moment) -> None:
        if hooks.due(moment.step, every) or moment.last:
            state = session.state(moment.leaves)
            found = measure(state.params, state.codes["ema"], known, asked)
            session.log.scalars(moment.step, jax.device_get(found))

    return [hook]


def _asked(session: Session, count: int) -> tuple[np.ndarray, np.ndarray] | None:
    """(images, labels) of test records that a vote can be checked on; None, and why, without any.

    Raises:
      ConfigError: the test split has a class that training lacks.
    """
    train, config = session.inputs.source, session.run.config
    reason = samples.unlabelled(train, split="train")
    if not reason:
        try:
            test = reading.read(config, session.workdir, split="test", classes=train.classes)
        except NoSplit as error:
            reason = str(error)
        else:
            if not (reason := samples.unlabelled(test, split="test")):
                samples.require_labels(test, split="test", what="config.monitor")
                images, labels = _subset(test, count, config)
                if (labels >= 0).any():
                    return images, labels
                reason = "none of the test images that it takes has a label"
    LOG.warning("the monitor shows no kNN: %s", reason)
    return None


def _subset(source: data.Source, count: int, config: Any) -> tuple[np.ndarray, np.ndarray]:
    """(images, labels) of `count` records spread evenly over the source, but broken ones."""
    chosen = every_nth(source, count)
    rows = next(iter(pipeline.epoch(chosen, batch=len(chosen), size=config.image)))
    return rows.batch.images["a"][rows.real], rows.batch.label[rows.real]
