"""The two layers of a block that treat every token by itself, as one operation."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.ad_checkpoint import checkpoint_name
from jax.typing import DTypeLike
from jaxtyping import Float

from m3i_jax.nn.activations import gelu
from m3i_jax.nn.initial import Init
from m3i_jax.nn.linear import SAVED, Weights, contract, gradient, used
from m3i_jax.types import Array

# Kernel and bias of a layer.
Layer = tuple[Float[Array, "dim out"], Float[Array, " out"]]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def two_layers(
    activation: Callable, x: Float[Array, "*positions dim"], first: Layer, second: Layer
) -> Float[Array, "*positions out"]:
    """φ(x W₁ + b₁) W₂ + b₂, for x (..., k) in the compute dtype, which is that of the result.

    Products accumulate in float32, in which biases and φ are evaluated, too. The backward pass is
    stated by hand and keeps x and the hidden layer in front of φ: by itself it would keep that
    layer behind φ as well, the largest array of a block.
    """
    return _two_layers_forward(activation, x, first, second)[0]


def _two_layers_forward(activation, x, first, second):
    hidden = checkpoint_name(_layer(x, first), SAVED)
    return _layer(activation(hidden), second), (x, hidden, first, second)


def _two_layers_backward(activation, saved, g):
    x, hidden, (w1, b1), (w2, b2) = saved
    leading, g = tuple(range(x.ndim - 1)), g.astype(x.dtype)
    y, pull = jax.vjp(activation, hidden.astype(jnp.promote_types(x.dtype, jnp.float32)))
    (dh,) = pull(contract(g, used(w2, g), (g.ndim - 1,), (1,)))
    dw2 = gradient(y.astype(x.dtype), g, w2)
    db1, db2 = (d.astype(b1.dtype).sum(leading) for d in (dh, g))
    dh = dh.astype(x.dtype)
    dx = contract(dh, used(w1, x), (dh.ndim - 1,), (1,)).astype(x.dtype)
    return dx, (gradient(x, dh, w1), db1), (dw2, db2)


two_layers.defvjp(_two_layers_forward, _two_layers_backward)


def _layer(x, layer):
    kernel, bias = layer
    y = contract(x, used(kernel, x), (x.ndim - 1,), (0,))
    return (y + bias.reshape((1,) * (y.ndim - 1) + bias.shape)).astype(x.dtype)


@functools.lru_cache
def gate(activation: Callable) -> Callable:
    """(a | b) -> φ(a) · b, halves of the last axis; one function for each φ, in float32."""

    def gated(hidden):
        a, b = jnp.split(hidden.astype(jnp.promote_types(hidden.dtype, jnp.float32)), 2, axis=-1)
        return (activation(a) * b).astype(hidden.dtype)

    return gated


class Mlp(nn.Module):
    """fc2(activation(fc1(x))) with a hidden layer of `ratio` times the width.

    gated: w3(activation(a) · b) of the halves (a | b) = w12(x), each of that width; with SiLU it is
      SwiGLU (Shazeer 2020, https://arxiv.org/abs/2002.05202).
    """

    ratio: float = 4.0
    activation: Callable = gelu
    kernel_init: Init = Init()
    dtype: DTypeLike = jnp.float32
    gated: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "*positions dim"]) -> Float[Array, "*positions dim"]:
        """x (..., D) -> (..., D) in `dtype`."""
        width, hidden = x.shape[-1], round(self.ratio * x.shape[-1])
        names = ("w12", "w3") if self.gated else ("fc1", "fc2")
        wide = 2 * hidden if self.gated else hidden
        first = Weights(wide, True, self.kernel_init.fc1, name=names[0])(width)
        second = Weights(width, True, self.kernel_init.fc2, name=names[1])(hidden)
        between = gate(self.activation) if self.gated else self.activation
        return two_layers(between, x.astype(self.dtype), first, second)
