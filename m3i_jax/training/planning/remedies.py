"""What to change in a run that does not fit its chips, found by trying, the cheapest first."""

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import jax

from m3i_jax.build import ConfigError
from m3i_jax.training.assemble import check
from m3i_jax.training.config import Config
from m3i_jax.training.planning import estimate
from m3i_jax.training.planning.estimate import Layout, Needs, Traced
from m3i_jax.training.planning.peaks import Chip

# Moments and average in parts cost nothing; weights in parts are gathered; micro-batches are
# smaller products; what is recomputed is computed twice; more chips are more chips.
SPLITS = ((False, 1), (True, 1), (True, 2), (True, 4), (True, 8))
PIECES = (1, 2, 4, 8)
POLICIES = (None, "dots", "full")
MOST = 4096  # chips


class Fitting(NamedTuple):
    """A way to lay out a run that fits; remat None is as the config says.

    flags: what `m3i` is to be told for it.
    """

    layout: Layout
    remat: str | None
    needs: Needs
    flags: list[str]


def fitting(
    config: Config,
    count: int,
    chip: Chip,
    *,
    trace: Callable[[str | None], Traced],
    tensor: int = 1,
) -> Fitting | None:
    """The first change that makes the config fit on so many chips, or on the least power of two
    times as many; None if nothing does.

    trace: the run under a policy of recomputation, `estimate.traced`, for so many along `tensor`,
      which stays.
    """
    trace = functools.cache(trace)
    plain = trace(None)
    allowed = functools.cache(lambda pieces: _allowed(config, pieces))
    for layout, remat in _tries(config, count, tensor):
        if layout.accumulate > config.accumulate and not allowed(layout.accumulate):
            continue
        if remat and not _helps(plain, trace(remat)):
            continue
        needs = estimate.needs(trace(remat), layout, fused=chip.fused)
        if needs.peak <= estimate.USABLE * chip.memory:
            return Fitting(layout, remat, needs, _flags(config, layout, remat, count))
    return None


def _tries(config: Config, count: int, tensor: int) -> Iterator[tuple[Layout, str | None]]:
    """Layouts and policies, the cheapest first."""
    chips = count // tensor  # that have rows of their own
    while chips <= min(MOST // tensor, config.batch):
        for remat in POLICIES:
            for pieces in PIECES:
                for zero1, fsdp in SPLITS:
                    accumulate = config.accumulate * pieces
                    if chips % fsdp == 0 and config.batch % (chips * accumulate) == 0:
                        yield Layout(chips // fsdp, fsdp, zero1, accumulate, tensor), remat
        chips *= 2


def _helps(plain: Traced, recomputing: Traced) -> bool:
    return recomputing.kept < 0.99 * plain.kept


def _allowed(config: Config, pieces: int) -> bool:
    """Whether the method can be cut into so many micro-batches."""
    try:
        check(replace(config, accumulate=pieces, mesh={}), devices=jax.devices("cpu")[:1])
    except ConfigError:
        return False
    return True


def _flags(config: Config, layout: Layout, remat: str | None, count: int) -> list[str]:
    """What differs from the config, as flags."""
    changes = {"mesh.data": layout.data, "mesh.fsdp": layout.fsdp, "mesh.zero1": layout.zero1}
    plain = {"mesh.data": count // layout.tensor, "mesh.fsdp": 1, "mesh.zero1": False}
    flags = [f"--config.{k}={v}" for k, v in changes.items() if v != plain[k]]
    if layout.accumulate != config.accumulate:
        flags.append(f"--config.accumulate={layout.accumulate}")
    if remat:
        new = estimate.recomputing(config, remat=remat)
        blocks = {"encoder": new.encoder}
        blocks |= {f"towers.{name}": block for name, block in new.towers.items()}
        blocks |= {f"decoders.{name}": block for name, block in new.decoders.items()}
        flags += [f"--config.{n}.remat={remat}" for n, block in blocks.items() if "remat" in block]
    return flags if layout.chips == count else [f"--devices={layout.chips}", *flags]
