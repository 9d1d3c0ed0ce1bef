"""The engine: one step of any method, from views to gradients.

Sit down with this one; it is the heart, and the other files of the package are what it calls.
A method is data (`method.Method`): which representation is predicted from which, and how the
prediction is scored. The engine is what turns that table, and a batch, into a gradient of

    loss = Σ_terms weight · ( −log P̂( z_y | ψ(z_x, t_x, t_y) ) − H(z_y) )

All functions are pure; `network` is a record of pure functions (see `networks.Network`). B is the
batch, n the tokens that an encoder saw, D the width of a representation. One step flows so:

    views {name: View}                      images (B, H, W, 3), labels (B,), texts (B, T)
      │ prepare     derives views (mixes), draws masks, weighs rows: whatever is of the whole batch
      ▼
    Prepared                                + mixed images, visible (B, h, w) bool, rows (B,)
      │ encode      every code of the method once, in an order in which none waits for another
      ▼
    representations {code: Features}        tokens (B, n, D), pooled (B, D), candidates (M, D)
      │ score       heads predict and are compared with targets, see `scoring`
      ▼
    scores {term: Score}                    loss (), and what it is made of
      │ gradients   differentiates score, weighs the groups of terms, differentiates encode
      ▼
    Gradients                               params like the parameters, loss (), metrics ()
      │ update      after the optimiser's step: moving averages, queues, centres, codebooks
      ▼
    states {slot: state}

Why `gradients` differentiates the representations first and pulls them back once: the weight of a
group of terms may depend on how large the gradient is that it sends to the representations (M3I's
Eq. 13), so that gradient has to be there, for each group by itself, before the weighted sum is.
Scores are cheap and encoders are not. So the chain rule is cut at the representations: encoders
run forward once; each group goes back as far as the representations; their weighted sum goes
back through the encoders once. Any number of groups costs one pass of the encoders, as does one.

Read on in this order: `gradients`, `encode`, `prepare` here; `scoring.predict` for how one term is
put to its decoder; `passes` for how codes share a pass; `codes` and `targets` for what encoders
there are. The helpers below the line of public functions can wait.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float32, Key

from m3i_jax import mixing
from m3i_jax.framework.codes import behind
from m3i_jax.framework.keys import named
from m3i_jax.framework.method import Method, RegionCode, Term
from m3i_jax.framework.passes import encoder_inputs
from m3i_jax.framework.scoring import Prepared, Score, score
from m3i_jax.framework.views import DerivedInputs
from m3i_jax.framework.weighting import Weighting
from m3i_jax.types import Array, Features, Scalar, View


class Gradients(NamedTuple):
    """Result of one differentiation.

    params: like the parameters in training.  loss: the weighted sum.  scores: by term.
    weights, norms: by group of terms.  weighting: its next state.
    updates: {slot: what its codes say}, for `update`.
    """

    params: Any
    loss: Float32[Array, ""]
    scores: dict[str, Score]
    weights: dict[str, Scalar]
    norms: dict[str, Float32[Array, ""]]
    weighting: Any
    updates: dict[str, tuple]


def init(method: Method, network: Any, key: Key[Array, ""]) -> tuple[dict, dict]:
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
    key: Key[Array, ""],
    params: Any = None,
    states: Mapping[str, Any] | None = None,
) -> Prepared:
    """Derives the method's own views and draws every mask, for the whole batch.

    params, states: needed by masks with a guide only, whose code is encoded here.
    """
    views, visible, blocks, known = dict(views), {}, {}, {}
    for name, derived in method.views.items():
        # A view that is made of representations has to wait for them: `encode` makes it.
        if not derived.codes:
            views[name] = derived.make(named(key, name), views, **_cells(method, network, name))
    # Masks are drawn here, not where they are used: gradients may be accumulated over slices of
    # the batch, and every slice must see what the whole batch would have.
    drawn = {}
    for name, code in method.encoded.items():
        if code.mask is None:
            continue
        if code.mask.rest_of is not None:
            visible[name] = ~visible[code.mask.rest_of]
            continue
        # Codes that look alike share the mask, so that they share the pass, too (`passes`).
        place = (code.encoder.tower, code.view, code.mask)
        if place not in drawn:
            scores, guide = (), code.mask.guide
            grid = network.towers[code.encoder.tower].grid
            if guide is not None:
                bare = Prepared(views, {}, {}, {})
                known[guide], attention = _guide(method, network, params, states, bare, guide)
                cells = grid[0] * grid[1]
                scores = (attention[:, -cells:].reshape(-1, *grid),)  # (B, h·w) -> (B, h, w)
            batch, hidden = views[code.view].data.shape[0], code.mask.hidden
            drawn[place] = code.mask.draw(named(key, "mask/" + name), batch, grid, hidden, *scores)
        visible[name] = drawn[place]
        if code.mask.blocks:
            visible[name], blocks[name] = drawn[place]
    rows = {name: _row_weights(method, views, term) for name, term in method.terms.items()}
    rows = {n: w for n, w in rows.items() if w is not None}
    return Prepared(views, visible, rows, known, blocks)


def _guide(method, network, params, states, prepared, name):
    """Features of a guide; its class token's attention to all keys, (B, k), mean over heads."""
    code = method.codes[name]
    # By itself: what other codes see has not been drawn yet.
    alone = Method({name: code}, {})
    inputs = encoder_inputs(alone, network, params, states, prepared, train=False, key=None)
    features, _ = code.encoder.apply(inputs(name, prepared.views[code.view]))
    # (depth, B, heads, q, k): the last block, the class token (0); patches are the last keys.
    attention = features.attention[-1, :, :, 0].mean(1)
    # Every block's maps and tokens are large and have done their work.
    return features._replace(layers=None, attention=None), attention


