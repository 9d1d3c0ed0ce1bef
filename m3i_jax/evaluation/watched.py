"""Evaluation tasks beside a training run: `config.monitor.tasks`, on its data or on others.

Images are read once and stay in memory, programs are compiled once. A task that cannot be measured
says so and is left out: no run ends because of what watches it.
"""

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from m3i_jax import data
from m3i_jax.build import ConfigError, UserError
from m3i_jax.checkpoints import weights
from m3i_jax.data.epoch import epoch
from m3i_jax.data.sources.protocol import Sample
from m3i_jax.data.sources.subset import covering
from m3i_jax.evaluation import datasets, spec, tasks
from m3i_jax.evaluation.datasets import Data
from m3i_jax.evaluation.evaluation import Evaluation
from m3i_jax.evaluation.models import Model
from m3i_jax.evaluation.tasks import Task
from m3i_jax.training import schema
from m3i_jax.training.session import RunContext

LOG = logging.getLogger(__name__)
BRANCHES = ("online", "ema")

Measure = Callable[[Any], dict[str, float]]


class InMemory:
    """Records of a source, read and cut once; what else the source has, this has, too.

    images: (N, size, size, 3) uint8.  labels: (N,).
    """

    evaluation_ratio = 1.0

    def __init__(self, source: data.Source, count: int, **cut: Any):
        """Reads `count` records of all classes, but broken ones; cut: see `data.epoch`."""
        self._chosen = covering(source, count)
        rows = next(iter(epoch(self._chosen, batch=len(self._chosen), **cut)))
        self._real = rows.real
        self.images = rows.batch.images["a"][rows.real]
        self.labels = rows.batch.label[rows.real]
        self.name, self.classes, self._source = source.name, source.classes, source

    def __getattr__(self, name: str) -> Any:
        if name == "_source":
            raise AttributeError(name)
        return getattr(self._source, name)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        text = self._texts[index] if self._texts else ""
        return Sample(self.images[index], int(self.labels[index]), text)

    def read(self, index: int) -> Sample:
        """The record: every one of them has been read."""
        return self[index]

    def captions(self) -> list[str]:
        """Those of these records."""
        return self._texts

    @functools.cached_property
    def _texts(self) -> list[str]:
        """Read when they are asked for: a source may have millions."""
        pairs = zip(self._chosen.captions(), self._real, strict=False)
        return [text for text, real in pairs if real]


def measuring(context: RunContext, wanted: schema.Monitor, held: Mapping[str, InMemory]) -> Measure:
    """(state of the run) -> {`probe/<branch>_<task>/<measure>`: value}, of both branches.

    held: of the run's own data what is in memory already, by split.

    Raises:
      ConfigError: an unknown task or setting, or other data that are not there.
    """
    left = tasks.create(_blocks(wanted.tasks), what="config.monitor.tasks")
    if not left:
        return lambda state: {}
    names = [task.name for task in left]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(
            f"config.monitor.tasks has {twice[0]} twice, and its numbers one name in the log"
        )
    of = _data(context, wanted, held)
    evaluations = {
        branch: Evaluation(_model(context, wanted, branch), of, quiet=True) for branch in BRANCHES
    }

    def measure(state: Any) -> dict[str, float]:
        numbers: dict[str, float] = {}
        for branch, params in (("online", state.params), ("ema", state.slots["ema"])):
            evaluations[branch].renew(params)
            for task in [*left]:
                measures = None
                with context.giving_up():
                    measures = _measures(task, evaluations[branch])
                if context.asked():
                    return {}
                if measures is None:
                    left.remove(task)
                    continue
                numbers |= {f"probe/{branch}_{task.name}/{name}": x for name, x in measures.items()}
        return numbers

    return measure


def _blocks(said: str | Sequence[str]) -> list[dict[str, Any]]:
    """Tasks as a command line says them, in a text or in several."""
    texts = [said] if isinstance(said, str) else said
    return [block for text in texts for block in spec.blocks(text, what="config.monitor.tasks")]


def _model(context: RunContext, wanted: schema.Monitor, branch: str) -> Model:
    """The network of the run, as the record that tasks know; its parameters come with each look."""
    run, config = context.run, context.run.config
    origin = dict(block=weights.block(config, "image"), workdir=context.workdir, config=config)
    return Model(branch, branch, wanted.size or config.image, run.network, None, **origin)


def _data(context: RunContext, wanted: schema.Monitor, own: Mapping[str, InMemory]) -> Data:
    """The run's data, or those of `config.monitor.data`, as much of them as is looked at."""
    cut = dict(size=wanted.size or context.run.config.image, ratio=wanted.ratio)
    if wanted.data is not None:
        of, held = datasets.holding_out(datasets.named(wanted.data)), {}
    else:
        of, held = datasets.of_run(_model(context, wanted, "online")), dict(own)
    counts = {"train": wanted.bank, "test": wanted.queries}

    def opened(split: str, classes: Any) -> data.Source:
        if split not in held:
            held[split] = InMemory(of.open(split, classes), counts[split], **cut)
        return held[split]

    return Data(of.name, opened)


def _measures(task: Task, evaluation: Evaluation) -> dict[str, float] | None:
    """What a task finds; None, and why, where it cannot be measured here."""
    try:
        measures = task.measure(evaluation).metrics
    except (UserError, ValueError) as error:
        LOG.warning(
            "%s is left out during training (config.monitor.tasks): %s", tasks.written(task), error
        )
        return None
    return {name: float(x) for name, x in measures.items() if x is not None}
