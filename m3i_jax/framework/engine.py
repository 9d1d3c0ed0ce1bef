"""The engine: prepares the views, encodes every code once, differentiates what the terms say.

    loss = Σ_terms weight · ( −log P̂( z_y | ψ(z_x, t_x, t_y) ) − H(z_y) )

All functions are pure; `network` is a record of pure functions (see `networks.Network`).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from m3i_jax import mixing
from m3i_jax.framework.codes import behind
from m3i_jax.framework.keys import named
from m3i_jax.framework.method import Method, Part, Term
from m3i_jax.framework.passes import looks
from m3i_jax.framework.scoring import Prepared, Score, score
from m3i_jax.framework.views import Made
from m3i_jax.framework.weighting import Weighting
from m3i_jax.types import Array, Features, View


class Gradients(NamedTuple):
    """Result of one differentiation."""

    params: Any
    loss: Array
    scores: dict[str, Score]
    weights: dict[str, Array]
    norms: dict[str, Array]
    weighting: Any
    aux: dict[str, Any]


def init(method: Method, network: Any, key: Array) -> tuple[dict, dict]:
    """(parameters in training, {slot: state}) before the first step."""
    params = network.init(key)
    states = {
        name: slot.init(named(key, "slot/" + name), network, method.owned(params, name))
        for name, slot in method.slots.items()
    }
    return method.trained(params), states


def prepare(
    method: Method,
    network: Any,
    views: Mapping[str, View],
    *,
    key: Array,
    params: Any = None,
    states: Mapping[str, Any] | None = None,
) -> Prepared:
    """Derives the method's own views and draws every mask, for the whole batch.

    params, states: needed by masks with a guide only, whose code is encoded here.
    """
    views, visible, known = dict(views), {}, {}
    for name, derived in method.views.items():
        if not derived.codes:  # those are made when their codes are there, see `encode`
            views[name] = derived.make(named(key, name), views, **_cells(method, network, name))
    drawn = {}
    for name, code in method.wholes.items():
        if code.mask is None:
            continue
        place = (code.encoder.tower, code.view, code.mask)
        if place not in drawn:
            scores, guide = (), code.mask.guide
            grid = network.towers[code.encoder.tower].grid
            if guide is not None:
                bare = Prepared(views, {}, {}, {})
                known[guide], attention = _guide(method, network, params, states, bare, guide)
                scores = (attention.reshape(-1, *grid),)
            batch, hidden = views[code.view].data.shape[0], code.mask.hidden
            drawn[place] = code.mask.draw(named(key, "mask/" + name), batch, grid, hidden, *scores)
        visible[name] = drawn[place]
    rows = {name: _row_weights(method, views, term) for name, term in method.terms.items()}
    return Prepared(views, visible, {n: w for n, w in rows.items() if w is not None}, known)


def _guide(method, network, params, states, prepared, name):
    """Features of a guide; its class token's attention to patches, (B, h·w), mean over heads."""
    shown = looks(method, network, params, states, prepared, train=False, key=None)
    look = shown(name, prepared.views[method.codes[name].view])
    features, _ = method.codes[name].encoder.apply(look)
    attention = features.attention[-1, :, :, 0, 1:].mean(1)
    return features._replace(layers=None, attention=None), attention


def encode(
    method, network, params, states, prepared, *, train, key, progress=0.0
) -> tuple[dict[str, Features], dict[str, tuple], Prepared]:
    """Encodes every code once, and makes the views that are made of codes on the way.

    Returns ({code: Features}, {slot: what its codes report}, `prepared` with all views).
    """
    codes, found, moves, views, told = {}, {}, {}, dict(prepared.views), set()
    how = dict(train=train, key=key, progress=progress, moves=moves)
    shown = looks(method, network, params, states, prepared, **how)
    for name in method.order:
        code = method.wholes[name]
        if code.view not in views:
            given = params, states, prepared._replace(views=views), codes
            views[code.view] = _late(method, network, *given, code.view, key)
        if name in prepared.known:
            codes[name] = prepared.known[name]
            continue
        features, reports = code.encoder.apply(shown(name, views[code.view]))
        codes[name] = features._replace(layers=None, attention=None)
        for slot, report in reports.items():
            # What two rows of a composition have in common is told once: keys enter a queue once.
            said = (slot, code.view, code.mask, *behind(code.encoder))
            if said not in told:
                found[slot] = (*found.get(slot, ()), report)
            told.add(said)
    found |= {slot: tuple(passes) for slot, passes in moves.items()}
    return codes, found, prepared._replace(views=views)


def _late(method, network, params, states, prepared, codes, name, key) -> View:
    """The derived view `name`, made of codes; no gradient flows through it."""
    derived, still = method.views[name], jax.lax.stop_gradient((params, codes))

    def decode(decoder, role):
        code = derived.codes[role]
        grid = network.towers[method.codes[code].encoder.tower].grid
        how = dict(grid=grid, source=None, target=None, target_grid=grid)
        return network.decode(still[0], decoder, still[1][code], **how, train=False)

    roles = derived.codes.items()
    made = Made(
        {role: still[1][code] for role, code in roles},
        {role: prepared.visible[code] for role, code in roles if code in prepared.visible},
        decode,
        network,
        jax.lax.stop_gradient(states),
    )
    key = named(jax.random.key(0) if key is None else key, name)
    where = _cells(method, network, name)
    return jax.lax.stop_gradient(derived.make(key, prepared.views, made, **where))


