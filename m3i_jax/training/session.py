"""A training run on a work directory: starts it, or goes on where it was, to the bit."""

import datetime
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax

from m3i_jax import data
from m3i_jax.checkpoints import place
from m3i_jax.checkpoints.checkpoint import Checkpoints
from m3i_jax.checkpoints.faults import Unwritable
from m3i_jax.checkpoints.local import LocalCheckpoints
from m3i_jax.data.batches import batches
from m3i_jax.data.order import epoch_length
from m3i_jax.data.stream import prefetch
from m3i_jax.parallel import sharding
from m3i_jax.parallel.processes import Watchdog
from m3i_jax.parallel.signals import EXIT_PREEMPTED, Preemption
from m3i_jax.training import (
    copies,
    frozen,
    going_on,
    hooks,
    lengths,
    reading,
    restoring,
    schema,
    skips,
    starts,
    unused,
)
from m3i_jax.training.assemble import Parts, Run, check, finish, rehearse
from m3i_jax.training.config import Config
from m3i_jax.training.goodput import Ledger
from m3i_jax.training.inputs import TOKENIZER, Inputs, inputs_of, save
from m3i_jax.training.log import CONFIG, METRICS, SAFE, Log, guard_config, read
from m3i_jax.training.loop import Hook, fit
from m3i_jax.training.planning import flops, room
from m3i_jax.training.planning.outlook import needs
from m3i_jax.training.program import Program, compiling
from m3i_jax.training.resolved import of_run
from m3i_jax.training.state import TrainState
from m3i_jax.training.trackers import openers, require
from m3i_jax.training.trackers.tracker import TrackedRun
from m3i_jax.training.waiting import live

LOG = logging.getLogger(__name__)
# Of a run that goes on. Which record takes the place of a broken one hangs on the files alone.
# Other weights of a mixture count from where it goes on (`data.order`).
MIXING = ("data.of.*.weight", "data.of.of.*.weight", "data.evaluate_on")
MAY_CHANGE = (*SAFE, "threads", "unreadable", "init_from", *MIXING)


@dataclass
class Wishes:
    """What a hook wants of the run; heard behind the hooks of the step.

    best: steps whose checkpoints are to be made and kept, the last of them for ever.
    end: no step behind this one, and the run is done.
    """

    best: list[int] = field(default_factory=list)
    end: bool = False


class Tiers(NamedTuple):
    """Where a run is saved: checkpoints that all processes share, and each one's own in between."""

    shared: Checkpoints
    local: LocalCheckpoints | None


class RunContext(NamedTuple):
    """What a hook can know about the run that it watches, and what it may ask of it.

    start: the state before the first step, which donates it.
    program: of the step, where it has been compiled already.
    """

    run: Run
    inputs: Inputs
    workdir: Path
    log: Log
    state: Callable[[Any], TrainState]
    start: TrainState
    wishes: Wishes
    asked: Callable[[], bool] = lambda: False  # to leave; what can wait asks on its way
    giving_up: Callable[[], AbstractContextManager] = nullcontext  # around what ends when asked
    program: Program | None = None


def train(
    config: Config,
    workdir: str | Path,
    *,
    watch: Callable[[RunContext], Sequence[Hook]] = lambda context: (),
    before: Callable[[Run, Inputs, Path], None] = lambda run, inputs, workdir: None,
) -> int:
    """Checks a config and trains in `workdir` until the run is done: see `start`."""
    return start(check(config), workdir, watch=watch, before=before)