def encode(
    method: Method,
    network: Any,
    params: Any,
    states: Mapping[str, Any],
    prepared: Prepared,
    *,
    train: bool,
    key: Key[Array, ""] | None,
    progress: Scalar = 0.0,
) -> tuple[dict[str, Features], dict[str, tuple], Prepared]:
    """Encodes every code once, and makes the views that are made of codes on the way.

    Returns ({code: Features}, {slot: what its codes say for `update`}, `prepared` with all views).
    """
    representations, updates, statistics, counted = {}, {}, {}, set()
    views = dict(prepared.views)
    options = dict(train=train, key=key, progress=progress, moves=statistics)
    inputs = encoder_inputs(method, network, params, states, prepared, **options)
    for name in method.order:
        code = method.encoded[name]
        if code.view not in views:
            # `order` puts what a view is made of before the code that sees it.
            so_far = params, states, prepared._replace(views=views), representations
            views[code.view] = _deferred(method, network, *so_far, code.view, key)
        if name in prepared.known:  # encoded for a mask already, by weights that do not train
            representations[name] = prepared.known[name]
            continue
        features, entries = code.encoder.apply(inputs(name, views[code.view]))
        # What encoders needed of every block is not kept for the backward pass of the terms.
        representations[name] = features._replace(layers=None, attention=None)
        for slot, entry in entries.items():
            # Two methods of a composition may have a code in common: it counts once, or its keys
            # would enter a queue twice.
            source = (slot, code.view, code.mask, *behind(code.encoder))
            if source not in counted:
                updates[slot] = (*updates.get(slot, ()), entry)
            counted.add(source)
    # Passes by the batch of an averaged encoder move its running statistics: an update, too.
    updates |= {slot: tuple(passes) for slot, passes in statistics.items()}
    return representations, updates, prepared._replace(views=views)