def update(method: Method, params: Any, states: dict, found: dict, progress: Array) -> dict:
    """All states after the optimiser's step; progress is in [0, 1]."""
    return {
        name: slot.update(method.owned(params, name), states[name], found.get(name, ()), progress)
        for name, slot in method.slots.items()
    }


def gradients(
    method: Method,
    network: Any,
    weighting: Weighting,
    params: Any,
    states: dict,
    prepared: Prepared,
    *,
    balance: Any,
    progress: Array | float = 0.0,
    train: bool = True,
    key: Array | None = None,
) -> Gradients:
    """Gradient of Σ_g λ_g L_g, each encoder passed through once (M3I's Eq. 13).

    The codes z are computed with their pull-back. Each group of terms is differentiated with
    respect to z and the heads alone; its norm at the input features gives λ; and one pull-back
    of the weighted sum carries everything to the encoders (docs/methods.md#balance-of-losses).
    """

    def front(params):
        codes, aux, complete = encode(
            method, network, params, states, prepared, train=train, key=key, progress=progress
        )
        live = {n: (f.tokens, f.pooled, f.candidates) for n, f in codes.items()}
        fixed = {n: f._replace(tokens=None, pooled=None, candidates=None) for n, f in codes.items()}
        return live, (fixed, aux, complete)

    live, pull, (fixed, aux, complete) = jax.vjp(front, params, has_aux=True)

    def back(params, live, terms):
        codes = {
            n: fixed[n]._replace(tokens=live[n][0], pooled=live[n][1], candidates=live[n][2])
            for n in live
        }
        scores = score(method, network, params, codes, complete, terms=terms, train=train, key=key)
        return sum(s.loss for s in scores.values()), scores

    scores, norms, parts = {}, {}, []
    for group, terms in _partition(method, weighting):
        slope = jax.value_and_grad(back, argnums=(0, 1), has_aux=True)
        (_, part), (heads, features) = slope(params, live, terms)
        scores |= part
        parts.append((group, heads, features))
        if weighting.measures:
            norms[group] = _norm([features[n] for n in _inputs(method, terms)])
    weights, balance = weighting.weigh(balance, norms, progress)

    def total(trees):
        scaled = [
            jax.tree.map(lambda x, w=weights.get(group, 1.0): w * x, tree)
            for (group, _, _), tree in zip(parts, trees, strict=True)
        ]
        return jax.tree.map(lambda *xs: sum(xs), *scaled)

    (slopes,) = pull(total([features for _, _, features in parts]))
    slopes = jax.tree.map(jnp.add, slopes, total([heads for _, heads, _ in parts]))
    loss = sum(weights.get(method.terms[n].group, 1.0) * s.loss for n, s in scores.items())
    return Gradients(slopes, loss, scores, weights, norms, balance, aux)


def _cells(method: Method, network: Any, view: str) -> dict[str, Any]:
    """Grid and patch of the tower that looks at a derived view, which is made for them."""
    for code in method.wholes.values():
        if code.view == view:
            tower = network.towers[code.encoder.tower]
            return {"grid": tower.grid, "patch": tower.patch}
    raise ValueError(f"no code looks at the derived view '{view}'")


def _row_weights(method: Method, views: dict[str, View], term: Term) -> Array | None:
    """(B,) weights with mean 1 over the batch: each kind of target averages over its own count."""
    target = method.codes[term.y].view
    present = views[target].present if target in views else None
    if present is None:
        return None
    _, code = method.whole(term.x)
    part, share = method.codes[term.x], None
    if isinstance(part, Part):
        region, group = views[code.view].regions[part.region], method.views[code.view].group
        present, share = mixing.take(present, region.owner, group=group), region.share
        present = present if present.ndim == 1 else present.all(-1)
    rows = present.astype(jnp.float32)
    rows = rows * (rows.shape[0] / jnp.maximum(rows.sum(), 1.0))
    return rows if share is None else rows * share


def _partition(method: Method, weighting: Weighting) -> list[tuple[str, tuple[str, ...]]]:
    """[(group, terms)]: one per group where the weighting names groups, else all at once."""
    if not weighting.groups:
        return [("all", tuple(method.terms))]
    return [
        (group, tuple(n for n, t in method.terms.items() if t.group == group))
        for group in method.groups
    ]


def _inputs(method: Method, terms) -> list[str]:
    """The encoded codes that the terms start from."""
    return sorted({method.whole(method.terms[name].x)[0] for name in terms})


def _norm(tree: Any) -> Array:
    """Frobenius norm over all leaves, in float32."""
    squares = [jnp.sum(jnp.square(x.astype(jnp.float32))) for x in jax.tree.leaves(tree)]
    return jnp.sqrt(sum(squares))