def start(
    parts: Parts,
    workdir: str | Path,
    *,
    watch: Callable[[RunContext], Sequence[Hook]] = lambda context: (),
    before: Callable[[Run, Inputs, Path], None] = lambda run, inputs, workdir: None,
    source: data.Source | None = None,
    program: Program | None = None,
    deliberate: Sequence[str] = (),
) -> int:
    """Trains in `workdir` until the run is done, and returns the exit status of the program.

    0 when it is done, which a hook may say before the last step; 75 when a signal asked it to
    leave: everything is saved, and the same command goes on where it was.
    watch: hooks of the caller's, such as evaluation on the side, and pictures.
    before: refuses what these could not do, before anything compiles.
    source, program: the training split and the step's program, where they are there already.
    deliberate: keys that somebody changes on purpose in a run that has steps, see `going_on`.
    """
    config, workdir, since = parts.config, Path(workdir), time.monotonic()
    _require(parts)
    block = schema.Saves(**config.checkpoint)
    held = _held(workdir, block)
    with Preemption(holds=jax.process_count() > 1) as preemption, held as kept:
        emergency = restoring.local(block, workdir)
        newest = emergency.newest() if emergency else None
        bound = bool(kept.steps() or newest)  # a start without a checkpoint binds nobody
        if not bound:  # one that goes on has what it started from in its checkpoint
            frozen.require(config)
        rehearse(parts)  # before the data is opened
        source = source or reading.read(config, workdir, split="train")
        run, inputs = _opened(parts, source, workdir, bound=bound, before=before)
        first = jax.process_index() == 0
        rules = dict(safe=(*MAY_CHANGE, *deliberate), bound=bound, of_run=of_run(run))
        for phrase in (changes := guard_config(workdir, config, write=False, **rules)):
            LOG.info("config: %s", phrase)
        restored = restoring.newest(run, kept, emergency, newest)
        how = dict(mark=inputs.fingerprint, tokenizer=inputs.tokenizer, deliberate=deliberate)
        state, position = restoring.start(run, restored, **how)
        guard_config(workdir, config, write=first, **rules)  # behind all that may refuse it
        if (step := int(state.step)) >= run.total:
            LOG.info("step %d of %d: this run is done already", step, run.total)
            return 0
        going_on.tell(deliberate if bound else (), step=step, total=run.total)
        if first:
            starts.record(workdir, step=step, total=run.total, changes=changes)
        with _log(run, workdir, step, active=first) as log:
            seen = (run, inputs, workdir, log, _unflatten(state), state, Wishes(kept.marked))
            context = RunContext(*seen, preemption.at_once, preemption.giving_up, program)
            ledger, emergency = _ledger(workdir, since), restoring.local(block, workdir)
            tiers = Tiers(kept, emergency)
            step = _hooked(context, tiers, position, preemption, watch, ledger)
        kept.settle(there=step)
        _ = emergency and emergency.clear()  # a checkpoint that all share is there
        if step == run.total or context.wishes.end:
            return 0
        LOG.info(going_on.LEFT, step, run.total, workdir, workdir)
        return EXIT_PREEMPTED


@contextmanager
def _held(workdir: Path, block: schema.Saves) -> Iterator[Checkpoints]:
    """The checkpoints of a directory, which is held, so that a second run leaves it as it is.

    Folders that a start has made and left empty, as it was refused, are taken away again.
    """
    folder = place.folder(workdir)
    made = [one for one in (folder, workdir) if not one.exists()]
    try:
        with Checkpoints(folder, keep=block.keep, keep_every=block.keep_every or None) as kept:
            yield kept
    finally:
        with suppress(OSError):  # something is in them, or another process was faster
            if made and [*workdir.iterdir()] == [folder]:
                for one in made:
                    one.rmdir()


def _opened(parts, source, workdir, *, bound, before) -> tuple[Run, Inputs]:
    """The run over its data, once all that is refused of them has been."""
    run = finish(parts, images=epoch_length(source))
    inputs = inputs_of(run, source, workdir, bound=bound)
    before(run, inputs, workdir)
    if not jax.process_index():
        room.require(run, workdir)
    if getattr(source, "on_disk", False):
        source.survey(threads=parts.config.threads)
    return run, inputs


def _require(parts: Parts) -> None:
    """Refuses weights and trackers that are not there; says what of the config nothing reads."""
    frozen.check(parts.config, parts.method)
    require(schema.Log(**parts.config.log).trackers)
    for sentence in unused.sentences(parts.config, parts.method):
        LOG.warning("%s", sentence)


def _ledger(workdir: Path, since: float) -> Ledger:
    """Where the time goes, of this start and of those before it."""
    first = next(iter(starts.read(workdir)), {}).get("time")
    try:
        began = datetime.datetime.fromisoformat(first).timestamp() if first else None
    except (TypeError, ValueError):  # not what we have written
        began = None
    return Ledger(read(workdir / METRICS), began=began, start=since)


def _hooked(context, tiers: Tiers, position, preemption, watch, ledger: Ledger) -> int:
    """Runs the loop with its hooks, the caller's between; returns the steps taken in all."""
    every = schema.Saves(**context.run.config.checkpoint).every
    logs, puts_back, saves, *also = _hooks(context, tiers, ledger, every=every)
    with live("reading the images that are measured on"):
        watching = [ledger.spending("measuring", hook) for hook in watch(context)]
    skipped = skips.of_run(*context[:3], before=int(context.start.skipped))
    after_each = [preemption.hold, logs, skipped, *watching, puts_back, saves, *also]
    parting = closing = [logs, skipped, puts_back, saves]
    if jax.process_count() > 1:  # all leave together, or somebody stands still
        dog, parting = Watchdog(), []
        after_each = [dog.rest, *after_each, dog.watch]
    calls = dict(hooks=after_each, parting=parting, closing=closing, stop=preemption.agreed)
    with reading.ending(context.workdir, tiers.shared.steps, total=context.run.total):
        step = _fit(context, context.start, position, ledger, **calls)
    _put_back(context)  # what was deleted while the last step was saved
    return step


