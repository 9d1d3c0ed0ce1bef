"""Activations of transformers, evaluated in float32; only what they are given is kept for later."""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Float

from m3i_jax.types import Array


@functools.partial(jax.checkpoint, prevent_cse=False)
def gelu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """x Φ(x), exact, evaluated in float32; only `x` is kept for the backward pass.

    By erf, as in PyTorch, and not by erfc, which knows more digits where Φ is nearly 0 and costs a
    processor twice as much.
    """
    wide = x.astype(jnp.float32)
    return (0.5 * wide * (1.0 + jax.lax.erf(math.sqrt(0.5) * wide))).astype(x.dtype)


@functools.partial(jax.checkpoint, prevent_cse=False)
def quick_gelu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """x σ(1.702 x), CLIP's approximation, evaluated in float32."""
    wide = x.astype(jnp.float32)
    return (wide * jax.nn.sigmoid(1.702 * wide)).astype(x.dtype)


@functools.partial(jax.checkpoint, prevent_cse=False)
def gelu_tanh(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """x (1 + tanh(√(2/π) (x + 0.044715 x³)))/2, BERT's approximation, evaluated in float32."""
    return jax.nn.gelu(x.astype(jnp.float32), approximate=True).astype(x.dtype)


@functools.partial(jax.checkpoint, prevent_cse=False)
def silu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """x σ(x), evaluated in float32."""
    return jax.nn.silu(x.astype(jnp.float32)).astype(x.dtype)


ACTIVATIONS: dict[str, Callable[[Float[Array, "*shape"]], Float[Array, "*shape"]]] = {
    "gelu": gelu,
    "quick_gelu": quick_gelu,
    "gelu_tanh": gelu_tanh,
    "relu": jax.nn.relu,
    "silu": silu,
}
