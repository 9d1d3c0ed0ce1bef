"""The question that a classifier is asked: which category every test image is of."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from m3i_jax import normalize
from m3i_jax.build import ConfigError
from m3i_jax.data.epoch import epoch
from m3i_jax.data.sources import protocol
from m3i_jax.data.sources.protocol import Source
from m3i_jax.data.sources.unreadable import Robust
from m3i_jax.evaluation import results, terms
from m3i_jax.evaluation.answers import BEST, Answers, answers, measures, write
from m3i_jax.evaluation.intervals import wilson
from m3i_jax.evaluation.question import Question, Reply, is_frozen, refuse_untracked, test_split
from m3i_jax.parallel import processes, sharding
from m3i_jax.training import schema
from m3i_jax.training.assemble import Run
from m3i_jax.training.session import RunContext


def opened(run: Run, wanted: schema.Validation, train: Source, workdir: Path) -> Robust:
    """The test split, labelled with the classes of training.

    Raises:
      ConfigError: no test split, no labels, one class, or a class that training lacks; a head that
        answers about a whole batch; five best of fewer classes.
    """
    pair = terms.pair(run.method, "label")
    refuse_untracked(run, (pair.decoder, *pair.heads))
    protocol.require_labels(train, split="train", what="config.validation")
    if wanted.metric == "top5" and len(train.classes) <= BEST:
        raise ConfigError(
            f"config.validation.metric is top5, but there are {len(train.classes)} classes"
        )
    test = test_split(run, train, workdir)
    protocol.require_labels(test, split="test", what="config.validation")
    return test


def question(context: RunContext, wanted: schema.Validation, source: Source) -> Question:
    """Of which category each image is, of `wanted.metric`, the share of right answers if None."""
    run = context.run
    answered = asking(context, wanted, source)

    def ask(params):
        if (found := answered(params)) is None:
            return None
        return _reply(*found, source)

    how = {"image": wanted.size or run.config.image, "ratio": wanted.ratio}
    if run.method.classifier[0] in run.network.batchwise:
        how["statistics"] = "running means of the training batches"
    task = results.LINEAR_PROBE if is_frozen(run) else results.FINE_TUNE
    return Question(source, wanted.metric or "top1", False, ask, task, how)


def asking(
    context: RunContext, wanted: schema.Validation, source: Source
) -> Callable[[Any], tuple[Answers, np.ndarray] | None]:
    """(parameters) -> answers to every image that can be read, and the number of each record.

    None once somebody wants to leave.
    """
    run, config = context.run, context.run.config
    pair, binary = terms.pair(run.method, "label"), bool(config.objective.get("binary"))
    ways = run.mesh.shape["data"] * run.mesh.shape["fsdp"]
    batch = -(-min(wanted.batch, len(source)) // ways) * ways  # every device has as many rows
    cut = dict(batch=batch, size=wanted.size or config.image, ratio=wanted.ratio)
    place = dict(share=sharding.share(run.mesh))

    @jax.jit
    def answer(params, images, labels):
        whole = run.network.encode(params, "image", normalize.levels(images))
        scores = terms.logits(run.network, params, pair, whole)
        return answers(scores, labels, binary=binary)

    def ask(params):
        parts, numbers = [], []
        for rows in epoch(source, threads=config.threads, **cut, **place):
            if context.asked():
                return None
            given = rows.batch.images["a"], rows.batch.label, rows.real, rows.number
            images, labels, *which = sharding.put(given, run.mesh)
            said = answer(params, images, labels)
            said, real, number = jax.tree.map(processes.gathered, (said, *which))
            parts.append(jax.tree.map(lambda x, real=real: x[real], said))  # nor padding nor broken
            numbers.append(number[real])
        columns = (np.concatenate(column) for column in zip(*parts, strict=True))
        return Answers(*columns), np.concatenate(numbers)

    return ask


def _reply(answered: Answers, numbers: np.ndarray, source: Source) -> Reply:
    """The shares of right answers, and how all of them are written."""
    shares = measures(answered, classes=len(source.classes))
    rows = int((answered.labels >= 0).sum())
    ends = {name: wilson(shares[name], rows) for name in ("top1", "top5") if name in shares}

    def written(path):
        where = getattr(source, "where", str)
        names = [where(int(number)) for number in numbers]
        return write(path, answered, names, source.classes)

    return Reply.of(shares, ends, rows, written)
