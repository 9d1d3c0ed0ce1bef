"""Accuracy on all of the test split beside the training: what fine-tuning is judged by.

The classifier that is trained answers every test image once, online and averaged; the best
checkpoint stays, and a run that no longer gains can end (`config.validation`). How far it has come
is read from the log, so that a run that was killed goes on as if it had not been.
"""

import datetime
import json
import logging
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from m3i_jax import data, normalize, trees
from m3i_jax.build import ConfigError
from m3i_jax.checkpoints import storage, weights
from m3i_jax.checkpoints.faults import Unwritable
from m3i_jax.data.epoch import epoch
from m3i_jax.data.order import epoch_length
from m3i_jax.data.sources import protocol
from m3i_jax.data.sources.unreadable import Robust
from m3i_jax.evaluation import datasets, models, results, terms
from m3i_jax.evaluation.answers import BEST, Answers, answers, measures, write
from m3i_jax.evaluation.intervals import wilson
from m3i_jax.parallel import processes, sharding
from m3i_jax.training import lengths, reading, schema
from m3i_jax.training.assemble import Run
from m3i_jax.training.inputs import Inputs
from m3i_jax.training.log import METRICS, read
from m3i_jax.training.loop import Hook, StepInfo
from m3i_jax.training.session import RunContext
from m3i_jax.training.starts import versions
from m3i_jax.training.state import TrainState

LOG = logging.getLogger(__name__)
NOTE, PREDICTIONS = "best.json", "predictions"
# (parameters) -> answers, and the number of each record; None once somebody wants to leave.
Ask = Callable[[Any], tuple[Answers, np.ndarray] | None]


class Progress(NamedTuple):
    """How far a run has come: its best step, that step's metric, validations since, the last."""

    best: int = 0
    value: float = -1.0
    since: int = 0
    last: int = 0

    def then(self, step: int, value: float) -> "Progress":
        """After one more validation; of equal ones the first is the best."""
        if value > self.value:
            return Progress(step, value, 0, step)
        return self._replace(since=self.since + 1, last=step)


class Validator(NamedTuple):
    """What is asked of whom, every so many steps."""

    wanted: schema.Validation
    source: data.Source
    ask: Ask
    every: int

    @property
    def metric(self) -> str:
        """The name in the log of what decides."""
        return f"validation/{self.wanted.branch}/{self.wanted.metric}"


def check(run: Run, inputs: Inputs, workdir: Path) -> None:
    """Refuses a validation in which nothing could be counted, before anything compiles.

    Raises:
      ConfigError: no classifier, no test split, no labels, one class, or a class that training
        lacks.
      TooManyUnreadable: more of the test split is broken than may be, see `Robust.survey`.
    """
    if run.config.validation:
        wanted = schema.Validation(**run.config.validation)
        test = _opened(run, wanted, inputs.source, workdir)
        if getattr(test, "on_disk", False):
            test.survey(threads=run.config.threads)


def validation(context: RunContext) -> list[Hook]:
    """Hooks that a run's `config.validation` asks for; for `training.session.train(watch=...)`."""
    run = context.run
    if not run.config.validation:
        return []
    wanted = schema.Validation(**run.config.validation)
    source = _opened(run, wanted, context.inputs.source, context.workdir)
    length = run.config.epoch_size or epoch_length(context.inputs.source)
    every = lengths.parse(wanted.every, batch=run.config.batch, total=run.total, epoch=length)
    return [_hook(context, Validator(wanted, source, _asking(context, wanted, source), every))]


def _refuse(run: Run, wanted: schema.Validation) -> None:
    """What the method and the network cannot do."""
    if run.method.classifier is None:
        raise ConfigError(
            "config.validation counts right answers, but objective "
            f"'{run.config.objective['name']}' has no classifier; set config.validation={{}}"
        )
    pair = terms.pair(run.method, "label")
    for name in sorted({pair.decoder, *pair.heads} & run.network.untracked):
        raise ConfigError(
            f"config.validation asks about each image by itself, but config.decoders.{name} "
            "normalises over the batch; set its norm to 'running', a pooled decoder's, or set "
            "config.validation={}, and m3i evaluate measures it"
        )
    if wanted.branch == "ema" and not run.method.averages_classifier:
        raise ConfigError(
            "config.validation.branch is ema, which has no classifier; set "
            "config.average.classifier=True"
        )


