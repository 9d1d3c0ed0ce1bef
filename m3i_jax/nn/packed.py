"""Attention of short rows on TPUs: one image whole in fast memory, head after head.

Kernels that go through the keys in blocks are made for long rows: they pad 50 and 197 tokens to
multiples of 128, and want q, k and v of each head apart. Here q, k and v are read as they were
projected, side by side, and the weights never leave the chip: the backward pass makes them again.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Float

from m3i_jax.parallel.constrain import by_rows
from m3i_jax.types import Array

MEMORY = 2**25  # bytes of fast memory that an image may take, of 2^27 of a v5e
Tile = Float[Array, "tokens dim"]


def fits(tokens: int, width: int, dtype: DTypeLike) -> bool:
    """Whether an image of so many tokens is worked on whole: arrays of the backward pass."""
    # In and out twice each, as the next image is read and the last one written meanwhile.
    arrays = 2 * (3 + 1 + 3) * tokens * width * jnp.dtype(dtype).itemsize
    return arrays + 4 * tokens * tokens * 4 <= MEMORY  # and four squares of one head in float32


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def attend_packed(
    heads: int, interpret: bool, qkv: Float[Array, "batch tokens three_dim"]
) -> Float[Array, "batch tokens dim"]:
    """softmax(q kᵀ / √d) v of every head, for qkv (B, n, 3D) = (q|k|v, heads, d): (B, n, D).

    interpret: run the kernel by plain operations, on a machine without a TPU.
    """
    return _over_images(_forward_kernel, heads, interpret, qkv.shape[-1] // 3, qkv)


def _forward(heads, interpret, qkv):
    return attend_packed(heads, interpret, qkv), qkv


def _backward(heads, interpret, qkv, g):
    g = g.astype(qkv.dtype)
    return (_over_images(_backward_kernel, heads, interpret, qkv.shape[-1], qkv, g),)


attend_packed.defvjp(_forward, _backward)


def _over_images(kernel: Callable, heads: int, interpret: bool, width: int, *arrays: Array):
    """A kernel called for every image of (B, n, ·) arrays; its result is (B, n, width)."""
    from jax.experimental import pallas as pl  # a fifth of a second, which most runs need not wait
    from jax.experimental.pallas import tpu as pltpu

    def tile(x_width):
        return pl.BlockSpec((None, arrays[0].shape[1], x_width), lambda image: (image, 0, 0))

    def call(*rows):
        return pl.pallas_call(
            functools.partial(kernel, heads),
            out_shape=jax.ShapeDtypeStruct((*rows[0].shape[:2], width), rows[0].dtype),
            grid=rows[0].shape[:1],
            in_specs=[tile(x.shape[2]) for x in rows],
            out_specs=tile(width),
            interpret=interpret,
            compiler_params=pltpu.CompilerParams(
                dimension_semantics=("parallel",), vmem_limit_bytes=3 * MEMORY
            ),
        )(*rows)

    return by_rows(call, *arrays)


def _forward_kernel(heads, qkv, out):
    for head in range(heads):
        q, k, v, place = _of_head(qkv, heads, head)
        weights = _weights(q, k).astype(v.dtype)
        out[:, place[0]] = _dot(weights, v, 1, 0).astype(out.dtype)


def _backward_kernel(heads, qkv, g, out):
    for head in range(heads):
        q, k, v, places = _of_head(qkv, heads, head)
        dy, scale = g[:, places[0]], q.shape[1] ** -0.5
        weights = _weights(q, k)
        dweights = _dot(dy, v, 1, 1)
        ds = weights * (dweights - (weights * dweights).sum(1, keepdims=True))
        ds = (ds * scale).astype(q.dtype)
        gradients = _dot(ds, k, 1, 0), _dot(ds, q, 0, 0), _dot(weights.astype(v.dtype), dy, 0, 0)
        for place, gradient in zip(places, gradients, strict=True):
            out[:, place] = gradient.astype(out.dtype)


def _of_head(qkv, heads, head):
    """q, k and v (n, d) of one head, and where they are among the columns."""
    from jax.experimental import pallas as pl

    width = qkv.shape[1] // 3
    d = width // heads
    places = tuple(pl.ds(part * width + head * d, d) for part in range(3))
    return *(qkv[:, place] for place in places), places


def _weights(q: Tile, k: Tile) -> Float[Array, "queries keys"]:
    """Softmax over the keys, float32."""
    s = _dot(q, k, 1, 1) * q.shape[1] ** -0.5
    e = jnp.exp(s - s.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def _dot(x: Array, y: Array, over_x: int, over_y: int) -> Array:
    """A product of two matrices, summed over these axes, in float32."""
    dimensions = (((over_x,), (over_y,)), ((), ()))
    return lax.dot_general(x, y, dimensions, preferred_element_type=jnp.float32)
