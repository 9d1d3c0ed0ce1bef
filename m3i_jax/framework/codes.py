"""Encoders f: whatever turns a view into a code, with its state as (init, update) beside it.

The network being trained, its moving average, a frozen teacher, normalised pixels, a class table
and a text tower are all values of one type, so a method never asks which of them it is using.
Those here have parameters, `descriptors.py` has those that compute a code of the image itself;
`targets.py` wraps them into the codes that methods predict.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from m3i_jax import geometry, trees
from m3i_jax.build import nearest
from m3i_jax.geometry.maps import Blocks
from m3i_jax.ranges import Memory, Range, Stretch
from m3i_jax.renamed import arguments
from m3i_jax.texts import OneOf
from m3i_jax.types import Array, Features, Scalar, View


class EncoderInput(NamedTuple):
    """What an encoder gets: one view, and the network to pass it through.

    params: the online network's.  states: by slot.  progress: of the training, in [0, 1].
    forward: (owner, weights, tower, heads) -> Features of the view; passes that several codes have
      in common are made once. `owner` names the weights; only "online" ones are in training.
    of: (another view) -> what the encoder would get of that.
    asked: (B, h·w) bool, the cells that the code is asked for; None = all.
    """

    view: View
    network: Any
    params: Any
    states: Mapping[str, Any]
    progress: Scalar
    forward: Callable[..., Features]
    of: Callable[[str], "EncoderInput"] | None = None
    asked: Bool[Array, "batch tokens"] | None = None


class Slot(NamedTuple):
    """State between steps, of all encoders that name it.

    init: (key, network, owned) -> state; `owned` are the parameters that its encoders pass through.
    update: (owned, state, updates, progress) -> state, after the optimiser's step; `updates` is
      what its codes say for it, one entry each.
    settings: what it was made with; slots of one name must agree.
    metrics: (progress) -> {metric: scalar} worth a line in the log.
    batchwise: whether its update is a statistic of the batch.
    frozen: its encoders' parameters live here, and are not trained.
    source: tower whose weights, loaded from a file, bring this state, too.
    behind: weights, tower and heads whose codes it is about; () = of whatever names it.
    least: tokens that the first batch has to bring.
    follows: slot whose new state `update` gets in the place of parameters.
    """

    name: str
    init: Callable[..., Any]
    update: Callable[..., Any]
    settings: tuple = ()
    metrics: Callable[[Scalar], dict[str, Scalar]] = lambda progress: {}
    batchwise: bool = False
    frozen: bool = False
    source: str | None = None
    behind: tuple = ()
    least: int = 0
    follows: str | None = None


class Encoder(NamedTuple):
    """A code's encoder.

    name: what it is, for plans and tables, such as "ema" or "pixels/patch".
    tower: the tower of the network whose grid its codes live on.
    apply: (inputs) -> (Features, {slot: its entry of `updates`}).
    width: (nodes of the network by name) -> dimension of its codes.
    heads: feature heads behind the tower, in order.
    extra_heads: further heads whose weights are of its state, for others to use.
    slots: its states.
    tower_outputs: what the tower has to return beside tokens: "layers", "attention".
    stop_gradient: whether no gradient flows through its codes.
    owner: whose weights it passes its view through, "online", "ema" or a frozen state; "" = none's.
    together: its views of one size are one batch for the batch norms, too (SimCLR).
    views: whose codes its own is made of; () = of that of the code alone.
    blocks: number of blocks that the tower needs at least.
    represents: "features" of a network, or what else: "pixels", "edges", "words", "replaced cells".
    normalization: of the pixels, see `descriptors.pixels`.
    keeps: how it keeps what predicts it from collapsing, in a word; "" = not at all.
    batchwise: whether a code depends on other rows of the batch.
    online_heads: heads of the online network behind all that, whoever's weights are in front.
    again: (heads) -> an encoder of the same weights, with these heads for its own.
    maps: behind which blocks there are maps, see `mapped`; () = none.
    """

    name: str
    tower: str
    apply: Callable[[EncoderInput], tuple[Features, dict[str, Any]]]
    width: Callable[[Mapping[str, Any]], int]
    heads: tuple[str, ...] = ()
    extra_heads: tuple[str, ...] = ()
    slots: tuple[Slot, ...] = ()
    tower_outputs: frozenset[str] = frozenset()
    stop_gradient: bool = False
    owner: str = ""
    together: bool = False
    views: tuple[str, ...] = ()
    blocks: int = 0
    represents: str = "features"
    normalization: str = ""
    keeps: str = ""
    batchwise: bool = False
    online_heads: tuple[str, ...] = ()
    again: Callable[..., "Encoder"] | None = None
    maps: Blocks = ()


LastMomentum = Annotated[float, Range(0.5, 1, why="with less it is the network of a few steps")]
Heads = str | tuple[str, ...]


def _names(heads: Heads) -> tuple[str, ...]:
    return (heads,) if isinstance(heads, str) else tuple(heads)


def _last_width(tower: str, heads: tuple[str, ...]) -> Callable[[Mapping[str, Any]], int]:
    return lambda nodes: nodes[(tower, *heads)[-1]].width


def online(tower: str = "image", *, heads: Heads = (), together: bool = False) -> Encoder:
    """f_θ: the network being trained, and feature heads behind it; gradients flow.

    together: all views of this kind are encoded as one batch, which only batch norms notice.
    """
    heads = _names(heads)

    def apply(inputs):
        return inputs.forward("online", inputs.params, tower, heads), {}

    name = "/".join(("online", tower, *heads))
    width = _last_width(tower, heads)
    return Encoder(name, tower, apply, width, heads, owner="online", together=together)


RAMPS: dict[str, Callable[[Scalar], Scalar]] = {
    "cosine": lambda progress: 0.5 * (1.0 + jnp.cos(jnp.pi * progress)),
    "linear": lambda progress: 1.0 - progress,
}


def momentum_at(
    progress: Scalar | Float[Array, "*shape"],
    *,
    momentum: float,
    end: float,
    schedule: str = "cosine",
    stretch: float = 1.0,
) -> Scalar | Float[Array, "*shape"]:
    """μ(p) = end − (end − μ₀)·r(p/s), from μ₀ to `end` over s trainings.

    r(p) = ½(1 + cos πp) or, "linear", 1 − p (docs/methods.md#moving-average).
    """
    # progress = 1 reaches `end` where stretch is 1; a longer one stops short of it.
    return end - (end - momentum) * RAMPS[schedule](progress / stretch)


def ema(
    tower: str = "image",
    *,
    heads: Heads = (),
    momentum: Memory = 0.995,
    end: LastMomentum = 1.0,
    schedule: Annotated[str, OneOf(*RAMPS)] = "cosine",
    stretch: Stretch = 1.0,
) -> Encoder:
    """f_φ: moving average of the network, φ ← μφ + (1−μ)θ in float32; no gradient.

    BYOL (Grill et al. 2020, https://arxiv.org/abs/2006.07733); docs/methods.md#moving-average.
    μ goes from `momentum` to `end` by a cosine over the training, or by a "linear" schedule; equal
    values keep it constant. MSN's reaches its end after `stretch` = 1.25 trainings, so never. The
    update follows the optimiser's step; an update before the next forward pass, as SiameseIM has
    it, is the same sequence with μ one step later. Only what codes pass through is averaged: towers
    and feature heads. Dropout and drop path are off.
    Running statistics of batch norms follow the batches that its own codes saw; where no code
    passes through it, they are averaged as all else.

    tower: what is averaged.  heads: feature heads behind it, in order.
    momentum, end: μ at the start and at the end.  schedule: its way there, "cosine" or "linear".
    stretch: length of that way, in runs.
    """
    heads = _names(heads)
    if schedule not in RAMPS:
        raise ValueError(f"a moving average has no schedule '{schedule}'{nearest(schedule, RAMPS)}")
    if isinstance(momentum, int | float) and end < momentum:  # a traced one fits, see `average`
        raise ValueError(
            f"the momentum of a moving average rises to its end, not from {momentum:g} to {end:g}"
        )
    ramp = dict(momentum=momentum, end=end, schedule=schedule, stretch=stretch)
    at = partial(momentum_at, **ramp)

    def init(key, network, owned):
        # A copy: a buffer that stands in the state twice cannot be donated to the step.
        return jax.tree.map(jnp.array, owned)

    def update(owned, state, updates, progress):
        mu = at(progress)
        moved = jax.tree.map(lambda phi, theta: mu * phi + (1.0 - mu) * theta, state, owned)
        # Running statistics are no weights: where passes of its own moved them, the online ones
        # have no say.
        return trees.overlay(moved, _followed(state, updates)) if updates else moved

    def apply(inputs):
        # The weights, too, and not the result alone: no backward pass is then planned at all.
        weights = jax.lax.stop_gradient(inputs.states["ema"])
        return jax.lax.stop_gradient(inputs.forward("ema", weights, tower, heads)), {}

    def metrics(progress):
        return {"ema/momentum": at(progress)}

    slot = Slot("ema", init, update, tuple(ramp.values()), metrics)
    about = dict(
        stop_gradient=True, owner="ema", again=lambda heads: ema(tower, heads=heads, **ramp)
    )
    return Encoder("ema", tower, apply, _last_width(tower, heads), heads, slots=(slot,), **about)


def _followed(state: dict, moves: tuple) -> dict:
    """The running statistics that passes moved, behind them; nothing else of `state`."""
    moved: dict[str, Any] = {}
    for move in moves:
        for path, distance in trees.named_leaves(move):
            # Several views move one statistic, one after the other: their distances add up.
            moved[path] = moved.get(path, 0.0) + distance
    if not moved:
        return {}
    # Distances come as gradients do, m − m_new, so that they are taken off.
    tracked = trees.select(state, f"^({'|'.join(map(re.escape, moved))})$")
    return trees.map_with_name(lambda path, m: m - moved[path], tracked)


@arguments(beside="extra_heads")
def frozen(
    tower: str = "teacher", *, heads: Heads = (), class_token: bool = False, extra_heads: Heads = ()
) -> Encoder:
    """A teacher whose weights are loaded and stay as they are (docs/methods.md#regularisers).

    Its parameters are state, handed to the compiled step as an argument: not trained, not
    averaged, and no constants of the program.

    tower: of config.towers.  heads: feature heads behind it, in order.
    class_token: puts that token in front of the patches', in front of the heads (FD, MILAN):
      (B, 1 + h·w, D).
    extra_heads: heads that are loaded with it and that no code passes through (what paints a
      tokenizer's visual tokens).
    """
    heads = _names(heads)
    name = f"frozen/{tower}"

    def apply(inputs):
        weights = jax.lax.stop_gradient(inputs.states[name])
        # The class token has to be in its place before the heads see the tokens: the shared pass
        # ends at the tower, and the heads follow here.
        features = inputs.forward(name, weights, tower, () if class_token else heads)
        if class_token:
            features = refined(inputs, weights, heads, _class_first(features, tower), tower)
        return jax.lax.stop_gradient(features), {}

    # Initialised only for its shapes: the weights come from a file (`training.frozen`).
    slot = Slot(name, lambda key, network, owned: owned, _keep, frozen=True, source=tower)
    width = _last_width(tower, heads)
    extra_heads = _names(extra_heads)
    return Encoder(
        name, tower, apply, width, heads, extra_heads, (slot,), stop_gradient=True, owner=name
    )


def snapshot(tower: str = "image", *, every: int = 10_000) -> Encoder:
    """The moving average as it was some steps ago; no gradient.

    A copy of what it starts from, exchanged for the average after each `every` steps; 0 = never.
    DINOv3's Gram teacher (Siméoni et al. 2025, https://arxiv.org/abs/2508.10104, §4).
    """

    def init(key, network, owned):
        return {"weights": jax.tree.map(jnp.array, owned), "steps": jnp.zeros((), jnp.int32)}

    def update(average, state, updates, progress):
        steps = state["steps"] + 1
        due = steps % every == 0 if every else jnp.zeros((), bool)
        now = lambda old, new: jnp.where(due, new, old)  # noqa: E731
        return {"weights": jax.tree.map(now, state["weights"], average), "steps": steps}

    def apply(inputs):
        weights = jax.lax.stop_gradient(inputs.states["snapshot"]["weights"])
        return jax.lax.stop_gradient(inputs.forward("snapshot", weights, tower, ())), {}

    slot = Slot("snapshot", init, update, (every,), follows="ema")
    about = dict(slots=(slot,), stop_gradient=True, owner="snapshot")
    return Encoder("snapshot", tower, apply, _last_width(tower, ()), **about)


def refined(
    inputs: EncoderInput, weights: Any, heads: Heads, features: Features, tower: str
) -> Features:
    """Features of a tower behind heads, in evaluation, without a pass that others could share."""
    grid, attention = inputs.network.towers[tower].grid, features.attention
    for head in _names(heads):
        features = inputs.network.refine(weights, head, features, grid=grid, train=False)
    return features._replace(attention=attention)


def _class_first(features: Features, tower: str) -> Features:
    """The class token as the first of the tokens."""
    if features.pooled is None:
        raise ValueError(f"tower '{tower}' has no class token to put in front of its patches")
    # (B, 1, D) before (B, h·w, D)
    tokens = jnp.concatenate([features.pooled[:, None], features.tokens], axis=1)
    return features._replace(tokens=tokens, pooled=None)


def _keep(owned: Any, state: Any, updates: Any, progress: Scalar) -> Any:
    return state


def then(encoder: Encoder, fn: Callable[[Features], Features], **changes: Any) -> Encoder:
    """`encoder` followed by `fn`; its states stay its own. `changes`: fields to replace."""

    def apply(inputs):
        features, updates = encoder.apply(inputs)
        return fn(features), updates

    return encoder._replace(apply=apply, **changes)


def behind(encoder: Encoder) -> tuple[str, ...]:
    """Weights, tower and heads of an encoder's codes: what a state about them belongs to."""
    return encoder.owner, encoder.tower, *encoder.heads


def renamed(encoder: Encoder, names: Mapping[str, str]) -> Encoder:
    """`encoder` with other names for some of its states: {the old one: the new one}."""

    def apply(inputs):
        # The closure in `encoder.apply` knows its state by the old name only: states are renamed on
        # their way in, and updates on their way out.
        known = {old: inputs.states[new] for old, new in names.items()}
        features, updates = encoder.apply(inputs._replace(states={**inputs.states, **known}))
        return features, {names.get(slot, slot): update for slot, update in updates.items()}

    slots = tuple(s._replace(name=names.get(s.name, s.name)) for s in encoder.slots)
    return encoder._replace(apply=apply, slots=slots)


def mapped(encoder: Encoder, blocks: Blocks) -> Encoder:
    """`encoder`, whose codes have the maps behind some blocks, too, see `geometry.numbered`."""

    def apply(inputs):
        tower = inputs.network.towers[encoder.tower]
        # By the view's own size: small crops, or test images, have maps of their own.
        numbers = geometry.numbered(blocks, tower.depths)
        features, updates = encoder.apply(inputs)
        size = inputs.view.data.shape[1:3]
        return geometry.mapped(features, numbers, strides=tower.strides, size=size), updates

    # Asking for the layers is all it takes: `passes` makes the tower return them.
    outputs = encoder.tower_outputs | (set() if blocks == "last" else {"layers"})
    return encoder._replace(apply=apply, tower_outputs=frozenset(outputs), maps=blocks)


def mapped_each(encoder: Encoder, views: tuple[str, ...]) -> Encoder:
    """`encoder`, whose codes have the maps of several views of a sample, one after the other.

    encoder: with maps, see `mapped`, and without state.
    """
    if encoder.slots or encoder.views or not encoder.maps:
        raise ValueError("maps of several views are of codes that have some, and keep no state")

    def apply(inputs):
        codes = [encoder.apply(inputs.of(view))[0] for view in views]
        maps = tuple(one for code in codes for one in code.maps)
        return codes[0]._replace(maps=maps), {}

    return encoder._replace(apply=apply, views=tuple(views))


def stopped(encoder: Encoder) -> Encoder:
    """`encoder` with no gradient through its codes."""
    return then(encoder, jax.lax.stop_gradient, stop_gradient=True)
