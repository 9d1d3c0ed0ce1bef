"""A length in minutes becomes one in steps: the steps are timed, once, and the number is kept.

    N = (60 m − seconds so far) / seconds per step

The program that is timed is the run's, whose length is an input of it.

Rates and averages of a run hang on its length, so a run that goes on reads the number, and times
nothing. The timed steps are of a state that is thrown away.
"""

import contextlib
import hashlib
import json
import logging
import math
import statistics
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax

from m3i_jax import data, jsonfile
from m3i_jax.build import ConfigError
from m3i_jax.checkpoints import place, storage
from m3i_jax.data import cores
from m3i_jax.data.order import epoch_length
from m3i_jax.ranges import INT32
from m3i_jax.training import lengths, session
from m3i_jax.training.assemble import check, finish
from m3i_jax.training.config import Config
from m3i_jax.training.inputs import inputs_of
from m3i_jax.training.loop import StepInfo, fit
from m3i_jax.training.program import Program, compiling
from m3i_jax.training.waiting import live, ticking

LOG = logging.getLogger(__name__)
FILE = "length.json"
GUESS = 250  # steps a minute, where none have been timed yet
MAKES_A_STEP = (
    "objective", "target", "encoder", "towers", "decoders", "augment", "crops",
    "image", "batch", "accumulate", "dtype", "weighting",
)  # fmt: skip
RATE, ENOUGH = "perf/images_per_second", 3  # in so many lines of a log
WARM = 3  # steps that are not timed: the first compiles, two more take batches read meanwhile
FEWEST = 20  # steps of a run, however few minutes it has
ASIDE = 0.06  # share of the time that monitors, pictures and checkpoints take
TIMED = 3.0, 20.0  # seconds of steps that are timed, at least and at most; between, 3 % of all


class Pace(NamedTuple):
    """How fast a run steps.

    compiling: seconds of the first step.  step: seconds of each further one.  timed: of them.
    """

    compiling: float
    step: float
    timed: int


def kept(config: Config, workdir: str | Path, *, tell: bool = True) -> Config:
    """The config with the length that a run with steps on disk was given for its minutes.

    Any other is as it was.

    tell: whether the log says so.

    Raises:
      ConfigError: the run was given another length, which its rates hang on.
    """
    minutes = lengths.minutes(config.duration)
    if minutes is None or (known := _kept(workdir, config.duration)) is None:
        return config
    if tell:
        LOG.info("%s are %s, as measured when this run began", config.duration, known)
    return replace(config, duration=known)


def supposed(config: Config, memory: Path) -> Config:
    """The config with as many steps as its minutes may hold, with which they are timed.

    memory: folder where paces are kept between runs.
    """
    minutes = lengths.minutes(config.duration)
    if minutes is None:
        return config
    rate = known(config, memory) or GUESS
    steps = round(rate * minutes) if rate < INT32 / minutes else round(GUESS * minutes)
    return replace(config, duration=f"{max(FEWEST, steps)} steps")


def known(config: Config, memory: Path) -> float | None:
    """Steps a minute that such a config has made on this machine; None where it never has.

    memory: see `supposed`.
    """
    try:
        rate = float(jsonfile.read(_remembered(config, memory))["steps"])
    except (OSError, ValueError, TypeError, KeyError):  # none yet, or not ours
        return None
    return rate if 0 < rate < math.inf else None


def learned(config: Config, rows: Iterable[Mapping[str, Any]], memory: Path) -> None:
    """Keeps how fast a run was, by the lines of its log, for the next one of such steps.

    memory: see `supposed`.
    """
    rates = [float(row[RATE]) for row in rows if RATE in row]
    if len(rates) >= ENOUGH and 0 < (rate := statistics.median(rates)) < math.inf:
        _remember(config, memory, 60 * rate / config.batch / (1 + ASIDE))


def _remember(config: Config, memory: Path, steps: float) -> None:
    with contextlib.suppress(OSError):  # it is no reason not to train
        memory.mkdir(parents=True, exist_ok=True)
        storage.publish(_remembered(config, memory), json.dumps({"steps": steps}).encode())


