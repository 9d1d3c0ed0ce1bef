"""Passes of views through the network: those that several codes have in common are made once."""

from collections.abc import Callable
from typing import Any

import jax

from m3i_jax.framework.codes import Look
from m3i_jax.framework.keys import named
from m3i_jax.framework.method import Code, Method
from m3i_jax.types import Array, Features, View


def looks(
    method: Method,
    network: Any,
    params: Any,
    states: dict,
    prepared: Any,
    *,
    train: bool,
    key: Array | None,
    progress: Array | float = 0.0,
) -> Callable[[str, View], Look]:
    """What the encoder of a code is shown: (code, its view) -> Look.

    Codes share a pass, and its dropped paths, where view, mask, tower and weights are the same:
    a global and a dense head, or the rows of a composition, cost one encoder.
    """
    made: dict[tuple, Features] = {}
    reads: dict[tuple, frozenset] = {}
    for code in method.wholes.values():
        reads[_place(code)] = reads.get(_place(code), frozenset()) | code.encoder.reads

    def look(name: str, view: View) -> Look:
        code = method.wholes[name]
        place = _place(code)

        def through(owner, weights, tower, heads):
            training = train and owner == "online"
            at = (owner, tower, *place)
            how = {"train": training, "key": named(key, "encode/" + name) if training else None}
            # Momentum encoders are normalised as their online twins are (MoCo, BYOL), teachers by
            # what they remember.
            batch = {"batch_stats": train and owner in ("online", "ema")}
            if at not in made:
                keep = code.mask and code.mask.count(network.towers[tower].grid)
                visible = prepared.visible.get(name)
                how |= {part: True for part in reads[place]}
                made[at] = network.encode(
                    weights, tower, view.data, visible=visible, keep=keep, **how, **batch
                )
            for head in heads:
                before, at = made[at], (*at, head)
                if at not in made:
                    grid = network.towers[tower].grid
                    made[at] = _headed(network, weights, head, before, grid=grid, **how)
            return made[at]

        return Look(view, network, params, states, progress, through)

    return look


def _headed(network, weights, head, before, *, grid, train, key, **reads) -> Features:
    """Features behind a head; `base` are the tokens of the tower, without gradient."""
    base = before.tokens if before.base is None else before.base
    after = network.refine(weights, head, before, grid=grid, train=train, key=key)
    return after._replace(base=jax.lax.stop_gradient(base), attention=before.attention)


def _place(code: Code) -> tuple:
    """What two codes have in common that share a pass, but for the weights."""
    return code.encoder.tower, code.view, code.mask
