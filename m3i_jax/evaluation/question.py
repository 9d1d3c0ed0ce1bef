"""What a run's own head is asked while it trains, and what is told of its answers."""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from m3i_jax import trees
from m3i_jax.build import ConfigError
from m3i_jax.data.sources import protocol
from m3i_jax.data.sources.protocol import Source
from m3i_jax.data.sources.unreadable import Robust
from m3i_jax.training import reading
from m3i_jax.training.assemble import Run


class Reply(NamedTuple):
    """What weights have answered about a whole split.

    numbers: measures by name, those that are finite.  intervals: of them, 95 %.
    rows: records that were counted.
    write: (path) -> writes every answer, by the suffix of the path; None where no file has them.
    """

    numbers: dict[str, float]
    intervals: Mapping[str, Sequence[float]]
    rows: int
    write: Callable[[Path], Any] | None = None

    @classmethod
    def of(cls, numbers: Mapping[str, float | None], *rest: Any) -> "Reply":
        """A reply without the measures that say nothing, None or not finite."""
        told = {k: float(x) for k, x in numbers.items() if x is not None and math.isfinite(x)}
        return cls(told, *rest)


class Question(NamedTuple):
    """What is asked of whom, and what decides which answer is the best.

    source: the records that it is asked about.
    metric: the measure that decides.   lower: whether less of it is better.
    ask: (parameters) -> what they answer; None once somebody wants to leave.
    task: of the lines of `results.jsonl`.   protocol: what else these say of how it was asked.
    """

    source: Source
    metric: str
    lower: bool
    ask: Callable[[Any], Reply | None]
    task: str
    protocol: dict[str, Any]


def refuse_untracked(run: Run, decoders: Iterable[str]) -> None:
    """Refuses heads whose answer about an image depends on the others of its batch.

    Raises:
      ConfigError: one has a batch norm without running statistics.
    """
    for name in sorted({*decoders} & run.network.untracked):
        raise ConfigError(
            f"config.validation asks about each image by itself, but config.decoders.{name} "
            "normalises over the batch; set its norm to 'running', a pooled decoder's, or set "
            "config.validation={}, and m3i evaluate measures it"
        )


def test_split(run: Run, train: Source, workdir: Path) -> Robust:
    """The test split of a run's data, with the classes of training.

    Raises:
      ConfigError: there is none.
    """
    try:
        return reading.read(run.config, workdir, split="test", classes=train.classes)
    except protocol.NoSplit as error:
        raise ConfigError(
            f"config.validation wants a test split, but {error}; to train without, set "
            "config.validation={}"
        ) from error


def is_frozen(run: Run) -> bool:
    """Whether nothing of the encoder trains, so that the head is a probe of it."""
    if not (freeze := run.config.optimizer.get("freeze")):
        return False
    image = run.abstract.params["encoders"]["image"]
    return all(re.search(freeze, f"encoders/image/{path}") for path, _ in trees.named_leaves(image))
