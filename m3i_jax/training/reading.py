"""The data of a run: training and all that evaluates it read it alike.

Broken records are forgiven as far as `config.unreadable` says, and listed in the work directory.
"""

from collections.abc import Sequence
from pathlib import Path

from m3i_jax import data
from m3i_jax.build import ConfigError
from m3i_jax.data.sources.unreadable import Robust, robust
from m3i_jax.training.config import Config

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
