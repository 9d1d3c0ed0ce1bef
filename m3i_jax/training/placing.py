"""Where a run is kept if nobody says it: under its name, in no directory that another run has."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from m3i_jax.build import ConfigError
from m3i_jax.checkpoints import place, storage
from m3i_jax.checkpoints.checkpoint import LOCK
from m3i_jax.training import log, pacing
from m3i_jax.training.config import Config
from m3i_jax.training.session import MAY_CHANGE


class Place(NamedTuple):
    """folder: the work directory.  passed: sentences on the runs that have the names before it."""

    folder: Path
    passed: tuple[str, ...]


def placed(
    named: str | Path, config: Config, *, deliberate: Sequence[str] = (), alone: bool = True
) -> Place:
    """The first of NAME, NAME-2, ... that has the run of a config, or none with a step.

    So the same command finds its run again, and another one never meets it.

    named: the work directory by its name.
    deliberate: keys that somebody changes on purpose in the run, see `going_on`.
    alone: whether to pass over a run before its first step, too, while its process is there;
      processes of one run, which have to agree, are no such others.

    Raises:
      ConfigError: something is to be changed on purpose, and none of these is of the config.
    """
    passed: list[str] = []
    for folder in place.numbered(named):
        taken = bool(place.steps(folder)) or alone and storage.is_held(place.folder(folder) / LOCK)
        other = differences(folder, config, deliberate=deliberate) if taken else ""
        if not other:
            break
        passed.append(f"{folder} is another run ({other})")
    if deliberate and passed and not taken:
        raise ConfigError(f"{passed[0]}; --workdir says which run is to be changed")
    return Place(folder, tuple(passed))


def differences(workdir: str | Path, config: Config, *, deliberate: Sequence[str] = ()) -> str:
    """What of a config is other than in the run of a work directory; "" of the same run."""
    try:
        config = pacing.kept(config, workdir, tell=False)
    except ConfigError:  # of so many minutes, and the run is of others
        return f"not of {config.duration}"
    return log.few(log.others(workdir, config, safe=(*MAY_CHANGE, *deliberate)))
