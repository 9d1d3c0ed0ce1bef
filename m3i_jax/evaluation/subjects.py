"""What is evaluated: an encoder of a work directory, its untrained twin, or plain pixels."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from m3i_jax import data, networks
from m3i_jax.build import ConfigError
from m3i_jax.checkpoints.checkpoint import Checkpoints
from m3i_jax.data import pipeline
from m3i_jax.data.sources import protocol
from m3i_jax.evaluation.features import Table, extract, image_encoder, raw_pixels
from m3i_jax.evaluation.progress import counted
from m3i_jax.evaluation.report import Result, write
from m3i_jax.training import branches, reading
from m3i_jax.training.config import Config
from m3i_jax.training.run import build_network, objective

LOG = logging.getLogger(__name__)


class Trained(NamedTuple):
    """The encoder of a checkpoint.

    workdir: of its run.  params: of the branch, as much of the network as that branch keeps.
    note: what a user of this branch should know.
    """

    workdir: Path
    config: Config
    network: networks.Network
    params: Any
    branch: str
    step: int
    note: str = ""


def restore(path: str | Path, *, branch: str = "ema", step: int | None = None) -> Trained:
    """Reads a work directory (its newest sound checkpoint, or `step`) or one checkpoint step.

    Args:
      path: WORKDIR, or WORKDIR/checkpoints/STEP.
      branch: "ema" or "online".
      step: which checkpoint of a work directory.

    Raises:
      ConfigError: there is no such directory, checkpoint or branch.
    """
    path = Path(path)
    if branch not in ("ema", "online"):
        raise ConfigError(f"a checkpoint has the branches ema and online, not '{branch}'")
    if path.parent.name == "checkpoints" and path.name.isdecimal():
        path, step = path.parent.parent, int(path.name)
    if not (path / "checkpoints").is_dir():
        raise ConfigError(f"'{path}' has no checkpoints; expected the --workdir of a pretrain run")
    kept = Checkpoints(path / "checkpoints", read_only=True)
    step = kept.latest() if step is None else step
    if step is None:
        raise ConfigError(f"'{path}' has no sound checkpoint yet")
    meta = kept.meta(step)
    note = branches.advise(meta, branch=branch, step=step)
    config = Config.of(meta["config"])
    network = build_network(config, objective(config))
    params = kept.restore_item(step, branch)
    return Trained(path, config, network, params, branch, step, note)


def untrained(trained: Trained) -> Trained:
    """The same encoder with the parameters it started from."""
    params = trained.network.init(jax.random.key(trained.config.seed))
    return trained._replace(params=params, branch="untrained", step=0)


def tables(
    subject: Trained,
    *,
    pool: str = "mean",
    train_limit: int = 0,
    test_limit: int = 0,
    batch: int = 100,
) -> tuple[Table, Table]:
    """Features of the training and test set: (N, D) each, in order, nothing counted twice.

    The test set is labelled with the classes of training, by name. Records that cannot be read or
    have no label get no row, and the log says how many these are.

    pool: "mean" of the patch tokens or "cls"; without meaning for the branch "pixels".
    train_limit, test_limit: at most so many records, spread evenly; 0 takes all.

    Raises:
      ConfigError: a split without classes, or with one that training lacks.
    """
    apply = raw_pixels
    if subject.branch != "pixels":
        apply = image_encoder(subject.network, subject.params, pool=pool)
    train = opened(subject, "train")
    test = opened(subject, "test", classes=train.classes)
    for split, source in (("train", train), ("test", test)):  # both, before anything is encoded
        protocol.require_labels(source, split=split, what="a probe")
    return tuple(
        _table(apply, subject, source, split, limit, batch)
        for split, source, limit in (("train", train, train_limit), ("test", test, test_limit))
    )


def opened(subject: Trained, split: str, *, classes: tuple[str, ...] | None = None) -> data.Source:
    """A split of the data that the run was trained on, broken records forgiven as in training."""
    return reading.read(subject.config, subject.workdir, split=split, classes=classes)


def _table(apply: Callable, subject: Trained, source, split: str, limit: int, batch: int) -> Table:
    """Features of the labelled records that can be read."""
    chosen = every_nth(source, limit) if limit else source
    batch = min(batch, len(chosen))
    rows = pipeline.epoch(chosen, batch=batch, size=subject.config.image)
    rows = counted(rows, f"features of {split}: batch", total=-(-len(chosen) // batch))
    found = extract(apply, rows, length=len(chosen))
    kept = found.labels >= 0
    silent = int((~kept).sum())
    lost = len(chosen) - len(found.labels)
    for count, why in ((lost, "cannot be read"), (silent, "have no label")):
        if count:
            LOG.warning("%d of %d %s records %s: in no number", count, len(chosen), split, why)
    return Table(found.features[kept], found.labels[kept])


class Subset:
    """The records of a source at chosen indices; otherwise the source itself."""

    def __init__(self, source: data.Source, chosen: np.ndarray):
        self._source, self._chosen = source, chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> data.Sample:
        return self._source[int(self._chosen[index])]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def read(self, index: int) -> data.Sample | None:
        """The record itself, or None; see `data.Source`."""
        return protocol.read(self._source, int(self._chosen[index]))

    def where(self, index: int) -> str:
        """How the source names the record."""
        return self._source.where(int(self._chosen[index]))


def every_nth(source: data.Source, count: int) -> Subset:
    """At most `count` records, spread evenly over the source."""
    total = len(source)
    chosen = np.linspace(0, total - 1, min(count, total)).round().astype(int)
    return Subset(source, np.unique(chosen))


def lineup(
    path: str | Path, *, branch: str = "ema", step: int | None = None, baselines: bool = False
) -> list[Trained]:
    """The encoder of `path`; with `baselines` also its untrained twin and the raw pixels."""
    trained = restore(path, branch=branch, step=step)
    if not baselines:
        return [trained]
    return [trained, untrained(trained), trained._replace(params=None, branch="pixels", step=0)]


def evaluate(
    measure: Callable[[Table, Table], tuple[dict[str, float], dict[str, Any]]],
    path: str | Path,
    *,
    branch: str = "ema",
    step: int | None = None,
    baselines: bool = False,
    **how: Any,
) -> list[Result]:
    """Measures every subject of `lineup` on its frozen features, and writes eval.jsonl.

    measure: (train, test) -> (metrics by full name, settings that decide them).
    how: `pool`, `train_limit`, `test_limit` of `tables`.
    """
    results = []
    subjects = lineup(path, branch=branch, step=step, baselines=baselines)
    for number, subject in enumerate(subjects, 1):
        LOG.info("subject %d of %d: %s", number, len(subjects), subject.branch)
        train, test = tables(subject, **how)
        metrics, settings = measure(train, test)
        counts = {"train": len(train.labels), "test": len(test.labels)}
        protocol = {**how, **settings, "image": subject.config.image}
        results.append(Result(metrics, subject.branch, subject.step, protocol, counts))
        write(subject.workdir, results[-1:])  # what is measured survives what follows
    return results
