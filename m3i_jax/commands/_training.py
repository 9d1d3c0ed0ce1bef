"""A run of a config, with all that watches it: what several commands start."""

import functools
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from m3i_jax.build import ConfigError
from m3i_jax.checkpoints import place
from m3i_jax.commands import _compiled as compiled
from m3i_jax.commands import _memory as memory
from m3i_jax.commands import _processes as processes
from m3i_jax.training.config import Config
from m3i_jax.training.waiting import live

LOG = logging.getLogger(__name__)


def train(config: Config, folder: Any, *, deliberate: Sequence[str] = ()) -> int:
    """Trains what a config describes in a work directory, with all that watches a run.

    deliberate: keys that are changed on purpose, see `going_on`.
    """
    memory.keep()
    import jax

    from m3i_jax.training import assemble, log, pacing, reading

    processes.join()
    compiled.keep()
    with processes.together():
        config = pacing.kept(config, folder)
        read = functools.cache(lambda: reading.read(config, folder, split="train"))
        _tell(config, folder, read)
        config, program = pacing.fixed(config, folder, read, memory=paces())
        parts = assemble.check(config)
        with live("loading the code that measures and draws"):
            from m3i_jax.analysis.gallery import drawing
            from m3i_jax.analysis.report.live import Live
            from m3i_jax.evaluation.monitor import monitor
            from m3i_jax.evaluation.validation import check, validation
            from m3i_jax.training.session import start

        report = Live(folder, config)
        watch = lambda run: [  # noqa: E731
            *monitor(run),
            *validation(run),
            *drawing(run),
            *report.hooks(),
        ]
        also = dict(source=read(), program=program, deliberate=deliberate)
        status = start(parts, folder, watch=watch, before=check, **also)
        with live("drawing report.html"):
            report.final()
        if not jax.process_index():
            pacing.learned(config, log.read(Path(folder) / log.METRICS), paces())
        return status


def kept(folder: str, before: Sequence[int]) -> str:
    """What Ctrl-C leaves of a run, where no step is being made.

    before: the steps that were saved there when the command began.
    """
    if place.steps(folder) == before:
        return f"no step was made by this start: {folder} is as it was"
    return f"what was trained is saved in {folder}"


def paces() -> Path:
    """Where it is kept how fast this machine steps: beside its compiled programs."""
    return compiled.home().parent / "paces"


def _tell(config: Config, folder: Any, read: Callable[[], Any]) -> None:
    """Says what will happen, of shapes alone: before more is loaded, and anything compiles.

    read: () -> the training split.

    Raises:
      ConfigError: what the config alone shows, and then what the data do.
      Unwritable: the disk has no room for a checkpoint.
    """
    import jax

    from m3i_jax.data.order import epoch_length
    from m3i_jax.training import assemble, pacing
    from m3i_jax.training.planning import room
    from m3i_jax.training.planning.outlook import outlook

    supposed = pacing.supposed(config, paces())
    parts = assemble.check(supposed)
    assemble.rehearse(parts)
    source = read()
    run = assemble.finish(parts, images=epoch_length(source))
    start = max(place.steps(folder), default=0)
    if start > run.total:
        raise ConfigError(
            f"'{folder}' has made {start} steps, and config.duration = {config.duration!r} ends it "
            f"at {run.total}; a shorter run is one of its own, with another --workdir"
        )
    if start < run.total and not jax.process_index():
        room.require(run, Path(folder))
        length = config.duration if supposed.duration != config.duration else ""
        also = dict(start=start, length=length, rate=pacing.known(config, paces()))
        LOG.info("%s", outlook(run, source, Path(folder), **also))
        room.warn(run, Path(folder))


def show(data: ConfigDict) -> str:
    """The config in words."""
    from m3i_jax.training.show import page

    return page(data)
