"""The stack of blocks as a module of its own, and its equations in NumPy."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from m3i_jax.nn import blocks


class Stacked(nn.Module):
    """The stack as a module of its own."""

    fields: dict

    @nn.compact
    def __call__(self, x, mask=None, train=False, bias=None, context=None):
        given = dict(mask=mask, bias=bias, context=context)
        return blocks.stack(x, train=train, **given, **self.fields)


def made(key, x, **fields):
    """The stack, and parameters drawn without any zeros or ones."""
    module = Stacked({"heads": 2, **fields})
    shapes = jax.eval_shape(module.init, key, x)["params"]
    draw = np.random.default_rng(0).normal
    return module, jax.tree.map(lambda s: jnp.float32(draw(0.1, 0.3, s.shape)), shapes)


def applied(module, params, *inputs, **rngs):
    return jax.jit(lambda p: module.apply({"params": p}, *inputs, **rngs))(params)


def norm_(p, x, eps=1e-6, axes=(-1,)):
    centred = x - x.mean(axes, keepdims=True)
    y = centred / np.sqrt((centred**2).mean(axes, keepdims=True) + eps)
    return y * p["scale"] + p["bias"]


def linear_(p, x):
    return x @ p["kernel"] + p["bias"]


def attention_(p, x, heads, mask=True, bias=0.0, context=None):
    (b, n, d), dim = x.shape, x.shape[-1] // heads
    given = x if context is None else np.concatenate([context, x], axis=1)
    q, k, v = (
        linear_(p["qkv"], given)[..., i * d : (i + 1) * d].reshape(b, -1, heads, dim)
        for i in range(3)
    )
    s = np.einsum("bqhd,bkhd->bhqk", q[:, -n:], k) / np.sqrt(dim) + bias
    s = np.where(mask, s, -np.inf)
    w = np.exp(s - s.max(-1, keepdims=True))
    w = w / w.sum(-1, keepdims=True)
    return linear_(p["proj"], np.einsum("bhqk,bkhd->bqhd", w, v).reshape(b, n, d)), w


def mlp_(p, x, act):
    return linear_(p["fc2"], act(linear_(p["fc1"], x)))


def gelu_(x):
    return x * (1 + np.vectorize(math.erf)(x / np.sqrt(2))) / 2


def quick_(x):
    return x / (1 + np.exp(-1.702 * x))


def float64(tree):
    return jax.tree.map(lambda p: np.asarray(p, np.float64), tree)


def layer_(params, i):
    return jax.tree.map(lambda p: p[i], float64(params["blocks"]))
