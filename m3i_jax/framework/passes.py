"""Passes of views through the network: those that several codes have in common are made once."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int, Key

from m3i_jax import trees
from m3i_jax.framework.codes import EncoderInput
from m3i_jax.framework.keys import named
from m3i_jax.framework.method import Code, Masking, Method
from m3i_jax.types import Array, Features, Scalar, View

# Momentum encoders are normalised as their online twins are (MoCo, BYOL), teachers by what they
# remember.
BY_THE_BATCH = ("online", "ema")


def small(view: str) -> bool:
    """Whether a view is one of the small crops."""
    return view[0] == "l" and view[1:].isdigit()


class Place(NamedTuple):
    """What two codes have in common that share a pass, but for the weights."""

    tower: str
    views: tuple[str, ...]
    mask: Masking | None


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

    Codes share a pass, and its dropped paths, where view, mask, tower and weights are the same:
    a global and a dense head, or the methods of a composition, cost one encoder.

    moves: gets, by owner of weights that no gradient trains, how each pass by the batch moves their
      running statistics.
    """
    # By (owner, tower, views, mask) and then the heads behind it, one longer for each: a code that
    # takes two of three heads finds the pass of the two made already.
    encoded: dict[tuple, Features] = {}
    outputs, passes = _planned(method, prepared.known)

    def inputs(name: str, view: View, seen: str | None = None) -> EncoderInput:
        code = method.encoded[name]._replace(**({"view": seen} if seen else {}))
        place, asked = _place(method, code), _asked(prepared, code)

        def forward(owner, weights, tower, heads):
            # An average or a teacher drops no paths: it is asked what it knows.
            training, at = train and owner == "online", (owner, tower, *place)
            mode = {"train": training, "key": named(key, "encode/" + name) if training else None}
            if at not in encoded:
                # The same number for every image, so that tokens have a static shape, (B, keep, D).
                keep = code.mask and code.mask.count(network.towers[tower].grid)
                options = mode | dict.fromkeys(outputs[place], True) | {"batch_stats": 0}
                options |= {"visible": prepared.visible.get(name), "keep": keep}
                data = _data(place, view, prepared.views)
                encode = lambda weights: network.encode(weights, tower, data, **options)  # noqa: E731
                if train and owner in BY_THE_BATCH:
                    options["batch_stats"] = _left(passes.get((owner, tower), ()), place)
                # No optimiser reads these weights, so that what the pass says about its
                # statistics is caught here, and becomes an update of their slot.
                if options["batch_stats"] and owner != "online" and moves is not None:
                    encoded[at], move = _tracked(encode, weights, tower)
                    moves.setdefault(owner, []).append(move)
                else:
                    encoded[at] = encode(weights)
            for head in heads:
                before, at = encoded[at], (*at, head)
                if at not in encoded:
                    grid = network.towers[tower].grid
                    encoded[at] = _headed(network, weights, head, before, grid=grid, **mode)
            return _own(encoded[at], place, code)

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


def _planned(method: Method, known: Mapping[str, Features]) -> tuple[dict, dict]:
    """What each pass has to return, {place: names}; the passes by (owner, tower), in order."""
    outputs: dict[Place, frozenset] = {}
    passes: dict[tuple, list[Place]] = {}
    for name in method.order:
        code = method.encoded[name]
        for view in code.encoder.views or (code.view,):
            encoder, place = code.encoder, _place(method, code._replace(view=view))
            # A pass is made once, so its first code has to ask for what any of them needs.
            outputs[place] = outputs.get(place, frozenset()) | encoder.tower_outputs
            # In order, as batch norms move their running statistics once for each.
            before = passes.setdefault((encoder.owner, place.tower), [])
            if name not in known and place not in before:
                before.append(place)
    return outputs, passes


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


def _place(method: Method, code: Code) -> Place:
    """The pass of a code; those that are encoded `together` have all their views in one."""
    views = [code.view]
    if code.encoder.together:
        same = (c for c in method.encoded.values() if c.encoder.name == code.encoder.name)
        same = (c for c in same if c.encoder.together and c.mask == code.mask)
        views = sorted({c.view for c in same if small(c.view) == small(code.view)})
    return Place(code.encoder.tower, tuple(views), code.mask)


def _data(
    place: Place, view: View, views: dict[str, View]
) -> Float[Array, "rows height width channels"] | Int[Array, "rows ..."]:
    """What the tower gets; of several views, the rows of a sample next to each other."""
    if len(place.views) == 1:
        return view.data
    # V views of (B, …) -> (B, V, …) -> (B·V, …): the rows of a sample stay on its device.
    stacked = jnp.stack([views[name].data for name in place.views], axis=1)
    return stacked.reshape(-1, *stacked.shape[2:])


def _left(passes: Sequence[Place], place: Place) -> int:
    """How many of the passes of a step are left, this one included."""
    return len(passes) - passes.index(place) if place in passes else 1


def _own(features: Features, place: Place, code: Code) -> Features:
    """The rows of the code's own view, of a pass of several."""
    if len(place.views) == 1:
        return features
    step, first = len(place.views), place.views.index(code.view)
    # (B·V, …) -> (B, …), every V-th row
    return jax.tree.map(lambda x: x[first::step], features._replace(layers=None, attention=None))
