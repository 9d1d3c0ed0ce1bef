"""Normalisation with float32 statistics, whatever the dtype of the matrix work around it."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Float

from m3i_jax.types import Array

MAX_LOGIT_SCALE = math.log(100.0)


@functools.partial(jax.checkpoint, prevent_cse=False, static_argnums=(1, 2))
def moments(
    x: Float[Array, "*shape"], axes: tuple[int, ...], eps: float
) -> tuple[Float[Array, "*shape"], Float[Array, "*kept"], Float[Array, "*kept"]]:
    """(x - mean) / sqrt(var + eps), mean and biased var over `axes`, in float32, in two passes.

    Only `x` is kept for the backward pass.
    """
    x = _wide(x)
    mean = x.mean(axes, keepdims=True)
    variance = jnp.square(x - mean).mean(axes, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + eps), mean, variance


def standardize(
    x: Float[Array, "*shape"], axes: tuple[int, ...], eps: float
) -> Float[Array, "*shape"]:
    """(x - mean) / sqrt(var + eps) over `axes`, see `moments`."""
    return moments(x, axes, eps)[0]


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def layer_norm(
    x: Float[Array, "*positions dim"],
    scale: Float[Array, " dim"],
    bias: Float[Array, " dim"] | None,
    eps: float,
    dtype: DTypeLike,
) -> Float[Array, "*positions dim"]:
    """scale · (x - mean) / sqrt(var + eps) + bias over the last axis, in float32, as `dtype`.

    The map is part of the operation so that the backward pass needs `x` and two numbers a position:
    by itself it would keep the normalised x for the gradient of the scale.
    """
    return _layer_norm_forward(x, scale, bias, eps, dtype)[0]


def _layer_norm_forward(x, scale, bias, eps, dtype):
    wide, shape = _wide(x), (1,) * (x.ndim - 1) + scale.shape
    mean = wide.mean(-1, keepdims=True)
    inverse = jax.lax.rsqrt(jnp.square(wide - mean).mean(-1, keepdims=True) + eps)
    y = (wide - mean) * inverse * scale.reshape(shape)
    y = y if bias is None else y + bias.reshape(shape)
    return y.astype(dtype), (x, mean, inverse, scale, bias)


def _layer_norm_backward(eps, dtype, saved, g):
    x, mean, inverse, scale, bias = saved
    g, y = _wide(g), (_wide(x) - mean) * inverse
    leading = tuple(range(x.ndim - 1))
    gs = g * scale.reshape((1,) * len(leading) + scale.shape)
    dx = gs - gs.mean(-1, keepdims=True) - y * (gs * y).mean(-1, keepdims=True)
    dbias = None if bias is None else g.sum(leading).astype(bias.dtype)
    return (inverse * dx).astype(x.dtype), (g * y).sum(leading).astype(scale.dtype), dbias


layer_norm.defvjp(_layer_norm_forward, _layer_norm_backward)


def _wide(x: Array) -> Array:
    """x in float32, or wider where it is."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


class LayerNorm(nn.Module):
    """Normalises each token over its channels; parameters `scale` and `bias` (D,).

    affine: whether it has these; "scale" = the scale alone.  scale_init: what that starts as.
    """

    eps: float = 1e-6
    affine: bool | str = True
    dtype: DTypeLike = jnp.float32
    scale_init: Callable = nn.initializers.ones

    @nn.compact
    def __call__(self, x: Float[Array, "*positions dim"]) -> Float[Array, "*positions dim"]:
        """x (..., D) -> (..., D) in `dtype`."""
        if not self.affine:
            return standardize(x, (x.ndim - 1,), self.eps).astype(self.dtype)
        width, bias = x.shape[-1:], None
        scale = self.param("scale", self.scale_init, width, jnp.float32)
        if self.affine is True:
            bias = self.param("bias", nn.initializers.zeros, width, jnp.float32)
        return layer_norm(x, scale, bias, self.eps, self.dtype)


class RMSNorm(nn.Module):
    """scale · x / sqrt(mean x² + eps) of each token's channels, in float32; parameter `scale` (D,).

    Zhang & Sennrich 2019, https://arxiv.org/abs/1910.07467.
    """

    eps: float = 1e-6
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*positions dim"]) -> Float[Array, "*positions dim"]:
        """x (..., D) -> (..., D) in `dtype`."""
        scale = self.param("scale", nn.initializers.ones, x.shape[-1:], jnp.float32)
        return rms_norm(x, scale, self.eps).astype(self.dtype)


@functools.partial(jax.checkpoint, prevent_cse=False, static_argnums=(2,))
def rms_norm(
    x: Float[Array, "*positions dim"], scale: Float[Array, " dim"], eps: float
) -> Float[Array, "*positions dim"]:
    """scale · x / sqrt(mean x² + eps) over the last axis, in float32 or wider.

    Only `x` is kept for the backward pass.
    """
    x = _wide(x)
    inverse = jax.lax.rsqrt(jnp.square(x).mean(-1, keepdims=True) + eps)
    return x * inverse * scale.reshape((1,) * (x.ndim - 1) + scale.shape)


class BatchNorm(nn.Module):
    """Normalises each channel over batch and tokens, by the statistics of the batch, always.

    It keeps no running averages: SiameseIM's heads (docs/methods.md#siamese_im) use batch
    statistics in the online and in the target branch, and are dropped afterwards.
    Under `jit` with a sharded batch the statistics are those of the global batch. affine: as in
    `LayerNorm`.
    """

    eps: float = 1e-5
    affine: bool | str = True
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*positions dim"]) -> Float[Array, "*positions dim"]:
        """x (B, ..., D) -> (B, ..., D) in `dtype`."""
        y = standardize(x, tuple(range(x.ndim - 1)), self.eps)
        y = _affine(self, y, bias=self.affine is True) if self.affine else y
        return y.astype(self.dtype)


