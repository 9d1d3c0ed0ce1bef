"""Encoders cut behind a block, measured by any task: layer dropping, and random weights.

How good the first b blocks are; and whether that is owed to the weights themselves or to their
order: b blocks are sampled from all of them, without replacement, and put in the places of the
first b. Xie et al. 2023, Revealing the Dark Secrets of Masked Image Modeling,
https://arxiv.org/abs/2205.13543.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from m3i_jax.build import ConfigError
from m3i_jax.evaluation import datasets, models, removal, results, run, surgery
from m3i_jax.evaluation.datasets import Data
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.models import Model
from m3i_jax.evaluation.results import Result
from m3i_jax.evaluation.tasks import Task, written

LOG = logging.getLogger(__name__)
FIRST, SAMPLED, UNTRAINED = "the first blocks", "sampled blocks", "untrained"


class Cut(NamedTuple):
    """One encoder that is measured.

    curve: that it is a point of.  blocks: how many it has, of its stage where one was said.
    model: makes it; called when it is measured, so that one of them is in memory.
    """

    curve: str
    blocks: int
    model: Callable[[], Model]


class Point(NamedTuple):
    """A cut and what a task found of it."""

    cut: Cut
    task: Task
    result: Result


def layers(model: Model, counts: Sequence[int], *, stage: int | None = None) -> list[Cut]:
    """The first b blocks for each b; what is behind them is discarded.

    counts: the numbers b; () = every one.
    """
    each = _counts(model, counts, stage)
    return [Cut(model.name, b, lambda b=b: surgery.truncated(model, b, stage=stage)) for b in each]


def random_weights(
    model: Model,
    counts: Sequence[int],
    *,
    draws: int,
    seed: int = 0,
    stage: int | None = None,
    shuffled: bool = False,
) -> list[Cut]:
    """For each b: the first b blocks, b sampled ones, and b as they were drawn before training.

    Args:
      counts: the numbers b; () = every one.
      draws: how often blocks are sampled, and how many seeds the untrained encoder has.
      seed: of the first draw; draw i of b blocks is the same whatever else is asked for.
      stage: of a SwinV2, from 1; the stages before it stay whole.
      shuffled: the sampled blocks in the order in which they are drawn, not in that of the encoder.
    """
    most, cuts = _depth(model, stage), []
    for b in _counts(model, counts, stage):
        first = surgery.truncated(model, b, stage=stage)
        cuts.append(Cut(FIRST, b, lambda first=first: first))
        for draw in range(draws):
            numbers = sample(most, b, seed=seed + draw, shuffled=shuffled)
            chosen = lambda numbers=numbers: surgery.sampled(model, numbers, stage=stage)  # noqa: E731
            fresh = lambda first=first, draw=draw: _untrained(first, seed + draw)  # noqa: E731
            cuts += [Cut(SAMPLED, b, chosen), Cut(UNTRAINED, b, fresh)]
    return cuts


def sample(most: int, count: int, *, seed: int, shuffled: bool = False) -> tuple[int, ...]:
    """`count` different numbers from 1 to `most`, ascending or in the order of the draw."""
    numbers = np.random.default_rng([seed, count]).permutation(most)[:count] + 1
    return tuple(int(number) for number in (numbers if shuffled else np.sort(numbers)))


def _untrained(cut: Model, seed: int) -> Model:
    fresh = models.untrained(cut, seed=seed)
    return fresh._replace(name=f"untrained:{cut.name},seed={seed}")


def _depth(model: Model, stage: int | None) -> int:
    """Blocks of an encoder, or of a stage of it."""
    module = models.module(model)
    depths = getattr(module, "depths", ())
    if stage is None:
        return removal.blocks(module)
    if not 1 <= stage <= len(depths):
        raise ConfigError(
            f"stage is {stage}, but {model.name} has "
            + (f"{len(depths)} stages" if depths else "one stack of blocks: leave it out")
        )
    return depths[stage - 1]


def _counts(model: Model, counts: Sequence[int], stage: int | None) -> Sequence[int]:
    most = _depth(model, stage)
    for count in counts:
        if not 1 <= count <= most:
            raise ConfigError(f"{count} blocks of {model.name} are wanted, expected 1 to {most}")
    return sorted(set(counts)) or range(1, most + 1)


def measured(
    cuts: Sequence[Cut],
    tasks: Sequence[Task],
    *,
    place: str | Path,
    on: Data | None = None,
    leave: Callable[[], int] = lambda: 0,
    **settings: Any,
) -> Iterator[Point]:
    """What every task finds of every cut, each as it is known; what a file has is not repeated.

    Args:
      cuts: the encoders.  tasks: see `tasks.create`.
      place: folder or file of the results.
      on: the data; None = those of the run that the encoder is of.
      leave: asked before every encoder for a status to leave with, 0 to go on.
      settings: of `Evaluation`.
    """
    for number, cut in enumerate(cuts, 1):
        if leave():
            return
        model = cut.model()
        evaluation = Evaluation(model, on or datasets.of_run(model), **settings)
        known = _known(place, evaluation)
        left = [task for task in tasks if written(task) not in known]
        if left:
            LOG.info("encoder %d of %d: %s", number, len(cuts), model.name)
            for result in run.measured(left, evaluation):
                results.write(place, [result])
                known[result.task] = result
            jax.clear_caches()  # programs of another depth are of no use to the next one
        for task in tasks:
            yield Point(cut, task, known[written(task)])


def _known(place: str | Path, evaluation: Evaluation) -> dict[str, Result]:
    """Results of the same weights on the same records by the same protocol, by task."""
    evaluation.source("test")  # opens both splits, of which a digest is wanted
    return {
        r.task: r
        for r in results.read(place)
        if r.weights == evaluation.weights
        and r.records == evaluation.records
        and all(r.protocol.get(key) == value for key, value in evaluation.settings.items())
    }
