"""A network small enough to read: it shows that the framework needs no Flax."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import pytest

from m3i_jax import geometry, masks
from m3i_jax.types import Box, Features, View

PATCH, SIDE, WIDTH, CLASSES = 2, 8, 6, 5
GRID = (SIDE // PATCH, SIDE // PATCH)


class Tower(NamedTuple):
    width: int
    grid: tuple | None = None
    patch: int | None = None


class ToyNetwork(NamedTuple):
    towers: dict
    calls: list
    batchwise: frozenset = frozenset()

    @property
    def nodes(self):
        return {**self.towers, "projector": Tower(WIDTH), "prototypes": Tower(WIDTH)}

    def init(self, key):
        keys = jax.random.split(key, 6)
        draw = lambda k, *shape: 0.5 * jax.random.normal(k, shape)  # noqa: E731
        inside = 3 * PATCH**2
        return {
            "encoders": {
                "image": {
                    "embed": draw(keys[0], inside, WIDTH),
                    "mix": draw(keys[1], WIDTH, WIDTH),
                },
                "category": {"table": draw(keys[2], CLASSES, WIDTH)},
                "text": {"table": draw(keys[3], 9, WIDTH)},
            },
            "decoders": {
                "image": {"kernel": draw(keys[4], WIDTH, WIDTH)},
                "category": {"kernel": draw(keys[5], WIDTH, WIDTH)},
                "text": {"kernel": draw(keys[5], WIDTH, WIDTH)},
                "projector": {"kernel": draw(keys[4], WIDTH, WIDTH)},
                "prototypes": {"kernel": draw(keys[5], WIDTH, WIDTH)},
                "predictor": {"kernel": draw(keys[3], WIDTH, WIDTH)},
            },
        }

    def encode(
        self,
        params,
        tower,
        data,
        *,
        visible=None,
        keep=None,
        train=False,
        batch_stats=None,
        key=None,
    ):
        self.calls.append(tower)
        p = params["encoders"][tower]
        if tower == "category":
            choice = jnp.maximum(data, 0)
            return Features(pooled=p["table"][choice], candidates=p["table"], target_index=choice)
        if tower == "text":
            return Features(pooled=p["table"][data].mean(1))
        tokens, index = geometry.patchify(data, PATCH) @ p["embed"], None
        if visible is not None:
            index = masks.indices(visible, keep)
            tokens = jnp.take_along_axis(tokens, index[..., None], axis=1)
        seen = jnp.tanh(tokens @ p["mix"]).mean(1, keepdims=True)
        return Features(tokens=jnp.tanh(tokens + seen), index=index)

    def refine(self, params, name, x, *, grid, train=False, key=None):
        self.calls.append(name)
        kernel = params["decoders"][name]["kernel"]
        pooled = x.tokens.mean(1) if x.pooled is None else x.pooled
        tokens = x.tokens if x.tokens is None else jnp.tanh(x.tokens @ kernel)
        return Features(tokens=tokens, pooled=jnp.tanh(pooled @ kernel), index=x.index)

    def decode(
        self,
        params,
        name,
        x,
        *,
        grid,
        source,
        target,
        target_grid,
        train,
        cells=None,
        words=None,
        size=None,
        objects=None,
        key=None,
    ):
        pooled = x.pooled if name == "predictor" else x.tokens.mean(1)
        guess = jnp.tanh(pooled @ params["decoders"][name]["kernel"])
        if name != "image":
            return guess
        where = geometry.relative_sincos(source, target, target_grid, 4)[..., :WIDTH]
        return guess[:, None, :] + where


@pytest.fixture
def toy():
    image = Tower(WIDTH, GRID, PATCH)
    return ToyNetwork({"image": image, "category": Tower(WIDTH), "text": Tower(WIDTH)}, [])


@pytest.fixture
def views():
    """Four samples: two views with boxes, labels (one missing), texts (one missing)."""
    ka, kb = jax.random.split(jax.random.key(7))
    ones = jnp.ones(4)
    a = Box(0 * ones, 0 * ones, 8 * ones, 8 * ones, 0 * ones, 10 * ones)
    b = Box(1 * ones, 2 * ones, 6 * ones, 6 * ones, jnp.array([0.0, 1, 0, 1]), 10 * ones)
    label = jnp.array([3, -1, 0, 4])
    text = jnp.array([[1, 2, 0], [3, 4, 5], [0, 0, 0], [6, 7, 8]])
    return {
        "a": View(jax.random.normal(ka, (4, SIDE, SIDE, 3)), a),
        "b": View(jax.random.normal(kb, (4, SIDE, SIDE, 3)), b),
        "label": View(label, present=label >= 0),
        "text": View(text, present=(text != 0).any(-1)),
    }
