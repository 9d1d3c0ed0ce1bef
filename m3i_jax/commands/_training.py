"""A run of a config, with all that watches it: what several commands start."""

import functools
from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

from m3i_jax.commands import _compiled as compiled
from m3i_jax.commands import _processes as processes
from m3i_jax.training.config import Config


def train(config: Config, folder: Any, *, deliberate: Sequence[str] = ()) -> int:
    """Trains what a config describes in a work directory, with all that watches a run.

    deliberate: keys that are changed on purpose, see `going_on`.
    """
    from m3i_jax.training import assemble, pacing, reading

    processes.join()
    compiled.keep()
    read = functools.cache(lambda: reading.read(config, folder, split="train"))
    config = pacing.fixed(config, folder, read)
    parts = assemble.check(config)  # before the rest is loaded
    from m3i_jax.analysis.gallery import drawing
    from m3i_jax.analysis.report.live import Live
    from m3i_jax.evaluation.monitor import monitor
    from m3i_jax.evaluation.validation import check, validation
    from m3i_jax.training.session import start

    report = Live(folder, config)
    with processes.together():
        watch = lambda run: [  # noqa: E731
            *monitor(run),
            *validation(run),
            *drawing(run),
            *report.hooks(),
        ]
        source = read() if read.cache_info().currsize else None
        also = dict(source=source, deliberate=deliberate)
        status = start(parts, folder, watch=watch, before=check, **also)
        report.final()
        return status


def show(data: ConfigDict) -> str:
    """The config in words."""
    from m3i_jax.training.show import page

    return page(data)
