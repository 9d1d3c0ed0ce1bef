"""Learning rates over a run, as the recipes have them."""

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import jax.numpy as jnp

from m3i_jax import build
from m3i_jax.build import ConfigError
from m3i_jax.ranges import HIGHEST_RATE, Ascending, LearningRateOrZero, Range, Stretch
from m3i_jax.training import lengths
from m3i_jax.types import Array

Schedule = Callable[[Array], Array]  # (step) -> float32

Stairs = Annotated[int, Range(0, 100_000, why="once an epoch, or 0 for a smooth curve")]
Milestone = Annotated[float, Range(0, 1, above=True, below=True, why="a share of the run")]
Milestones = Annotated[tuple[Milestone, ...], Ascending(least=1)]
Factor = Annotated[float, Range(1e-6, 1, below=True, why="the rate is lower behind a milestone")]
Power = Annotated[float, Range(0.1, 10, why="of the rest of the run; 1 is a line")]
Summit = Annotated[float, Range(0.01, 0.99, why="a share of the run")]


def warmup_cosine(
    peak: float,
    *,
    total: int,
    warmup: int = 0,
    end: LearningRateOrZero = 0.0,
    start: LearningRateOrZero = 0.0,
    closed: bool = False,
    whole: bool = False,
    scaled: bool = False,
    stairs: Stairs = 0,
    stretch: Stretch = 1.0,
) -> Schedule:
    """Linear from `start` at step 0 to `peak` at step `warmup`, then a cosine to `end` at `total`.

    η(t) = start + (peak − start)·t/w for t < w;
           end + (peak − end)·½(1 + cos π(t − w)/(T − w)) after it.
    The first update uses η(0), which is 0 under the default warm-up, and the last one η(T − 1), as
    in the published code of MAE and SiameseIM; past T the rate stays at `end`.

    start: the rate at step 0.
    closed: the last step of the warm-up has the peak already, t/(w − 1), as the published code of
      DINO and BEiT draws its line.
    whole: the cosine has begun at step 0, t/T, and the warm-up hides its first part: timm's without
      a prefix, and so Swin's, SimMIM's and InternImage's. The peak is never reached.
    scaled: as `whole`, and the warm-up is a factor of the cosine (DINOv3's dense probes).
    stairs: the rate changes that many times in the run, at equal distances: once an epoch where the
      published code sets it there (MoCo v2, DenseCL).
    stretch: T is so many times the run, whose end then comes before that of the cosine (MSN).
    """
    check_lengths(total, warmup)
    begin = 0 if whole or scaled else warmup

    def schedule(step: Array) -> Array:
        step = jnp.asarray(step, jnp.float32)
        if stairs:  # half a step of margin for the rounding of the division
            stair = total / stairs
            step = jnp.floor((step + 0.5) / stair) * stair
        length = jnp.maximum(1, jnp.round(stretch * total) - begin)
        progress = jnp.clip((step - begin) / length, 0.0, 1.0)
        decayed = end + (peak - end) * 0.5 * (1.0 + jnp.cos(jnp.pi * progress))
        line = start + (peak - start) * step / jnp.maximum(1, warmup - closed)
        return jnp.where(step < warmup, line * decayed / peak if scaled else line, decayed)

    return schedule


def warmup_polynomial(
    peak: float,
    *,
    total: int,
    warmup: int = 0,
    end: LearningRateOrZero = 0.0,
    start: LearningRateOrZero = 0.0,
    power: Power = 1.0,
    closed: bool = False,
    scaled: bool = False,
) -> Schedule:
    """Linear from `start` at step 0 to `peak` at step `warmup`, then a power of what is left.

    η(t) = start + (peak − start)·t/w for t < w;
           end + (peak − end)·(1 − (t − w)/(T − w))^power after it.
    mmsegmentation's "poly", https://github.com/open-mmlab/mmsegmentation, and "linear" in tables.

    start: the rate at step 0.
    power: .9 of ResNets (Chen et al. 2016, https://arxiv.org/abs/1606.00915), 1 of transformers.
    closed: the last step of the warm-up has the peak already, as in mmengine.
    scaled: the fall has begun at step 0, 1 − t/T, and the warm-up is a factor of it, as in mmcv,
      and so in BEiT's code.
    """
    check_lengths(total, warmup)
    begin = 0 if scaled else warmup

    def schedule(step: Array) -> Array:
        step = jnp.asarray(step, jnp.float32)
        left = 1.0 - jnp.clip((step - begin) / jnp.maximum(1, total - begin), 0.0, 1.0)
        decayed = end + (peak - end) * left**power
        line = start + (peak - start) * step / jnp.maximum(1, warmup - closed)
        return jnp.where(step < warmup, line * decayed / peak if scaled else line, decayed)

    return schedule


def rise_and_fall(
    peak: float,
    *,
    total: int,
    warmup: int = 0,
    end: LearningRateOrZero = 0.0,
    power: Power = 0.9,
    summit: Summit = 0.5,
) -> Schedule:
    """From `end` to `peak` at a share of the run, and back in as many steps.

    η(t) = end + (peak − end)·u^power for u < 1; else max(end, peak − (peak − end)·(u − 1)^power),
    u = (t + 1)/s, s = summit · T. Xie et al. 2022, https://arxiv.org/abs/2205.13543, appendix F, as
    https://github.com/SwinTransformer/MIM-Depth-Estimation has it.

    power: of the share of the way, up and down.
    summit: the share of the run that is over where the rate is highest.
    """
    check_lengths(total, warmup)
    if lengths.known(warmup) and warmup:
        raise ConfigError(f"'rise_and_fall' rises by itself; expected no warm-up, got {warmup}")

    def schedule(step: Array) -> Array:
        up = (jnp.asarray(step, jnp.float32) + 1.0) / jnp.maximum(1, steps(summit, total))
        risen, fallen = jnp.minimum(up, 1.0) ** power, jnp.clip(up - 1.0, 0.0, 1.0) ** power
        return end + (peak - end) * jnp.where(up < 1.0, risen, 1.0 - fallen)

    return schedule


