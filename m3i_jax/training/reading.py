"""The data of a run: training and all that evaluates it read it alike.

Broken records are forgiven as far as `config.unreadable` says, and listed in the work directory.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from m3i_jax import data
from m3i_jax.build import ConfigError
from m3i_jax.data.sources.gone import Gone
from m3i_jax.data.sources.unreadable import Robust, TooManyUnreadable, robust
from m3i_jax.training import going_on
from m3i_jax.training.config import Config

LOG = logging.getLogger(__name__)
REPORT = "unreadable.txt"


def read(
    config: Config, workdir: str | Path, *, split: str, classes: Sequence[str] | None = None
) -> Robust:
    """A split of a run's data, "train" or "test".

    classes: of the training split, where it has been opened before; see `data.source`.
    """
    source = data.source(config.data, split=split, classes=classes)
    if not 0 <= config.unreadable <= 1:
        raise ConfigError(f"config.unreadable is {config.unreadable}, expected a share of 1")
    report = Path(workdir) / REPORT
    return robust(source, report=report, max_share=config.unreadable, split=split)


@contextlib.contextmanager
def ending(workdir: Path, saved: Callable[[], Sequence[int]], *, total: int) -> Iterator[None]:
    """Where its data end a run of `total` steps, says which step is saved.

    saved: () -> the steps on disk.
    """
    try:
        yield
    except (Gone, TooManyUnreadable):
        if steps := saved():
            LOG.info(going_on.LEFT, steps[-1], total, workdir, workdir)
        raise
