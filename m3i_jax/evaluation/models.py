"""What is evaluated: an encoder of a work directory, the same untrained, or plain pixels."""

from pathlib import Path
from typing import Any, NamedTuple

import jax

from m3i_jax import networks
from m3i_jax.build import ConfigError
from m3i_jax.checkpoints.checkpoint import Checkpoints
from m3i_jax.training import branches
from m3i_jax.training.assemble import build_network, objective
from m3i_jax.training.config import Config

PIXELS = "pixels"  # branch of the baseline that has no encoder


class Model(NamedTuple):
    """An encoder of images, or none, and where it is from.

    name: in tables.  branch: "ema" or "online" of a run, "untrained", or "pixels".
    image: side of the images that it sees, in pixels.
    network: whose tower "image" it is, None = raw pixels.
    params: of the branch, as much of the network as that branch keeps.
    workdir, config: of the run that it is of.  step: of its checkpoint.
    note: what a user of this branch should know.
    """

    name: str
    branch: str
    image: int
    network: networks.Network | None = None
    params: Any = None
    workdir: Path | None = None
    config: Config | None = None
    step: int = 0
    note: str = ""


def restore(path: str | Path, *, branch: str = "ema", step: int | None = None) -> Model:
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
    name = f"{path.name}@{step}#{branch}"
    return Model(name, branch, config.image, network, params, path, config, step, note)


def untrained(model: Model) -> Model:
    """The same encoder with the parameters it started from."""
    params = model.network.init(jax.random.key(model.config.seed))
    return model._replace(name="untrained", params=params, branch="untrained", step=0)


def pixels(model: Model) -> Model:
    """The baseline of no encoder at all, on the same data."""
    return model._replace(name=PIXELS, network=None, params=None, branch=PIXELS, step=0)


def chosen(
    path: str | Path, *, branch: str = "ema", step: int | None = None, baselines: bool = False
) -> list[Model]:
    """The encoder of `path`; with `baselines` also the same untrained, and the raw pixels."""
    model = restore(path, branch=branch, step=step)
    return [model, untrained(model), pixels(model)] if baselines else [model]