def warmup_constant(
    peak: float, *, total: int, warmup: int = 0, start: LearningRateOrZero = 0.0
) -> Schedule:
    """Linear from `start` at step 0 to `peak` at step `warmup`, then constant.

    start: the rate at step 0.
    """
    check_lengths(total, warmup)

    def schedule(step: Array) -> Array:
        step = jnp.asarray(step, jnp.float32)
        return start + (peak - start) * _risen(step, warmup)

    return schedule


def warmup_milestones(
    peak: float,
    *,
    total: int,
    warmup: int = 0,
    milestones: Milestones = (0.889, 0.963),
    factor: Factor = 0.1,
    start: LearningRateOrZero = 0.0,
) -> Schedule:
    """Linear warm-up from `start`, then `peak` times `factor` once for every milestone passed.

    milestones: shares of `total`; the defaults are the detection recipe's (ViTDet, Li et al. 2022,
      https://arxiv.org/abs/2203.16527).
    factor: of the rate at each of them.  start: the rate at step 0.
    """
    check_lengths(total, warmup)
    if wrong := [m for m in milestones if not 0 <= m <= 1]:
        raise ConfigError(f"the milestone {wrong[0]} is no share of the run, expected 0 to 1")

    def schedule(step: Array) -> Array:
        step = jnp.asarray(step, jnp.float32)
        at = jnp.round(jnp.asarray(milestones, jnp.float32) * total)
        passed = (step[..., None] >= at.reshape((1,) * step.ndim + (-1,))).sum(-1)
        risen = start + (peak - start) * _risen(step, warmup)
        return risen * factor ** passed.astype(jnp.float32)

    return schedule


SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "cosine": warmup_cosine,
    "constant": warmup_constant,
    "milestones": warmup_milestones,
    "polynomial": warmup_polynomial,
    "rise_and_fall": rise_and_fall,
}


def create(
    schedule: str | Mapping[str, Any],
    peak: float,
    *,
    total: int,
    warmup: int,
    end_lr: float = 0.0,
    stretch: float = 1.0,
    make: Callable = build.call,
) -> Schedule:
    """The schedule that a config names, "cosine" or `{name, **kwargs}`, from its peak rate.

    Args:
      peak, total, warmup: as of all of `SCHEDULES`.
      end_lr, stretch: `end` and `stretch` of those that have them.
      make: `build.call`; `build.made` for a block that has been checked.

    Raises:
      ConfigError: an unknown name or key, or a number that has no meaning for the schedule.
    """
    block = {"name": schedule} if isinstance(schedule, str) else dict(schedule)
    filling = {"peak": peak, "total": total, "warmup": warmup}
    named = SCHEDULES.get(block.get("name"))
    for key, field, value, none in (
        ("end", "end_lr", end_lr, 0.0),
        ("stretch", "stretch", stretch, 1.0),
    ):
        if named and key in inspect.signature(named).parameters:
            filling[key] = value
        elif named and value != none:
            raise ConfigError(
                f"config.optimizer.{field} has no meaning for the schedule '{block['name']}'"
            )
    rate = build.build(SCHEDULES, block, what="config.optimizer.schedule", make=make, **filling)
    for key, least in (("end_lr", end_lr), ("schedule.start", block.get("start", 0.0))):
        if least > peak:
            raise ConfigError(
                f"config.optimizer.{key} is {least:g}, more than the peak of {peak:g}: "
                "a rate rises in the warm-up and falls behind it"
            )
    return rate


def steps(share: float, total: int) -> int | Array:
    """The nearest whole number of steps to a share of a run."""
    return round(share * total) if lengths.known(total) else jnp.round(share * total)


def _risen(step: Array, warmup: int) -> Array:
    """The part of a warm-up that is over: 1 where there is none."""
    return jnp.where(warmup > 0, jnp.minimum(1.0, step / jnp.maximum(1, warmup)), 1.0)


def peak_rate(*, batch: int, lr: float | None = None, base_lr: float | None = None) -> float:
    """The peak learning rate: `lr` as it is, or `base_lr` · batch / 256.

    A function of the global batch only, so devices and accumulation leave it alone. The linear
    scaling rule of Goyal et al. 2017, https://arxiv.org/abs/1706.02677.
    """
    if (lr is None) == (base_lr is None):
        which = "both" if lr is not None else "neither"
        raise ConfigError(
            f"config.optimizer needs 'lr' (the peak) or 'base_lr' (per 256 images), got {which}"
        )
    peak = float(lr) if lr is not None else base_lr * batch / 256
    if peak > HIGHEST_RATE:
        of_batch = f"base_lr is {base_lr}, a peak of {peak:g} at a batch of {batch}"
        raise ConfigError(
            f"config.optimizer.{of_batch if lr is None else f'lr is {lr:g}'}; "
            f"expected at most {HIGHEST_RATE}"
        )
    return peak


def check_lengths(total: int, warmup: int) -> None:
    """Refuses a run of no steps, and one shorter than its warm-up."""
    if not lengths.known(total, warmup):
        return
    if total < 1:
        raise ConfigError(f"a run of {total} steps; expected 1 or more")
    if warmup > total:
        raise ConfigError(f"a warm-up of {warmup} steps is longer than the run of {total}")
