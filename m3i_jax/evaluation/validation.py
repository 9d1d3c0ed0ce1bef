"""What a run's head is worth on all of the test split, beside the training: fine-tuning.

The head that is trained, a classifier (`classified`) or one of pixels (`dense.validated`), answers
about every test image once, online and averaged; the best checkpoint stays, and a run that no
longer gains can end (`config.validation`). How far it has come is read from the log, so that a run
that was killed goes on as if it had not been.
"""

import datetime
import json
import logging
import math
import time
from pathlib import Path
from typing import NamedTuple

import jax

from m3i_jax import data
from m3i_jax.checkpoints import storage, weights
from m3i_jax.checkpoints.faults import Unwritable
from m3i_jax.data.order import epoch_length
from m3i_jax.data.sources.unreadable import Robust
from m3i_jax.evaluation import classified, datasets, models, results
from m3i_jax.evaluation.dense import validated
from m3i_jax.evaluation.question import Question, Reply
from m3i_jax.parallel import processes
from m3i_jax.training import deciding, lengths, schema
from m3i_jax.training.assemble import Run
from m3i_jax.training.inputs import Inputs
from m3i_jax.training.log import METRICS, read
from m3i_jax.training.loop import Hook, StepInfo
from m3i_jax.training.session import RunContext
from m3i_jax.training.starts import versions
from m3i_jax.training.state import TrainState

LOG = logging.getLogger(__name__)
NOTE, PREDICTIONS = "best.json", "predictions"


class Progress(NamedTuple):
    """How far a run has come: its best step, that step's metric, validations since, the last."""

    best: int = 0
    value: float = math.nan
    since: int = 0
    last: int = 0

    def then(self, step: int, value: float, *, lower: bool = False) -> "Progress":
        """After one more validation; of equal ones the first is the best.

        value: of the metric, NaN where it said nothing.  lower: whether less is better.
        """
        gained = value < self.value if lower else value > self.value
        if gained or (not self.best and not math.isnan(value)):
            return Progress(step, value, 0, step)
        return self._replace(since=self.since + 1, last=step)


class Validator(NamedTuple):
    """What is asked, every so many steps."""

    wanted: schema.Validation
    question: Question
    every: int

    @property
    def metric(self) -> str:
        """The name in the log of what decides."""
        return f"validation/{self.wanted.branch}/{self.question.metric}"

    def shown(self, value: float) -> str:
        """A value of what decides, in words."""
        share = self.question.metric not in schema.ERRORS
        return f"{100 * value:.2f} %" if share else f"{value:.4g}"


def check(run: Run, inputs: Inputs, workdir: Path) -> None:
    """Refuses a validation in which nothing could be counted, before anything compiles.

    Raises:
      ConfigError: see `deciding.decisive`, `classified.opened`, `validated.opened`.
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
    return [_hook(context, Validator(wanted, _question(context, wanted, source), every))]


def _opened(run: Run, wanted: schema.Validation, train: data.Source, workdir: Path) -> Robust:
    """The test split, which says what the head that decides is held against."""
    what = deciding.decisive(run.config, run.method)
    if what == "label":
        return classified.opened(run, wanted, train, workdir)
    return validated.opened(run, wanted, train, workdir, view=what)


def _question(context: RunContext, wanted: schema.Validation, source: data.Source) -> Question:
    """What is asked of the head that decides."""
    what = deciding.decisive(context.run.config, context.run.method)
    if what == "label":
        return classified.question(context, wanted, source)
    return validated.question(context, wanted, source, view=what)


def _hook(context: RunContext, validator: Validator) -> Hook:
    """Validates when it is due and at the end; keeps the best, and ends what no longer gains."""
    begin = int(context.start.step)
    at = [_so_far(context, validator, begin)]

    def validate(step: int, state: TrainState) -> None:
        outcome = _validated(context, validator, at[0], step, state)
        if outcome is None:  # somebody asks to leave; it is validated when the run goes on
            return
        at[0], said = outcome
        _wish(context, validator, at[0])
        if context.wishes.end or step == context.run.total:
            _record(context, validator, at[0], said, state)

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
            lower = validator.question.lower
            at = at.then(line["step"], line[validator.metric], lower=lower)
    return at


def _validated(
    context: RunContext, validator: Validator, at: Progress, step: int, state: TrainState
) -> tuple[Progress, dict[str, Reply]] | None:
    """Asks all weights that have the head, logs what is found, and writes the best answers."""
    start, run, numbers, said = time.perf_counter(), context.run, {}, {}
    branches = {"online": state.params}
    branches |= {"ema": state.slots["ema"]} if run.method.averages_head else {}
    for branch, params in branches.items():
        if (reply := validator.question.ask(params)) is None:
            return None
        said[branch] = reply
        numbers |= {f"validation/{branch}/{name}": x for name, x in reply.numbers.items()}
    value, lower = numbers.get(validator.metric, math.nan), validator.question.lower
    at = at.then(step, value, lower=lower)
    if at.best == step and not jax.process_index():
        _write(context.workdir, validator, said[validator.wanted.branch])
    name = "validation/least" if lower else "validation/best"
    best = {name: at.value} if at.best else {}
    seconds = {"perf/validation_seconds": time.perf_counter() - start}
    context.log.scalars(step, numbers | best | seconds)
    LOG.info("step %d: %s %s", step, validator.metric, validator.shown(value))
    return at, said


def _record(
    context: RunContext,
    validator: Validator,
    at: Progress,
    said: dict[str, Reply],
    state: TrainState,
) -> None:
    """A line of results.jsonl for the network and one for its average, behind the last step."""
    digests = {branch: _digest(context, branch, state) for branch in said}  # by all processes
    if jax.process_index():
        return
    question = validator.question
    sources = {"train": context.inputs.source, "test": question.source}
    records = {split: datasets.digest(source) for split, source in sources.items()}
    protocol = question.protocol | {"best_step": at.best, "best": at.value if at.best else None}
    protocol["metric"] = validator.metric
    lines = [
        results.Result(
            results.named(question.task, **reply.numbers),
            branch,
            at.last,
            protocol,
            {"train": len(context.inputs.source), "test": reply.rows},
            model=f"{context.workdir.name}@{at.last}#{branch}",
            weights=digests[branch],
            data=str(context.run.config.data.get("name", "")),
            records=records,
            task=question.task,
            intervals={
                f"eval/{question.task}/{name}": [*pair]
                for name, pair in reply.intervals.items()
                if pair is not None
            },
            versions=versions(),
            time=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        )
        for branch, reply in said.items()
    ]
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


def _write(workdir: Path, validator: Validator, reply: Reply) -> None:
    """The answers of the best step; what cannot be written is said, and the training goes on."""
    if reply.write is None or (kind := validator.wanted.predictions or "npz") == "none":
        return
    try:
        reply.write(workdir / f"{PREDICTIONS}.{kind}")
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
            "the run ends: none of %d validations was better than step %d's, %s",
            *(at.since, at.best, validator.shown(at.value)),
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