def _deferred(method, network, params, states, prepared, representations, name, key) -> View:
    """The derived view `name`, made of representations; no gradient flows through it."""
    derived = method.views[name]
    # A view is an input: what is made of it teaches nobody how it should have been made (CIM).
    params, representations = jax.lax.stop_gradient((params, representations))

    def decode(decoder, role):
        code = derived.codes[role]
        grid = network.towers[method.codes[code].encoder.tower].grid
        geometry = dict(grid=grid, source=None, target=None, target_grid=grid)
        return network.decode(params, decoder, representations[code], **geometry, train=False)

    roles = derived.codes.items()
    inputs = DerivedInputs(
        {role: representations[code] for role, code in roles},
        {role: prepared.visible[code] for role, code in roles if code in prepared.visible},
        decode,
        network,
        jax.lax.stop_gradient(states),
    )
    # Evaluation gives no key, and wants the same view each time.
    key = named(jax.random.key(0) if key is None else key, name)
    where = _cells(method, network, name)
    return jax.lax.stop_gradient(derived.make(key, prepared.views, inputs, **where))


def update(method: Method, params: Any, states: dict, updates: dict, progress: Scalar) -> dict:
    """All states after the optimiser's step; progress is in [0, 1]."""
    moved: dict = {}
    # What is made of another state comes behind it.
    for name, slot in sorted(method.slots.items(), key=lambda named: named[1].follows is not None):
        # `params` are those after the step, so that an average is of the network that was reached.
        source = params if slot.follows is None else moved[slot.follows]
        owned = method.owned(source, name)
        moved[name] = slot.update(owned, states[name], updates.get(name, ()), progress)
    return moved


def gradients(
    method: Method,
    network: Any,
    weighting: Weighting,
    params: Any,
    states: dict,
    prepared: Prepared,
    *,
    balance: Any,
    progress: Scalar = 0.0,
    train: bool = True,
    key: Key[Array, ""] | None = None,
    read: Bool[Array, ""] | None = None,
) -> Gradients:
    """Gradient of Σ_g λ_g L_g, each encoder passed through once (M3I's Eq. 13).

    With z the representations, θ what encodes them and η what predicts from them, both in `params`:
        ∂L/∂params = Σ_g λ_g ∂L_g/∂η  +  (∂z/∂θ)ᵀ ( Σ_g λ_g ∂L_g/∂z ),   λ from the norms ‖∂L_g/∂z‖
    `head_grads` and `feature_grads` are the two partial derivatives, `pullback` is (∂z/∂θ)ᵀ
    (docs/methods.md#balance-of-losses).

    read: whether anybody reads the evidence of the scores, see `scoring.score`.
    """

    def represent(params):
        encoded, updates, complete = encode(
            method, network, params, states, prepared, train=train, key=key, progress=progress
        )
        representations, rest = _split(encoded)
        return representations, (rest, updates, complete)

    # The only forward pass of the encoders. `pullback` keeps what it needs to go back through them.
    representations, pullback, (rest, updates, complete) = jax.vjp(represent, params, has_aux=True)

    def group_loss(params, representations, terms):
        options = dict(terms=terms, train=train, key=key, read=read)
        encoded = _joined(representations, rest)
        scores = score(method, network, params, encoded, complete, **options)
        return sum(s.loss for s in scores.values()), scores

    scores, norms, head_grads, feature_grads = {}, {}, {}, {}
    for group, terms in _partition(method, weighting):
        # With respect to params this finds the heads' part: `representations` are given, so the
        # encoders' part is zero here, and comes with the pull-back.
        differentiate = jax.value_and_grad(group_loss, argnums=(0, 1), has_aux=True)
        (_, group_scores), grads = differentiate(params, representations, terms)
        head_grads[group], feature_grads[group] = grads
        scores |= group_scores
        if weighting.measures:
            # Measured where the terms start: a target may have a gradient, but is no input.
            norms[group] = _norm([feature_grads[group][n] for n in _inputs(method, terms)])
    weights, balance = weighting.weigh(balance, norms, progress)

    # The only backward pass of the encoders, of (tokens (B, n, D), pooled (B, D), …) by code.
    (encoder_grads,) = pullback(_weighted_sum(feature_grads, weights))
    grads = jax.tree.map(jnp.add, encoder_grads, _weighted_sum(head_grads, weights))
    loss = sum(weights.get(method.terms[n].group, 1.0) * s.loss for n, s in scores.items())
    return Gradients(grads, loss, scores, weights, norms, balance, updates)