def _opened(run: Run, wanted: schema.Validation, train: data.Source, workdir: Path) -> Robust:
    """The test split, labelled with the classes of training."""
    _refuse(run, wanted)
    protocol.require_labels(train, split="train", what="config.validation")
    if wanted.metric == "top5" and len(train.classes) <= BEST:
        raise ConfigError(
            f"config.validation.metric is top5, but there are {len(train.classes)} classes"
        )
    try:
        test = reading.read(run.config, workdir, split="test", classes=train.classes)
    except protocol.NoSplit as error:
        raise ConfigError(
            f"config.validation wants a test split, but {error}; to train without, set "
            "config.validation={}"
        ) from error
    protocol.require_labels(test, split="test", what="config.validation")
    return test


def _asking(context: RunContext, wanted: schema.Validation, source: data.Source) -> Ask:
    """Answers of the classifier, of given weights, to every image that can be read."""
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


def _hook(context: RunContext, validator: Validator) -> Hook:
    """Validates when it is due and at the end; keeps the best, and ends what no longer gains."""
    begin = int(context.start.step)
    at = [_so_far(context, validator, begin)]

    def validate(step: int, state: TrainState) -> None:
        outcome = _validated(context, validator, at[0], step, state)
        if outcome is None:  # somebody asks to leave; it is validated when the run goes on
            return
        at[0], answered = outcome
        _wish(context, validator, at[0])
        if context.wishes.end or step == context.run.total:
            _record(context, validator, at[0], answered, state)

    _wish(context, validator, at[0])
    # A run that was asked to leave in a step that was due validates it when it goes on.
    if begin > at[0].last and lengths.due(begin, validator.every):
        with jax.set_mesh(context.run.mesh):
            validate(begin, context.start)

    def hook(info: StepInfo) -> None:
        if not info.leaving and (lengths.due(info.step, validator.every) or info.done):
            validate(info.step, context.state(info.leaves))

    return hook


def _so_far(context: RunContext, validator: Validator, begin: int) -> Progress:
    """What the log of the run says of its validations, up to the step that it goes on from."""
    at = Progress()
    for line in read(context.workdir / METRICS):
        if validator.metric in line and line["step"] <= begin:
            at = at.then(line["step"], line[validator.metric])
    return at


def _validated(
    context: RunContext, validator: Validator, at: Progress, step: int, state: TrainState
) -> tuple[Progress, dict[str, Answers]] | None:
    """Asks all weights that can classify, logs what is found, and writes down the best answers."""
    start, run, numbers, said = time.perf_counter(), context.run, {}, {}
    branches = {"online": state.params}
    branches |= {"ema": state.slots["ema"]} if run.method.averages_classifier else {}
    for branch, params in branches.items():
        if (answer := validator.ask(params)) is None:
            return None
        said[branch] = answer
        shares = measures(answer[0], classes=len(validator.source.classes))
        numbers |= {f"validation/{branch}/{name}": share for name, share in shares.items()}
    at = at.then(step, numbers[validator.metric])
    if at.best == step and not jax.process_index():
        _write(context.workdir, validator, *said[validator.wanted.branch])
    seconds = {"perf/validation_seconds": time.perf_counter() - start}
    context.log.scalars(step, numbers | {"validation/best": at.value} | seconds)
    LOG.info("step %d: %s %.2f %%", step, validator.metric, 100 * numbers[validator.metric])
    return at, {branch: answer for branch, (answer, _) in said.items()}