def _log(run: Run, workdir: Path, step: int, *, active: bool) -> Log:
    """The log of a run that goes on from a step, with the trackers that its config names."""
    tracked = TrackedRun(workdir, step, run.config.to_dict())
    trackers = openers(schema.Log(**run.config.log).trackers, tracked)
    return Log(workdir, total=run.total, start=step, active=active, trackers=trackers)


def _unflatten(state: TrainState) -> Callable[[Any], TrainState]:
    treedef = jax.tree.structure(state)
    return lambda leaves: jax.tree.unflatten(treedef, leaves)


def _hooks(context: RunContext, tiers: Tiers, ledger: Ledger, *, every: int) -> list[Hook]:
    """Log, papers, checkpoints, emergency saves: so that what a checkpoint follows is on disk."""
    config, run, log = context.run.config, context.run, context.log
    saves = schema.Saves(**config.checkpoint)
    meta = {"config": json.loads(json.dumps(config.to_dict())), "fingerprint": None}
    meta["fingerprint"] = context.inputs.fingerprint
    ceiling = flops.ceiling(run) if jax.process_index() == 0 else None  # only the first one logs
    history = read(context.workdir / METRICS)
    between = saves.local_every if tiers.local else 0
    kept = lambda step: lengths.due(step, every) or lengths.due(step, between)  # noqa: E731
    options = dict(flush=kept, ceiling=ceiling, history=history, ledger=ledger)
    sound = copies.agreeing(run) if saves.compare else lambda info: None
    of = dict(
        state=context.state, meta=lambda info: meta | {"data": info.position}, sound=sound
    )  # fmt: skip
    wanted = lambda step: step in context.wishes.best  # noqa: E731
    shared = hooks.saving(tiers.shared, every=every, wanted=wanted, **of)
    own = []
    if tiers.local:
        most = lambda step: lengths.due(step, between) and not lengths.due(step, every)  # noqa: E731
        own.append(hooks.saving_locally(tiers.local, when=most, **of))
    return [
        hooks.logging(log, batch=config.batch, every=schema.Log(**config.log).every, **options),
        _putting_back(context, every=every),
        *(ledger.spending("saving", hook) for hook in (shared, *own)),
        copies.comparing(sound, every=saves.compare_every),
    ]


def _putting_back(context: RunContext, *, every: int) -> Hook:
    """Before every checkpoint: the papers of a work directory that was deleted under the run."""
    return lambda info: _put_back(context) if info.last or lengths.due(info.step, every) else None


def _put_back(context: RunContext) -> None:
    """Writes the papers that are not there."""
    workdir, tokenizer = context.workdir, context.inputs.tokenizer
    if jax.process_index():
        return
    try:
        if not (workdir / CONFIG).exists():
            guard_config(workdir, context.run.config, bound=False)
        if tokenizer and not (workdir / TOKENIZER).exists():
            save(tokenizer, workdir)
    except Unwritable as error:  # the checkpoint counts, and says what is wrong
        LOG.warning("%s", error)


def feed(run: Run, inputs: Inputs, *, start: dict | None, leave: Callable[[], bool]) -> Iterator:
    """(batch on the devices, position behind it), from a position on."""
    stream = batches(
        inputs.source,
        batch=run.config.batch,
        seed=run.config.seed,
        crops=inputs.crops,
        tokenizer=inputs.tokenizer,
        annotations=inputs.annotations,
        threads=run.config.threads,
        start=start,
        share=sharding.share(run.mesh),
        leave=leave,
    )
    return prefetch(stream, lambda batch: sharding.put(batch, run.mesh))


def _fit(context: RunContext, state, position, ledger: Ledger, **calls: Any) -> int:
    """Runs the loop, with the `calls` that `loop.fit` has; returns the steps taken in all."""
    run, start = context.run, int(state.step)
    stream = feed(run, context.inputs, start=position, leave=context.asked)
    leaves = jax.tree.leaves(state)
    ended = lambda: context.wishes.end  # noqa: E731
    try:
        with jax.set_mesh(run.mesh):
            how = dict(program=context.program, spending=partial(ledger.spending, "compiling"))
            advance = _compiled(run, steps=run.total - start, **how)
            ends = dict(total=run.total, ended=ended)
            _, step = fit(advance, leaves, stream, start=start, **ends, **calls)
    finally:
        stream.close()
    return step


def _compiled(run: Run, *, steps: int, **how: Any) -> Callable:
    """The step, compiled with the first batch if it is not yet; it says then what it needs.

    steps: that are to be made.  how: of `compiling`: a program, what books the time.
    """

    def said(of: Program) -> None:
        if not jax.process_index():
            LOG.info("%s", needs(run, of.compiled, of.traced, steps=steps))

    return compiling(run.compiled(), "compiling", then=said, **how)
