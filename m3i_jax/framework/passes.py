"""Passes of views through the network: those that several codes have in common are made once."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int, Key

from m3i_jax import trees
from m3i_jax.framework.codes import EncoderInput
from m3i_jax.framework.keys import named
from m3i_jax.framework.masking import Masking
from m3i_jax.framework.method import Code, Method
from m3i_jax.types import Array, Features, Scalar, View

# Momentum encoders are normalised as their online twins are (MoCo, BYOL), teachers by what they
# remember.
BY_THE_BATCH = ("online", "ema")


class Place(NamedTuple):
    """What codes have in common that see the same: whose weights, of which tower, view and mask."""

    owner: str
    tower: str
    view: str
    mask: Masking | None


# The places whose views are encoded as one batch, the rows of a sample next to each other.
Rows = tuple[Place, ...]


class Plan(NamedTuple):
    """Which passes there are, and who is in them.

    names: the first code of each place, whose mask is that of all.
    outputs: what the tower has to return beside tokens, by place.
    passes: those of a tower with the weights of an owner, in order, by (owner, tower).
    rows: (code) -> the rows of its pass through the tower.
    behind: (code, rows, heads) -> those of the rows that go on through the last of the heads.
    """

    names: dict[Place, str]
    outputs: dict[Place, frozenset[str]]
    passes: dict[tuple[str, str], list[Rows]]
    rows: Callable[[Code], Rows]
    behind: Callable[[Code, Rows, tuple[str, ...]], Rows]


def encoder_inputs(
    method: Method,
    network: Any,
    params: Any,
    states: dict,
    prepared: Any,
    *,
    train: bool,
    key: Key[Array, ""] | None,
    progress: Scalar = 0.0,
    moves: dict[str, list] | None = None,
) -> Callable[[str, View], EncoderInput]:
    """What the encoder of a code gets: (code, its view) -> EncoderInput.

    Codes share a pass where view, mask, tower and weights are the same: a global and a dense head,
    or the methods of a composition, cost one encoder. Views of one size are one pass where all else
    is the same, and no norm of the batch would notice: gradients are then summed over devices once,
    and the program holds the tower once.

    moves: gets, by owner of weights that no gradient trains, how each pass by the batch moves their
      running statistics.
    """
    # By rows and then the heads behind the tower, one longer for each: a code that takes two of
    # three heads finds the pass of the two made already. And then a place: its own rows alone.
    made: dict[tuple, Features] = {}
    plan = _planned(method, network, prepared)

    def inputs(name: str, view: View, seen: str | None = None) -> EncoderInput:
        code = method.encoded[name]._replace(**({"view": seen} if seen else {}))
        asked = _asked(prepared, code)

        def forward(owner, weights, tower, heads):
            # An average or a teacher drops no paths: it is asked what it knows.
            training = train and owner == "online"
            mode = {"train": training, "key": named(key, "encode/" + name) if training else None}
            at = (plan.rows(code),)
            if at not in made:
                stats = train and owner in BY_THE_BATCH and _left(plan, at[0])
                options = mode | {"batch_stats": int(stats)}
                encode = _encoding(network, plan, prepared, at[0], view, options)
                # No optimiser reads these weights, so that what the pass says about its
                # statistics is caught here, and becomes an update of their slot.
                if stats and owner != "online" and moves is not None:
                    made[at], move = _tracked(encode, weights, tower)
                    moves.setdefault(owner, []).append(move)
                else:
                    made[at] = encode(weights)
            for count, head in enumerate(heads, 1):
                if (rows := plan.behind(code, at[0], heads[:count])) != at[0]:
                    at = _regrouped(made, at, rows)
                before, at = made[at], (*at, head)
                if at not in made:
                    grid = network.towers[tower].grid
                    made[at] = _headed(network, weights, head, before, grid=grid, **mode)
            return _own(made, at, _place(code))

        of = lambda seen: inputs(name, prepared.views[seen], seen)  # noqa: E731
        return EncoderInput(view, network, params, states, progress, forward, of, asked)

    return inputs


def _asked(prepared: Any, code: Code) -> Bool[Array, "batch tokens"] | None:
    """(B, h·w) the cells that are hidden from the code that asks this one; None = nobody does."""
    if code.asked is None:
        return None
    # Not by a mask of its own: the target sees what it is asked for, and all else.
    visible = prepared.visible[code.asked]
    return ~visible.reshape(visible.shape[0], -1)


def _planned(method: Method, network: Any, prepared: Any) -> Plan:
    """The passes of a method, for views of the sizes that these have."""
    names: dict[Place, str] = {}
    outputs: dict[Place, frozenset[str]] = {}
    heads: dict[Place, set] = {}
    codes = []
    for name in method.order:
        whole = method.encoded[name]
        for code in (whole._replace(view=view) for view in whole.encoder.views or (whole.view,)):
            # A pass is made once, so its first code has to ask for what any of them needs.
            place = _place(code)
            outputs[place] = outputs.get(place, frozenset()) | code.encoder.tower_outputs
            heads.setdefault(place, set()).add(code.encoder.heads)
            if name not in prepared.known:
                names.setdefault(place, name)
                codes.append(code)

    def size(view: str) -> Any:
        # A view that is made of codes has to wait for them, and is like no other until then.
        data = prepared.views[view].data if view in prepared.views else None
        leaves = jax.tree.leaves(data)  # of what is said of objects there are several
        return tuple((leaf.shape, leaf.dtype) for leaf in leaves) or view

    def together(code: Code) -> Rows:
        place, name = _place(code), code.encoder.name
        same = [c for c in codes if c.encoder.together and c.encoder.name == name]
        views = {c.view for c in same if c.mask == code.mask and size(c.view) == size(code.view)}
        views = views | {code.view} if code.encoder.together else {code.view}
        return tuple(place._replace(view=view) for view in sorted(views))

    def rows(code: Code) -> Rows:
        place, least = _place(code), together(code)
        # What is of every block has an axis in front of the rows, and texts have but one view.
        apart = code.encoder.tower in network.batchwise or outputs[place]
        if apart or network.towers[code.encoder.tower].grid is None:
            return least
        alike = [p for p in names if p._replace(view=code.view) == place and not outputs[p]]
        alike = tuple(p for p in alike if size(p.view) == size(code.view))
        return alike if set(least) <= set(alike) else least

    def behind(code: Code, rows: Rows, through: tuple[str, ...]) -> Rows:
        if through[-1] in network.batchwise:
            return together(code)
        # Whoever asks goes through, also where its encoder has not said by which heads.
        own, count = _place(code), len(through)
        return tuple(p for p in rows if p == own or any(h[:count] == through for h in heads[p]))

    passes: dict[tuple[str, str], list[Rows]] = {}
    for code in codes:
        # In order, as batch norms move their running statistics once for each.
        before = passes.setdefault((code.encoder.owner, code.encoder.tower), [])
        if rows(code) not in before:
            before.append(rows(code))
    return Plan(names, outputs, passes, rows, behind)


def _headed(network, weights, head, before, *, grid, train, key) -> Features:
    """Features behind a head; `pre_head_tokens` are the tokens of the tower, without gradient."""
    # Of several heads in a row, the first keeps the tower's tokens for all.
    first = before.tokens if before.pre_head_tokens is None else before.pre_head_tokens
    after = network.refine(weights, head, before, grid=grid, train=train, key=key)
    first = jax.lax.stop_gradient(first)
    return after._replace(pre_head_tokens=first, attention=before.attention)


def _tracked(encode: Callable, weights: Any, tower: str) -> tuple[Features, Any]:
    """`encode(weights)`, and how far that pass moves the tower's running statistics.

    Their gradient is that distance, whatever the loss (`nn.norms.TrackedBatchNorm`): so one of 0 is
    pulled back, of which nothing else is left to compute.
    """
    running = trees.select(weights, rf"^encoders/{tower}/(.*/)?(mean|var)$")
    if not running:
        return encode(weights), {}

    def pass_by(running):
        features = encode(trees.overlay(weights, running))
        return features.tokens, features

    tokens, pull, features = jax.vjp(pass_by, running, has_aux=True)
    # Zeros, because the distance does not depend on the loss, and all else is 0.
    return features, pull(jnp.zeros_like(tokens))[0]


def _place(code: Code) -> Place:
    return Place(code.encoder.owner, code.encoder.tower, code.view, code.mask)


def _encoding(
    network: Any, plan: Plan, prepared: Any, rows: Rows, view: View, options: dict[str, Any]
) -> Callable[[Any], Features]:
    """(weights) -> Features of all rows of a pass through the tower."""
    tower, mask = rows[0].tower, rows[0].mask
    # The same number for every image, so that tokens have a static shape, (B, keep, D).
    keep = mask and mask.count(network.towers[tower].grid)
    options = options | dict.fromkeys(plan.outputs[rows[0]], True)
    options |= {"visible": _visible(plan, prepared, rows), "keep": keep}
    data = _data(rows, view, prepared.views)
    return lambda weights: network.encode(weights, tower, data, **options)


def _data(
    rows: Rows, view: View, views: Mapping[str, View]
) -> Float[Array, "rows height width channels"] | Int[Array, "rows ..."]:
    """What the tower gets: the view, or those of all rows."""
    # Of one place it may be a view that is made of codes, which no list of views has.
    if len(rows) == 1:
        return view.data
    return _side_by_side(*(views[place.view].data for place in rows))


def _visible(plan: Plan, prepared: Any, rows: Rows) -> Bool[Array, "rows _rows _columns"] | None:
    """The cells that are seen of each row; None = all."""
    visible = [prepared.visible.get(plan.names[place]) for place in rows]
    return visible[0] if len(rows) == 1 or visible[0] is None else _side_by_side(*visible)


def _side_by_side(*parts: Array) -> Array:
    """V arrays (B, …) -> (B, V, …) -> (B·V, …): the rows of a sample stay on its device."""
    stacked = jnp.stack(parts, axis=1)
    return stacked.reshape(-1, *stacked.shape[2:])


def _own(made: dict[tuple, Features], at: tuple, place: Place) -> Features:
    """The rows of a place, of a pass that may hold several."""
    if len(at[0]) == 1:
        return made[at]
    # Whoever asks first has all of them cut apart, so that the backward pass joins them once.
    if (*at, place) not in made:
        made.update({(*at, p): own for p, own in _apart(made[at], at[0]).items()})
    return made[(*at, place)]


def _regrouped(made: dict[tuple, Features], at: tuple, rows: Rows) -> tuple:
    """Where those rows of a pass are found by themselves."""
    # A head that some of the rows go through is not paid for by the others; where all of them do,
    # they were never taken apart.
    wanted = (rows, *at[1:])
    if wanted not in made:
        made[wanted] = _joined([_own(made, at, place) for place in rows])
    return wanted


def _joined(parts: Sequence[Features]) -> Features:
    """Features of several views as those of one pass."""
    return parts[0] if len(parts) == 1 else jax.tree.map(_side_by_side, *parts)


def _apart(features: Features, rows: Rows) -> dict[Place, Features]:
    """Inverse of `_joined`, by place; nothing of what is of every block."""
    count = len(rows)
    features = features._replace(layers=None, attention=None, layers_pooled=None)
    parts, tree = jax.tree.flatten(features)
    # All at once, so that the backward pass joins them again instead of adding padded ones.
    parts = [jnp.split(x.reshape(-1, count, *x.shape[1:]), count, axis=1) for x in parts]
    return {
        place: jax.tree.unflatten(tree, [x.squeeze(1) for x in leaves])
        for place, leaves in zip(rows, zip(*parts, strict=True), strict=True)
    }


def _left(plan: Plan, rows: Rows) -> int:
    """How many of the passes of a step are left, this one included."""
    passes = plan.passes.get((rows[0].owner, rows[0].tower), [])
    return len(passes) - passes.index(rows) if rows in passes else 1
