"""Evaluation beside a training run: online kNN, its own classifier, the rank of the features."""

import logging
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np

from m3i_jax import build, data, metrics, normalize
from m3i_jax.data import pipeline, samples
from m3i_jax.data.samples import NoSplit
from m3i_jax.evaluation import categories
from m3i_jax.evaluation.features import Table, pooled
from m3i_jax.evaluation.knn import online_knn
from m3i_jax.evaluation.subjects import every_nth
from m3i_jax.ranges import CountOrOff, Range
from m3i_jax.training import hooks, reading
from m3i_jax.training.loop import Hook, Moment
from m3i_jax.training.session import Session

LOG = logging.getLogger(__name__)


def monitor(session: Session) -> list[Hook]:
    """Hooks that a run's `config.monitor` asks for; for `training.session.train(watch=...)`."""
    return build.call(_monitor, session.run.config.monitor, what="config.monitor", session=session)


def _monitor(
    *,
    session: Session,
    every: int = 0,
    bank: int = 1000,
    queries: int = 500,
    k: int = 20,
    size: CountOrOff = 0,
    ratio: Annotated[float, Range(0, 1, above=True)] | None = None,
) -> list[Hook]:
    """config.monitor: interval in steps (0 = off), images in the bank, queries, neighbours.

    size: side of the images, 0 = config.image.  ratio: of the short side that is kept, see
    `pipeline.epoch`.
    """
    if every == 0:
        return []
    run, config = session.run, session.run.config
    cut = dict(size=size or config.image, ratio=ratio)
    known = _subset(session.inputs.source, bank, cut)
    asked = _asked(session, queries, cut)
    names = categories.classifier(run.method)

    @jax.jit
    def measure(params, average, known, asked):
        # The images are the same on every process, so each device may hold them all.
        normal = lambda images: normalize.channels(images.astype(jnp.float32) / 255.0)  # noqa: E731

        def features(params, images):
            return pooled(run.network.encode(params, "image", normal(images)), "mean")

        found, own = {}, features(params, known[0])
        found["health/feature_std"] = metrics.feature_std(own)
        found["health/effective_rank"] = metrics.effective_rank(own)
        if asked is not None:
            for branch, tree in (("online", params), ("ema", average)):
                table = Table(features(tree, known[0]), known[1])
                query = Table(features(tree, asked[0]), asked[1])
                found[f"probe/{branch}_knn/top1"] = online_knn(table, query, k=k)
            if names is not None:
                right = categories.top1(run.network, params, names, normal(asked[0]), asked[1])
                found["probe/online_category/top1"] = right
        return found

    def hook(moment: Moment) -> None:
        if hooks.due(moment.step, every) or moment.last:
            state = session.state(moment.leaves)
            found = measure(state.params, state.codes["ema"], known, asked)
            session.log.scalars(moment.step, jax.device_get(found))

    return [hook]


def _asked(session: Session, count: int, cut: dict) -> tuple[np.ndarray, np.ndarray] | None:
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
                images, labels = _subset(test, count, cut)
                if (labels >= 0).any():
                    return images, labels
                reason = "none of the test images that it takes has a label"
    LOG.warning("the monitor shows no kNN: %s", reason)
    return None


def _subset(source: data.Source, count: int, cut: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """(images, labels) of `count` records spread evenly over the source, but broken ones.

    cut: size and ratio, see `pipeline.epoch`.
    """
    chosen = every_nth(source, count)
    rows = next(iter(pipeline.epoch(chosen, batch=len(chosen), **cut)))
    return rows.batch.images["a"][rows.real], rows.batch.label[rows.real]
