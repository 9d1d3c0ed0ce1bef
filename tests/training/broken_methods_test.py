"""Prototypes without balance and Gaussian codes without their match collapse and raise the alarm.

On a network of a few matrices, whose steps cost a millisecond: `collapse_test` has real ones.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
import pytest

from m3i_jax import framework as fw
from m3i_jax import geometry, methods, normalize
from m3i_jax.framework.keys import named
from m3i_jax.training import health
from m3i_jax.types import Features, View

STEPS, EVERY, BATCH, SIDE, PATCH, WIDTH, KINDS = 200, 5, 64, 8, 2, 12, 16
NOISE = 3.0
ADAM = optax.adam(0.05)


class Tower(NamedTuple):
    width: int
    grid: tuple | None = None
    patch: int | None = None


class Network(NamedTuple):
    """Patches, each with what all of them have in common; linear heads, cosines with prototypes."""

    towers: dict
    nodes: dict
    batchwise: frozenset = frozenset()

    def init(self, key):
        shapes = {
            "encoders": {"image": {"embed": (3 * PATCH**2, WIDTH), "mask": (1, WIDTH)}},
            "decoders": {
                "projector": {"kernel": (WIDTH, WIDTH), "bias": (1, WIDTH)},
                "prototypes": {"kernel": (WIDTH, KINDS)},
            },
        }
        leaves, tree = jax.tree.flatten(shapes, is_leaf=lambda x: isinstance(x, tuple))
        keys = jax.random.split(key, len(leaves))
        draw = lambda k, shape: 0.3 * jax.random.normal(k, shape)  # noqa: E731
        return tree.unflatten([draw(k, shape) for k, shape in zip(keys, leaves, strict=True)])

    def encode(self, params, tower, data, *, visible=None, **_):
        p = params["encoders"][tower]
        x = geometry.patchify(data, PATCH) @ p["embed"]
        if visible is not None:
            x = jnp.where(visible.reshape(*x.shape[:2], 1), x, p["mask"][None])
        shared = x.mean(1, keepdims=True)
        return Features(tokens=jnp.tanh(x + shared), pooled=jnp.tanh(2.0 * shared[:, 0]))

    def refine(self, params, name, x, **_):
        p = params["decoders"][name]

        def through(y):
            if y is None:
                return None
            if name == "projector":
                return y @ p["kernel"] + jnp.broadcast_to(p["bias"][0], y.shape)
            return normalize.unit(y) @ normalize.unit(p["kernel"].T).T

        return Features(tokens=through(x.tokens), pooled=through(x.pooled))


def network():
    towers = {"image": Tower(WIDTH, (SIDE // PATCH, SIDE // PATCH), PATCH)}
    return Network(towers, towers | {"projector": Tower(WIDTH), "prototypes": Tower(KINDS)})


def alarm(method):
    """The first logged step at which a run of the method raises the alarm, or None."""
    net, scenes = network(), jax.random.normal(jax.random.key(5), (BATCH, 3))
    params, states = fw.init(method, net, jax.random.key(0))

    def views(key):
        """Each of 64 colours, twice, in patches that are noisy."""
        noise = lambda k: NOISE * jax.random.normal(k, (BATCH, SIDE, SIDE, 3))  # noqa: E731
        return {v: View(scenes[:, None, None] + noise(named(key, v))) for v in "ab"}

    def step(carry, number):
        params, states, moments = carry
        key, progress = jax.random.fold_in(jax.random.key(1), number), (number + 1) / STEPS
        prepared = masked._replace(views=views(key))
        made = fw.gradients(
            method, net, fw.constant(), params, states, prepared, balance={}, progress=progress,
            key=key,
        )  # fmt: skip
        moved, moments = ADAM.update(made.params, moments)
        params = optax.apply_updates(params, moved)
        states = fw.update(method, params, states, made.updates, progress)
        seen = {
            f"health/{name}/{kind}": getattr(score.evidence, kind)
            for name, score in made.scores.items()
            for kind in health.LIMITS
            if score.evidence is not None and getattr(score.evidence, kind) is not None
        }
        return (params, states, moments), seen

    # Drawn once: masks are not what is tested, and cost more than all else.
    masked = fw.prepare(method, net, views(jax.random.key(2)), key=jax.random.key(2))
    start = params, states, ADAM.init(params)
    _, seen = jax.jit(lambda start: jax.lax.scan(step, start, jnp.arange(STEPS)))(start)
    look, logged = health.watch(), range(EVERY - 1, STEPS, EVERY)
    raised = [look(i, {n: float(x[i]) for n, x in seen.items()})["health/alarm"] for i in logged]
    return raised.index(1.0) if 1.0 in raised else None


# DINOv2 differs from iBOT in KoLeo alone where nothing is balanced.
AVERAGE = fw.ema(heads=("projector", "prototypes"), momentum=0.5)
BALANCED = {
    "SwAV": lambda: methods.swav(local=0),
    "iBOT": lambda: methods.ibot(AVERAGE, local=0),
}


def unbalanced(*, temperature=0.04, **_):
    """Neither Sinkhorn nor a centre: how prototypes are assigned where nothing balances them."""
    return fw.Assignment(lambda a, *_: jax.nn.softmax(a / temperature, axis=-1))


@pytest.mark.parametrize("name", BALANCED)
def test_prototypes_without_balance_raise_the_alarm(name, monkeypatch):
    assert alarm(BALANCED[name]()) is None
    for balance in ("centring", "balancing"):
        monkeypatch.setattr(fw, balance, unbalanced)
    assert alarm(BALANCED[name]()) is not None


@pytest.mark.parametrize("weight", [0.05, 0.0])
def test_gaussian_codes_without_their_match_raise_the_alarm(weight):
    found = alarm(methods.lejepa(local=0, slices=16, weight=weight))
    assert (found is None) == (weight > 0)
