"""Optimisers as optax chains: decay, rates and freezing by parameter path, never by rank.

θ ← θ − η(t) · s(path) · (direction(g) + λ·[path decays]·θ): as parameter groups in the published
recipes, the factor s scales the decay too. Gradients are clipped first, over the leaves that train:
by one norm, by that of each parameter, or by that of each part of the tree. Blocks are stacked
along a leading depth axis, and every rule treats such a leaf as the layers that it holds.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from m3i_jax import build, trees
from m3i_jax.build import ConfigError, choose, nearest
from m3i_jax.ranges import LearningRate, LearningRateOrZero, Range, Stretch
from m3i_jax.texts import Pattern
from m3i_jax.training import rules, schedules, transforms
from m3i_jax.training.rules import Limits, Rules, Scale, Wait

# Parameters that are one-dimensional in the published code, which exempts them by rank: biases,
# scales of norms, LayerScale, temperature; and SwinV2's position bias, which it exempts by name.
# Class and mask tokens are (1, 1, D) there and decay (SiameseIM, MAE). BEiT's code, DeiT's and all
# fine-tuning exempt class token and positions, too: WITHOUT_CLASS; SimMIM's Swin: WITHOUT_TOKENS.
NO_DECAY = r"(^|/)([a-z]+_)?(bias|scale|gamma)\d*$|/cpb_mlp/"
WITHOUT_CLASS = NO_DECAY + r"|(^|/)(cls_token|pos_embed)$"
WITHOUT_TOKENS = NO_DECAY + r"|(^|/)(cls_token|mask_token|pos_embed)$|relative_position"

Norm = Annotated[float, Range(1e-6, 1e6, why="gradients have norms of about 1")]
Trust = Annotated[float, Range(1e-6, 1, why="a share of the norm of the parameters")]
Inertia = Annotated[float, Range(0, 0.99999, why="a mean over 100 000 steps never follows")]
# Of Adam, whose steps are of the size of the rate, whatever the gradients are.
Small = Annotated[float, Range(1e-15, 0.1, why="with more than a gradient's root it is SGD")]
AdamRate = Annotated[float, Range(1e-12, 1, why="a step moves each parameter by about it")]
RATES = {"lr": AdamRate | None, "base_lr": AdamRate | None}
LayerDecay = Annotated[float, Range(0.1, 1, why="the rate of a layer over that of the next")]
Decay = Annotated[float, Range(0, 10, why="rate times decay is the share that every step takes")]

STEPS = ("params", "batch", "total", "warmup")  # what the program says, and no config
CLIPS = {"all": transforms.clip_all, "leaf": transforms.clip_each}


class Optimizer(NamedTuple):
    """An optax transformation, and the learning rate at each of its updates."""

    transform: optax.GradientTransformation
    schedule: schedules.Schedule


def create(
    block: Mapping[str, Any],
    *,
    params: Any,
    batch: int,
    total: int,
    warmup: int = 0,
    make: Callable = build.call,
) -> Optimizer:
    """The optimiser that a config block `{name, **kwargs}` names: `adamw`, `lamb`, `lars`, `sgd`.

    Args:
      block: plain data, the keywords of that direction and of `optimizer`.
      params: the parameters or their shapes; every pattern is checked against their paths.
      batch: images per step, for `base_lr`.
      total, warmup: steps, for the schedule.
      make: `build.call`; `build.made` for a block that has been checked.
    """
    lengths = {"params": params, "batch": batch, "total": total, "warmup": warmup}
    functions = offered(make=make)
    return build.build(functions, block, what="config.optimizer", make=make, **lengths)


def check(block: Mapping[str, Any], *, batch: int, total: int, warmup: int) -> None:
    """Refuses what does not go together in a block whose keys and values have been checked.

    Patterns that no parameter matches are left to `create`, see `assemble.rehearse`.
    """
    _, own = choose(offered(), block, what="config.optimizer")
    field = {n: p.default for n, p in inspect.signature(optimizer).parameters.items()} | own
    peak = schedules.peak_rate(batch=batch, lr=field["lr"], base_lr=field["base_lr"])
    shape = {key: field[key] for key in ("end_lr", "stretch")}
    schedules.create(field["schedule"], peak, total=total, warmup=warmup, **shape, make=build.made)
    _kind(field["clip"], field["clip_by"])
    rules.check(**{key: field[key] for key in ("freeze", "lr_scale", "late", "limits")})


def offered(*, make: Callable = build.call) -> dict[str, Callable[..., Optimizer]]:
    """The optimisers that a config may name: `optimizer` along each direction.

    make: see `create`.
    """
    return {name: _along(direction, make) for name, direction in DIRECTIONS.items()}


def optimizer(
    params: Any,
    *,
    batch: int,
    total: int,
    warmup: int = 0,
    direction: Callable[..., list],
    lr: LearningRate | None = None,
    base_lr: LearningRate | None = None,
    schedule: str | dict = "cosine",
    end_lr: LearningRateOrZero = 0.0,
    stretch: Stretch = 1.0,
    no_decay: Pattern = NO_DECAY,
    clip: Norm | None = None,
    clip_by: str | tuple[Pattern, ...] = "all",
    layer_decay: LayerDecay | None = None,
    lr_scale: tuple[Scale, ...] = (),
    freeze: Pattern | None = None,
    late: tuple[Wait, ...] = (),
    limits: tuple[Limits, ...] = (),
    steady: Pattern | None = None,
    unit: Pattern | None = None,
    make: Callable = build.call,
) -> Optimizer:
    """What all optimisers have in common: rate, clipping, and rules by path.

    direction: (decays, ramp, rate) -> transformations; `decays` says which parameters do,
      `ramp(first, last)` is a cosine between two numbers over the run, `rate` that of each step.
    lr, base_lr: peak rate, or rate per 256 images.  end_lr: where the schedule ends.
    schedule: of the rate, by its name or as `{name, **kwargs}` of `schedules`.
    stretch: length of the rate's cosine and of the decay's, in runs; the end of those of MSN, 1.25,
      is never reached.
    no_decay: pattern of paths without decay.
    clip: largest norm of a gradient, None = off.  clip_by: whose norm: of "all" together, of each
      "leaf", or of all that matches one of several patterns; what matches none is not clipped.
    layer_decay: d of `layer_scales`.  lr_scale: ordered (pattern, factor) rules, 1 elsewhere.
    freeze: pattern of paths that do not move, and cost no moments.
    late: (pattern, share) rules: paths that have no gradient, decay or moments in that first share
      of the run (DINO's last layer).
    limits: (pattern, least, most) rules: what parameters are cut to behind a step (CLIP's scale).
    steady: pattern of paths whose rate is the peak in every step (SimSiam's predictor).
    unit: pattern of paths whose rows have length 1 behind every step (SwAV's prototypes).
    make: how a schedule is made of its block, see `create`.
    """
    by_path = dict(no_decay=no_decay, lr_scale=lr_scale, freeze=freeze, late=late)
    rules.check(freeze=freeze, lr_scale=lr_scale, late=late, limits=limits)
    peak = schedules.peak_rate(batch=batch, lr=lr, base_lr=base_lr)
    shape = dict(total=total, warmup=warmup, end_lr=end_lr, stretch=stretch)
    rate = schedules.create(schedule, peak, **shape, make=make)
    by_leaf = Rules(params, **by_path, layer_decay=layer_decay, total=total)

    def directed(start: int) -> list[optax.GradientTransformation]:
        ramp = partial(_ramp, total=total, stretch=stretch, start=start)
        return direction(by_leaf.decays, ramp, lambda step: rate(step + start))

    train = [*_clipped(by_leaf, clip, clip_by), *_started(by_leaf, directed, total)]
    bounds = [transforms.within(by_leaf.limits(limits))] if limits else []
    bounds += [transforms.unit_rows(by_leaf.pattern(unit, "unit"))] if unit else []
    moved = transforms.scale_by_rates(rate, peak, by_leaf.pattern(steady, "steady"))
    return Optimizer(_assemble(by_leaf, train, moved, bounds), rate)


def adamw(
    decays: Callable[[Any], Any],
    ramp: Callable[[float, float], schedules.Schedule],
    rate: schedules.Schedule,
    *,
    b1: Inertia = 0.9,
    b2: Inertia = 0.95,
    eps: Small = 1e-8,
    weight_decay: Decay = 0.05,
    weight_decay_end: Decay | None = None,
) -> list[optax.GradientTransformation]:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019); moments in float32.

    https://arxiv.org/abs/1711.05101

    b1, b2: what the means of g and of g² keep of themselves in a step.  eps: is added to the root.
    weight_decay: λ.  weight_decay_end: λ at the end, by a cosine; None = constant.
    """
    decay = weight_decay
    if weight_decay_end is not None:
        decay = ramp(weight_decay, weight_decay_end)
    adam = optax.scale_by_adam(b1=b1, b2=b2, eps=eps, mu_dtype=jnp.float32)
    return [adam, optax.add_decayed_weights(decay, mask=decays)]


def lamb(
    decays: Callable[[Any], Any],
    ramp: Callable[[float, float], schedules.Schedule],
    rate: schedules.Schedule,
    *,
    b1: Inertia = 0.9,
    b2: Inertia = 0.999,
    eps: Small = 1e-6,
    weight_decay: Decay = 0.01,
) -> list[optax.GradientTransformation]:
    """LAMB (You et al. 2020): AdamW's u; θ ← θ − η·u·‖θ‖/‖u‖ per layer.

    https://arxiv.org/abs/1904.00962; paths that do not decay have no trust ratio, as in apex's.

    b1, b2: what the means of g and of g² keep of themselves in a step.  eps: is added to the root.
    weight_decay: λ.
    """
    adam = adamw(decays, ramp, rate, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay)
    return [*adam, transforms.scale_by_trust(1.0, applies=decays)]


def lars(
    decays: Callable[[Any], Any],
    ramp: Callable[[float, float], schedules.Schedule],
    rate: schedules.Schedule,
    *,
    momentum: Inertia = 0.9,
    trust: Trust = 0.001,
    weight_decay: Decay = 0.0,
    rate_inside: bool = False,
) -> list[optax.GradientTransformation]:
    """LARS (You et al. 2017): u = g + λθ; v ← m·v + u · trust·‖θ‖/‖u‖; θ ← θ − η·v.

    Norms are per layer, also in stacked leaves. Paths that do not decay (biases, norms) have no
    trust ratio either, as in the linear probes of MAE and Barlow Twins.
    https://arxiv.org/abs/1708.03888, Algorithm 1.

    momentum: m.  trust: the share of ‖θ‖ that a step of rate 1 has.  weight_decay: λ.
    rate_inside: the momentum is one of steps, v ← m·v + η·u · …; θ ← θ − v, as the paper and
      SimCLR have it; the same where η is constant.
    """
    kept = (
        transforms.trace_of_steps(rate, momentum)
        if rate_inside
        else optax.trace(decay=momentum, accumulator_dtype=jnp.float32)
    )
    return [
        optax.add_decayed_weights(weight_decay, mask=decays),
        transforms.scale_by_trust(trust, applies=decays),
        kept,
    ]


def sgd(
    decays: Callable[[Any], Any],
    ramp: Callable[[float, float], schedules.Schedule],
    rate: schedules.Schedule,
    *,
    momentum: Inertia = 0.9,
    weight_decay: Decay = 0.0,
) -> list[optax.GradientTransformation]:
    """SGD with momentum: v ← m·v + g + λθ; θ ← θ − η·v (MoCo, DenseCL).

    momentum: m.  weight_decay: λ.
    """
    return [
        optax.add_decayed_weights(weight_decay, mask=decays),
        optax.trace(decay=momentum, accumulator_dtype=jnp.float32),
    ]


DIRECTIONS: dict[str, Callable[..., list]] = {
    "adamw": adamw,
    "lamb": lamb,
    "lars": lars,
    "sgd": sgd,
}


def _along(direction: Callable[..., list], make: Callable) -> Callable[..., Optimizer]:
    """`optimizer` along a direction; its signature, a config's schema, has the keywords of both."""
    keywords = lambda fn: [  # noqa: E731
        p for p in inspect.signature(fn).parameters.values() if p.kind is p.KEYWORD_ONLY
    ]
    own = {p.name for p in keywords(direction)}

    def along(params, **fields):
        chosen = {name: fields.pop(name) for name in own & fields.keys()}
        return optimizer(params, direction=partial(direction, **chosen), make=make, **fields)

    first = inspect.Parameter("params", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    rates = RATES if direction in (adamw, lamb) else {}
    common = [
        p.replace(annotation=rates.get(p.name, p.annotation))
        for p in keywords(optimizer)
        if p.name not in ("direction", "make")
    ]
    along.__doc__ = f"{inspect.getdoc(direction)}\n\n{inspect.getdoc(optimizer)}"
    along.__signature__ = inspect.Signature([first, *common, *keywords(direction)])
    return along


def _clipped(rules: Rules, clip, by) -> list[optax.GradientTransformation]:
    """What `clip` and `clip_by` ask for, first of all."""
    kind = _kind(clip, by)
    if clip is None:
        return []
    return [kind(clip) if kind else transforms.clip_parts(clip, rules.patterns(by, "clip_by"))]


def _kind(clip: float | None, by: str | Sequence[str]) -> Callable | None:
    """What clips by one of `CLIPS`; None for a list of patterns."""
    if clip is None and by != "all":
        raise ConfigError(
            f"config.optimizer.clip_by is {by!r}, but clip is off; "
            "set config.optimizer.clip=1.0, say"
        )
    if not by:
        raise ConfigError("config.optimizer.clip_by is empty, expected one pattern or more")
    if isinstance(by, str) and by not in CLIPS:
        raise ConfigError(
            f"config.optimizer.clip_by is {by!r}{nearest(by, CLIPS)}; patterns stand in a list"
        )
    return CLIPS[by] if isinstance(by, str) else None


def _started(rules: Rules, directed, total: int) -> list[optax.GradientTransformation]:
    """The direction of what trains; of its own for each wait where some of it starts late."""
    waits = sorted({0.0} | {rules.wait(path) for path in rules.paths})
    if len(waits) == 1:
        return directed(0)
    which = lambda path, _: waits.index(rules.wait(path))  # noqa: E731
    starts = [schedules.steps(wait, total) for wait in waits[1:]]
    late = [transforms.starting_at(start, directed(start)) for start in starts]
    kinds = dict(enumerate([optax.chain(*directed(0)), *late]))
    return [optax.partition(kinds, partial(trees.map_with_name, which))]


def _assemble(rules, train, moved, bounds) -> optax.GradientTransformation:
    """Clip and direct what trains, scale by path, then by the rate; statistics step by 1."""
    scale = [transforms.scale_by_path(rules.scales)] if rules.scales else []
    train = optax.chain(*train, *scale, moved, *bounds)
    kinds = {"train": train, "freeze": optax.set_to_zero(), "track": optax.scale(-1.0)}
    return optax.chain(_float32(), optax.partition(kinds, rules.groups))


def _ramp(first: float, last: float, *, total: int, stretch: float, start: int):
    """A cosine from `first` to `last` over the run, for what counts its steps from `start`."""
    whole = schedules.warmup_cosine(first, total=total, end=last, stretch=stretch)
    return lambda step: whole(step + start)


def _float32() -> optax.GradientTransformation:
    """Gradients in float32; refuses parameters in less, whose moments would stall."""

    def init(params):
        for path, leaf in trees.named_leaves(params):
            if leaf.dtype != jnp.float32:
                raise ValueError(f"parameter '{path}' is {leaf.dtype}, expected float32")
        return optax.EmptyState()

    def update(updates, state, params=None):
        return jax.tree.map(lambda u: u.astype(jnp.float32), updates), state

    return optax.GradientTransformation(init, update)