class TrackedBatchNorm(nn.Module):
    """Batch norm of encoders: statistics of the global batch in training, running ones otherwise.

        m ← momentum·m + (1 − momentum)·m_batch        (variance unbiased, as PyTorch keeps it)

    The running statistics are the leaves `mean` and `var` of the parameter tree, so moving
    averages, shards, checkpoints and exports hold them without knowing. A pass by the batch gives
    them the gradient (1 − momentum)(m − m_batch), whatever the loss, and the optimiser takes it as
    a plain step of 1 (`trees.STATISTICS`). Several passes of one step move m one after the other:
    what an earlier one adds fades by the momentum of those that follow. affine: whether there are a
    `scale` and a `bias`.
    """

    momentum: float = 0.9
    eps: float = 1e-5
    affine: bool = True
    zero_scale: bool = False
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "*positions dim"], batch_stats: int
    ) -> Float[Array, "*positions dim"]:
        """x (B, ..., D) -> (B, ..., D) in `dtype`.

        batch_stats: 0 normalises by the running statistics; 1 by this batch; k by this batch, which
          k − 1 further passes of the step follow.
        """
        width, axes = x.shape[-1:], tuple(range(x.ndim - 1))
        mean = self.param("mean", nn.initializers.zeros, width, jnp.float32)
        var = self.param("var", nn.initializers.ones, width, jnp.float32)
        if batch_stats:
            y, batch_mean, batch_var = moments(x, axes, self.eps)
            count = x.size // x.shape[-1]
            batch_var = batch_var * (count / max(count - 1, 1))
            seen = batch_mean.reshape(width), batch_var.reshape(width)
            rate = (1.0 - self.momentum) * self.momentum ** (batch_stats - 1)
            y = _remember(rate, y, (mean, var), seen)
        else:
            shape = (1,) * (x.ndim - 1) + width
            mean, var = (jax.lax.stop_gradient(m).reshape(shape) for m in (mean, var))
            y = (x.astype(jnp.float32) - mean) * jax.lax.rsqrt(var + self.eps)
        start = nn.initializers.zeros if self.zero_scale else nn.initializers.ones
        return (_affine(self, y, start) if self.affine else y).astype(self.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _remember(rate: float, y: Array, running: Any, batch: Any) -> Array:
    """y, and in the backward pass rate·(running − batch) as the gradient of `running`."""
    return y


def _remember_forward(rate, y, running, batch):
    return y, (running, batch)


def _remember_backward(rate, saved, g):
    running, batch = saved
    distance = jax.tree.map(lambda m, b: rate * (m - b), running, batch)
    return g, distance, jax.tree.map(jnp.zeros_like, batch)


_remember.defvjp(_remember_forward, _remember_backward)


def _affine(
    module: nn.Module, y: Array, start: Callable = nn.initializers.ones, *, bias: bool = True
) -> Array:
    """scale * y + bias per channel, in the dtype of y; the scale starts as `start` draws it."""
    shape = (1,) * (y.ndim - 1) + y.shape[-1:]
    y = y * module.param("scale", start, y.shape[-1:], jnp.float32).reshape(shape)
    if not bias:
        return y
    return y + module.param("bias", nn.initializers.zeros, y.shape[-1:], jnp.float32).reshape(shape)


class UnitNorm(nn.Module):
    """e^s x / |x| in float32; s is 0, or learned from ln(start) and at most `limit`, ln 100 (CLIP).

    With the learned scale in one of the two embeddings, a softmax over their products needs no
    temperature of its own.
    """

    scaled: bool = False
    start: float = 1 / 0.07
    limit: float | None = MAX_LOGIT_SCALE

    @nn.compact
    def __call__(self, x: Float[Array, "*positions dim"]) -> Float[Array, "*positions dim"]:
        """x (..., D) -> (..., D) float32; a zero vector stays zero."""
        x = x.astype(jnp.float32)
        square = jnp.square(x).sum(-1, keepdims=True)
        unit = x * jax.lax.rsqrt(jnp.maximum(square, 1e-24))
        if not self.scaled:
            return unit
        start = nn.initializers.constant(math.log(self.start))
        logit_scale = self.param("logit_scale", start, (), jnp.float32)
        bounded = logit_scale if self.limit is None else at_most(logit_scale, self.limit)
        return unit * jnp.exp(bounded)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def at_most(x: Float[Array, "*shape"], limit: float) -> Float[Array, "*shape"]:
    """min(x, limit), whose gradient can always lead back to the limit.

    Beyond the limit only a gradient that would lower x passes, as if x were clipped after every
    step; the gradient of `minimum` would leave x stuck there for ever.
    """
    return jnp.minimum(x, limit)


def _at_most_forward(x, limit):
    return at_most(x, limit), x


def _at_most_backward(limit, x, g):
    return (jnp.where((x <= limit) | (g > 0), g, 0.0),)


at_most.defvjp(_at_most_forward, _at_most_backward)

NORMS: dict[str, Callable[..., nn.Module]] = {"layer": LayerNorm, "batch": BatchNorm}
# Of a token by itself, whatever else is in the batch.
TOKEN_NORMS: dict[str, Callable[..., nn.Module]] = {"layer": LayerNorm, "rms": RMSNorm}
