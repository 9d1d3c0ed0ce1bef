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
from m3i_jax.nn.linear import SAVED, Linear, Weights, gradient, product, pulled
from m3i_jax.parallel import tensor
from m3i_jax.types import Array

# Kernel and bias of a layer, None without one; how the two layers are split over the axis `tensor`.
Layer = tuple[Float[Array, "dim out"], Float[Array, " out"] | None]
Splits = tuple[tensor.Split | None, tensor.Split | None]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def two_layers(
    activation: Callable,
    splits: Splits,
    x: Float[Array, "*positions dim"],
    first: Layer,
    second: Layer,
) -> Float[Array, "*positions out"]:
    """φ(x W₁ + b₁) W₂ + b₂, for x (..., k) in the compute dtype, which is that of the result.

    Products accumulate in float32, in which biases and φ are evaluated, too. The backward pass is
    stated by hand and keeps x and the hidden layer in front of φ: by itself it would keep that
    layer behind φ as well, the largest array of a block.
    """
    return _two_layers_forward(activation, splits, x, first, second)[0]


def _two_layers_forward(activation, splits, x, first, second):
    hidden = checkpoint_name(_layer(x, first, splits[0]), SAVED)
    return _layer(activation(hidden), second, splits[1]), (x, hidden, first, second)


def _two_layers_backward(activation, splits, saved, g):
    x, hidden, (w1, b1), (w2, b2) = saved
    leading, g = tuple(range(x.ndim - 1)), g.astype(x.dtype)
    y, pull = jax.vjp(activation, hidden.astype(_wide(x)))
    (dh,) = pull(pulled(g, w2, splits[1]))
    dw2 = gradient(y.astype(x.dtype), g, w2, splits[1])
    db1, db2 = (
        None if b is None else d.astype(b.dtype).sum(leading) for d, b in ((dh, b1), (g, b2))
    )
    dh = dh.astype(x.dtype)
    dx = pulled(dh, w1, splits[0]).astype(x.dtype)
    return dx, (gradient(x, dh, w1, splits[0]), db1), (dw2, db2)


two_layers.defvjp(_two_layers_forward, _two_layers_backward)


def _wide(x):
    """float32, or wider where x is."""
    return jnp.promote_types(x.dtype, jnp.float32)


def _layer(x, layer, split):
    kernel, bias = layer
    y = product(x, kernel, split)
    if bias is None:
        return y.astype(x.dtype)
    return (y + bias.reshape((1,) * (y.ndim - 1) + bias.shape)).astype(x.dtype)


@functools.lru_cache
def gate(activation: Callable, *, ways: int = 1) -> Callable:
    """(a | b) -> φ(a) · b, halves of the last axis; one function for each φ, in float32.

    ways: shares of (a | b) that are side by side.
    """

    def gated(hidden):
        wide, (*leading, both) = hidden.astype(_wide(hidden)), hidden.shape
        a, b = jnp.split(wide.reshape(*leading, ways, both // ways), 2, axis=-1)
        return (activation(a) * b).reshape(*leading, both // 2).astype(hidden.dtype)

    return gated


class Mlp(nn.Module):
    """fc2(activation(fc1(x))) with a hidden layer of `ratio` times the width.

    gated: w3(activation(a) · b) of the halves (a | b) = w12(x), each of that width; with SiLU it is
      SwiGLU (Shazeer 2020, https://arxiv.org/abs/2002.05202).
    bias: whether the layers have one.
    norm: makes a norm `norm` of what the second layer reads (EVA-02, as NormFormer), beside which
      no layer is split over `tensor`; None = none.
    """

    ratio: float = 4.0
    activation: Callable = gelu
    kernel_init: Init = Init()
    dtype: DTypeLike = jnp.float32
    gated: bool = False
    bias: bool = True
    norm: Callable[..., nn.Module] | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "*positions dim"]) -> Float[Array, "*positions dim"]:
        """x (..., D) -> (..., D) in `dtype`."""
        width, hidden = x.shape[-1], round(self.ratio * x.shape[-1])
        names = ("w12", "w3") if self.gated else ("fc1", "fc2")
        wide = 2 * hidden if self.gated else hidden
        inits = self.kernel_init.fc1, self.kernel_init.fc2
        if self.norm is not None:
            between = gate(self.activation) if self.gated else self.activation
            x = between(Linear(wide, self.bias, inits[0], self.dtype, name=names[0])(x))
            x = self.norm(dtype=self.dtype, name="norm")(x)
            return Linear(width, self.bias, inits[1], self.dtype, name=names[1])(x)
        first = Weights(wide, self.bias, inits[0], name=names[0])(width)
        second = Weights(width, self.bias, inits[1], name=names[1])(hidden)
        first_split = tensor.columns(hidden, what="columns", parts=2 if self.gated else 1)
        splits = first_split, tensor.rows(hidden)
        between, (split, _) = self.activation, splits
        if self.gated:
            between = gate(self.activation, ways=split.ways if split else 1)
        if split is not None and self.bias:
            first = first[0], split.dealt(first[1])
        return two_layers(between, splits, x.astype(self.dtype), first, second)