def _record(
    context: RunContext,
    validator: Validator,
    at: Progress,
    answered: dict[str, Answers],
    state: TrainState,
) -> None:
    """A line of results.jsonl for the network and one for its average, behind the last step."""
    digests = {branch: _digest(context, branch, state) for branch in answered}  # by all processes
    if jax.process_index():
        return
    sources = {"train": context.inputs.source, "test": validator.source}
    records = {split: datasets.digest(source) for split, source in sources.items()}
    task = results.LINEAR_PROBE if _is_frozen(context.run) else results.FINE_TUNE
    config, wanted, lines = context.run.config, validator.wanted, []
    protocol = {"image": wanted.size or config.image, "ratio": wanted.ratio}
    protocol |= {"best_step": at.best, "best": at.value, "metric": validator.metric}
    if context.run.method.classifier[0] in context.run.network.batchwise:
        protocol["statistics"] = "running means of the training batches"
    for branch, answer in answered.items():
        shares = measures(answer, classes=len(validator.source.classes))
        rows = int((answer.labels >= 0).sum())
        ends = {name: wilson(shares[name], rows) for name in ("top1", "top5") if name in shares}
        result = results.Result(
            results.named(task, **shares),
            branch,
            at.last,
            protocol,
            {"train": len(context.inputs.source), "test": rows},
            model=f"{context.workdir.name}@{at.last}#{branch}",
            weights=digests[branch],
            data=str(config.data.get("name", "")),
            records=records,
            task=task,
            intervals={f"eval/{task}/{name}": [*pair] for name, pair in ends.items()},
            versions=versions(),
            time=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        )
        lines.append(result)
    try:
        results.write(context.workdir, lines)
    except Unwritable as error:
        LOG.warning("%s", error)


def _digest(context: RunContext, branch: str, state: TrainState) -> str:
    """Of the weights of a branch: what `m3i evaluate` says of its last checkpoint."""
    run = context.run
    params = state.params if branch == "online" else state.slots["ema"]
    whole = jax.tree.map(processes.gathered, params)
    origin = dict(block=weights.block(run.config, "image"), config=run.config)
    return models.digest(models.Model("", branch, run.config.image, run.network, whole, **origin))


def _is_frozen(run: Run) -> bool:
    """Whether nothing of the encoder trains, so that the classifier is a probe of it."""
    if not (freeze := run.config.optimizer.get("freeze")):
        return False
    image = run.abstract.params["encoders"]["image"]
    return all(re.search(freeze, f"encoders/image/{path}") for path, _ in trees.named_leaves(image))


def _write(workdir: Path, validator: Validator, answered: Answers, numbers: np.ndarray) -> None:
    """The answers of the best step; what cannot be written is said, and the training goes on."""
    if (kind := validator.wanted.predictions) == "none":
        return
    source = validator.source
    where = getattr(source, "where", str)
    names = [where(int(number)) for number in numbers]
    try:
        write(workdir / f"{PREDICTIONS}.{kind}", answered, names, source.classes)
    except Unwritable as error:
        LOG.warning("%s", error)


def _wish(context: RunContext, validator: Validator, at: Progress) -> None:
    """Has the best checkpoint kept, and says when there is nothing more to gain."""
    wishes, patience = context.wishes, validator.wanted.patience
    if at.best and at.best not in wishes.best:
        wishes.best.append(at.best)
        _note(context.workdir, validator, at)
    if patience and at.since >= patience and not wishes.end:
        wishes.end = True
        LOG.info(
            "the run ends: none of %d validations was better than step %d's, %.2f %%",
            *(at.since, at.best, 100 * at.value),
        )


def _note(workdir: Path, validator: Validator, at: Progress) -> None:
    """best.json: which checkpoint is the best so far."""
    if jax.process_index():
        return
    note = {"step": at.best, "metric": validator.metric, "value": at.value}
    note["checkpoint"] = f"checkpoints/{at.best}"
    try:
        with storage.writing(workdir / NOTE):
            storage.publish(workdir / NOTE, (json.dumps(note) + "\n").encode())
    except Unwritable as error:
        LOG.warning("%s", error)