def _remembered(config: Config, memory: Path) -> Path:
    """The file of the pace of all configs that make such steps on this machine."""
    said = {key: getattr(config, key) for key in MAKES_A_STEP}
    said |= {"device": jax.devices()[0].device_kind, "devices": jax.device_count()}
    text = json.dumps(said | {"cores": cores.usable()}, sort_keys=True, default=str)
    return memory / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"


def fixed(
    config: Config, workdir: str | Path, source: Any, *, memory: Path
) -> tuple[Config, Program | None]:
    """The config with its length in steps, which are timed, and the program that they were made by.

    One that is not in minutes is its own, and nothing is compiled.

    source: () -> the training split.  memory: see `supposed`.

    Raises:
      ConfigError: the steps of several processes would be timed.
    """
    minutes, begun = lengths.minutes(config.duration), time.monotonic()
    if minutes is None:
        return config, None
    if jax.process_count() > 1:
        raise ConfigError(f"config.duration is '{config.duration}', and steps are timed in one "
                          "process; with --distributed give steps or epochs")  # fmt: skip
    seconds = min(max(TIMED[0], 1.8 * minutes), TIMED[1])
    pace, program = measured(supposed(config, memory), workdir, source(), seconds=seconds)
    left = 60 * minutes - (time.monotonic() - begun)
    steps = max(FEWEST, int(left / (pace.step * (1 + ASIDE))))
    duration = f"{steps} steps"
    images = steps * config.batch
    LOG.info(
        "%d timed steps: %.3g s each, %.0f images/s; %s come to %s, %d images",
        *(pace.timed, pace.step, config.batch / pace.step, config.duration, duration, images),
    )
    record = {"asked": config.duration, "duration": duration, **pace._asdict()}
    with storage.writing(workdir):
        Path(workdir).mkdir(parents=True, exist_ok=True)
        storage.publish(Path(workdir) / FILE, (json.dumps(record, indent=2) + "\n").encode())
    _remember(config, memory, steps / minutes)
    return replace(config, duration=duration), program


def measured(
    config: Config, workdir: str | Path, source: data.Source, *, seconds: float
) -> tuple[Pace, Program]:
    """Times the steps of a run for about so many seconds, its data included."""
    run = finish(check(config), images=epoch_length(source))
    inputs = inputs_of(run, source, Path(workdir), bound=False)
    stream = session.feed(run, inputs, start=None, leave=lambda: False)
    marks, programs, begun = [], [], time.monotonic()

    def mark(info: StepInfo) -> None:
        jax.block_until_ready(info.metrics)
        marks.append(time.monotonic())

    def enough() -> bool:
        return len(marks) > WARM and marks[-1] - marks[WARM - 1] > seconds

    try:
        with jax.set_mesh(run.mesh):
            with live("making the network"):
                leaves = jax.tree.leaves(run.create())
            advance = compiling(run.compiled(), "compiling", then=programs.append)
            with ticking(lambda: f"timing steps: {len(marks)} so far" * bool(marks), sys.stderr):
                fit(advance, leaves, stream, start=0, total=run.total, hooks=[mark], ended=enough)
    finally:
        stream.close()
    timed = len(marks) - WARM
    pace = Pace(marks[0] - begun, (marks[-1] - marks[WARM - 1]) / timed, timed)
    return pace, programs[0]


def _kept(workdir: str | Path, asked: str) -> str | None:
    """The length in steps that a run with steps on disk was given for these minutes.

    Raises:
      ConfigError: it was given another length, which its rates hang on.
    """
    if not place.steps(workdir):
        return None
    try:
        record = jsonfile.read(Path(workdir) / FILE)
    except (OSError, ValueError):
        record = None
    found = record if isinstance(record, dict) else {}
    if found.get("asked") == asked and isinstance(found.get("duration"), str):
        return found["duration"]
    raise ConfigError(
        f"{workdir} has steps of a run of another length than {asked}: m3i pretrain --workdir "
        f"{workdir} goes on with it, --resume_with 'duration=N steps' makes it longer, and another "
        "--workdir starts afresh"
    )
