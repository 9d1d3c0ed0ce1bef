"""Evaluation beside a training run: kNN, its own classifier, the rank of the features, any task.

What it costs is logged as monitor/seconds, and as monitor/share of the run's time; where that would
be more than `config.monitor.most`, it looks less often.
"""

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from m3i_jax import metrics, normalize
from m3i_jax.data.sources import protocol
from m3i_jax.data.sources.protocol import NoSplit
from m3i_jax.evaluation import terms, watched
from m3i_jax.evaluation.features import FeatureSet
from m3i_jax.evaluation.pooling import pooled
from m3i_jax.evaluation.probes.knn import online_knn
from m3i_jax.evaluation.watched import InMemory
from m3i_jax.parallel import processes
from m3i_jax.training import lengths, reading, schema
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
    held = {"train": InMemory(context.inputs.source, wanted.bank, **cut)}
    if (queries := _asked(context, wanted.queries, cut)) is not None:
        held["test"] = queries
        labels = (held["train"].labels, queries.labels)
        _warn_lacking(*labels, context.inputs.source.classes, wanted.bank)
    known, *rest = ((one.images, one.labels) for one in held.values())
    asked = rest[0] if rest else None
    pair = terms.pair(run.method, "label")

    @jax.jit
    def encode(params, images):
        # The images are the same on every process, so each device may hold them all.
        return pooled(run.network.encode(params, "image", normalize.levels(images)), "mean")

    @jax.jit
    def measure(params, features, known, asked):
        own = features["online"][0]
        numbers = {
            "health/feature_std": metrics.feature_std(own),
            "health/effective_rank": metrics.effective_rank(own),
        }
        for branch, (of_bank, *of_asked) in features.items():
            for query in of_asked:
                top1 = online_knn(
                    FeatureSet(of_bank, known[1]), FeatureSet(query, asked[1]), k=wanted.k
                )
                numbers[f"probe/{branch}_knn/top1"] = top1
        if asked is not None and pair is not None:
            whole = run.network.encode(params, "image", normalize.levels(asked[0]))
            scores = terms.logits(run.network, params, pair, whole)
            numbers["probe/online_category/top1"] = terms.top1(scores, asked[1])
        return numbers

    shown = [known[0]] if asked is None else [known[0], asked[0]]
    tasks, pace = watched.measuring(context, wanted, held), Pace(wanted.every, most=wanted.most)

    def hook(info: StepInfo) -> None:
        if info.leaving or not (pace.due(info.step) or info.last):
            return
        jax.block_until_ready(info.leaves)  # steps that are still on their way cost nothing here
        pace.begin(info.step)
        state, features = context.state(info.leaves), {}
        for branch, params in (("online", state.params), ("ema", state.slots["ema"])):
            features[branch] = [_features(encode, params, x, context.asked) for x in shown]
        if not context.asked():
            numbers = jax.device_get(measure(state.params, features, known, asked))
            numbers |= tasks(state)
            context.log.scalars(info.step, numbers | pace.end(info.step, last=info.last))

    return [hook]


class Pace:
    """When to look: every so many steps, or less often where that costs too much of the time.

    The first look compiles, so it is the second one that tells what the others will cost. The next
    one waits until all of them are paid for, it and the compilation, too: n steps later with

        spent + seconds ≤ most · (elapsed + seconds + n · seconds per step)
    """

    def __init__(self, every: int, *, most: float, clock: Callable[[], float] = time.monotonic):
        """most: share of the time; 0 = any.  clock: seconds; tests pass another."""
        self._every, self._most, self._clock = every, most, clock
        self._start = self._began = self._ended = clock()
        self._spent, self._last, self._next, self._looks = 0.0, None, 0, 0

    def due(self, step: int) -> bool:
        """Whether this is a step to look at."""
        return lengths.due(step, self._every) and step >= self._next

    def begin(self, step: int) -> None:
        """A look begins."""
        self._began = self._clock()

    def end(self, step: int, *, last: bool = False) -> dict[str, float]:
        """The look, or the last one, has ended: what it and all of them have cost."""
        now, before = self._clock(), self._ended
        seconds = now - self._began
        self._spent, self._ended, self._looks = self._spent + seconds, now, self._looks + 1
        if self._most and self._looks > 1 and step > self._last and not last:
            self._stretch(step, seconds, (self._began - before) / (step - self._last))
        self._last = step
        share = self._spent / max(now - self._start, 1e-9)
        return {"monitor/seconds": seconds, "monitor/share": share}

    def _stretch(self, step: int, seconds: float, per_step: float) -> None:
        """Puts off the next look until it is paid for; the same on all processes."""
        elapsed = self._ended - self._start
        owed = (self._spent + seconds) / self._most - elapsed - seconds
        wanted = owed / max(per_step, 1e-9)
        times = max(1, math.ceil(wanted / self._every))
        (times,) = processes.from_first(min(times, 2**20))
        if times > 1 and not self._next:
            LOG.warning(
                "measuring during training (config.monitor) takes %.2g s, as long as %d steps: it "
                "is done again in %d steps and not in %d, to stay below config.monitor.most = %g "
                "of the time",
                seconds,
                round(seconds / max(per_step, 1e-9)),
                times * self._every,
                self._every,
                self._most,
            )
        self._next = (step // self._every + times) * self._every


def _warn_lacking(known: np.ndarray, asked: np.ndarray, classes: Sequence[str], bank: int) -> None:
    """Says which classes are asked about that the bank has no image of."""
    lacking = sorted({*asked[asked >= 0].tolist()} - {*known.tolist()})
    if lacking:
        LOG.warning(
            "%d of %d images whose nearest neighbours are looked for during training are of %s, of "
            "which none is among the %d images they are looked for in: their kNN is never right; "
            "config.monitor.bank says how many these are",
            np.isin(asked, lacking).sum(),
            len(asked),
            protocol.listed(classes[label] for label in lacking),
            bank,
        )


def _asked(context: RunContext, count: int, cut: dict) -> InMemory | None:
    """Images and labels of test records that a vote can be checked on; None, and why, without any.

    Raises:
      ConfigError: the test split has a class that training lacks.
      TooManyUnreadable: more of it is broken than may be, see `Robust.survey`.
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
                if getattr(test, "on_disk", False):
                    test.survey(threads=config.threads)  # of more images than it asks about
                images = InMemory(test, count, **cut)
                if (images.labels >= 0).any():
                    return images
                reason = "none of the test images that it takes has a label"
    LOG.warning("no kNN is shown during training (config.monitor): %s", reason)
    return None


def _features(encode, params: Any, images: np.ndarray, asked: Callable[[], bool]) -> jax.Array:
    """Features of all images, chunk by chunk; fewer of them once somebody asks to leave."""
    rows = min(CHUNK, len(images))
    filled = np.resize(images, (-(-len(images) // rows) * rows, *images.shape[1:]))
    chunks = []
    for chunk in filled.reshape(-1, rows, *images.shape[1:]):
        if asked() and chunks:
            break
        chunks.append(jax.block_until_ready(encode(params, chunk)))
    return jnp.concatenate(chunks)[: len(images)]