def _split(encoded: dict[str, Features]) -> tuple[dict, dict[str, Features]]:
    """What gradients flow through, {code: (tokens, pooled, candidates, maps)}; and the rest."""
    # A pull-back is of real numbers. Indices are none, and `pre_head_tokens` only serve to
    # compare (`scoring._match`): they go round it as they are.
    flows = {n: (f.tokens, f.pooled, f.candidates, f.maps) for n, f in encoded.items()}
    bare = dict(tokens=None, pooled=None, candidates=None, maps=None)
    return flows, {n: f._replace(**bare) for n, f in encoded.items()}


def _joined(representations: dict, rest: dict[str, Features]) -> dict[str, Features]:
    """Inverse of `_split`."""
    return {
        n: rest[n]._replace(tokens=tokens, pooled=pooled, candidates=candidates, maps=maps)
        for n, (tokens, pooled, candidates, maps) in representations.items()
    }


def _weighted_sum(grads: dict[str, Any], weights: dict[str, Scalar]) -> Any:
    """Σ_g λ_g · grads[g], leaf by leaf; a group without a weight counts once."""
    scaled = [
        jax.tree.map(lambda x, weight=weights.get(group, 1.0): weight * x, tree)
        for group, tree in grads.items()
    ]
    return jax.tree.map(lambda *leaves: sum(leaves), *scaled)


def _cells(method: Method, network: Any, view: str) -> dict[str, Any]:
    """Grid and patch of the tower that sees a derived view, which is made for them."""
    for code in method.encoded.values():
        if code.view == view:
            tower = network.towers[code.encoder.tower]
            return {"grid": tower.grid, "patch": tower.patch}
    raise ValueError(f"no code sees the derived view '{view}'")


def _row_weights(
    method: Method, views: dict[str, View], term: Term
) -> Float32[Array, " batch"] | None:
    """(B,) weights with mean 1 over the batch: each kind of target averages over its own count."""
    target = method.codes[term.y].view
    # A deferred view is not there yet. It is an image, and images are never missing.
    present = views[target].present if target in views else None
    if present is None:
        return None
    _, code = method.source_of(term.x)
    region_code, share = method.codes[term.x], None
    if isinstance(region_code, RegionCode):
        region, group = views[code.view].regions[region_code.region], method.views[code.view].group
        # Row i of a mix shows sample owner[i] there, whose target may be missing where i's is not.
        present, share = mixing.take(present, region.owner, group=group), region.share
        # owner (B, k) names the k samples of a blend: its target is whole if all of theirs are.
        present = present if present.ndim == 1 else present.all(-1)
    rows = present.astype(jnp.float32)
    # Mean 1, so that the loss is a mean over the rows that count, and over all rows at once: a mean
    # of slices of the batch (accumulation) is then the mean over the batch. No row: the loss is 0.
    rows = rows * (rows.shape[0] / jnp.maximum(rows.sum(), 1.0))
    return rows if share is None else rows * share


def _partition(method: Method, weighting: Weighting) -> list[tuple[str, tuple[str, ...]]]:
    """[(group, terms)]: one per group where the weighting names groups, else all at once."""
    if not weighting.groups:
        return [("all", tuple(method.terms))]
    terms = method.terms.items()
    return [(group, tuple(n for n, t in terms if t.group == group)) for group in method.groups]


def _inputs(method: Method, terms) -> list[str]:
    """The encoded codes that the terms start from."""
    return sorted({method.source_of(method.terms[name].x)[0] for name in terms})


def _norm(tree: Any) -> Float32[Array, ""]:
    """Frobenius norm over all leaves, in float32."""
    squares = [jnp.sum(jnp.square(x.astype(jnp.float32))) for x in jax.tree.leaves(tree)]
    return jnp.sqrt(sum(squares))
