"""Units, stages and stem of RepLKNet, on depth-wise kernels of up to 31×31.

A small convolution beside each large one helps training; `merge` adds it to the large one for use.
Ding et al. 2022, https://arxiv.org/abs/2203.06717.
"""

import functools
from collections.abc import Callable

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from m3i_jax.nn import convolution
from m3i_jax.nn.activations import gelu
from m3i_jax.nn.blocks import DropPath
from m3i_jax.nn.linear import Linear
from m3i_jax.nn.norms import TrackedBatchNorm
from m3i_jax.nn.observe import kept
from m3i_jax.parallel.constrain import batch_sharded
from m3i_jax.types import Array, Observed, ObserveLayers

EPS = 1e-5

ConvNorm = functools.partial(convolution.ConvNorm, kernel_init=convolution.TORCH)


class Stem(nn.Module):
    """To a quarter of the size: 3×3, depth-wise 3×3, 1×1, depth-wise 3×3, strides 2, 1, 1, 2."""

    width: int
    lifted: int | None
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array, hidden: Array | None, token: Array | None, batch_stats: int):
        """x (B, H, W, 3), hidden (B, H, W, 1) or None -> (B, H/4, W/4, width) float32."""
        if self.lifted is not None:
            x = Linear(self.lifted, dtype=self.dtype, name="lift")(x)
            if hidden is not None:
                x = jnp.where(hidden, token[None].astype(x.dtype), x)
        layers = ((3, 2, 1), (3, 1, self.width), (1, 1, 1), (3, 2, self.width))
        for i, (size, stride, groups) in enumerate(layers, 1):
            conv = ConvNorm(self.width, size, stride, groups, dtype=self.dtype, name=f"conv{i}")
            x = nn.relu(conv(x, batch_stats))
        return x


class Stage(nn.Module):
    """Units at one size, and the transition to the next stage, if there is one."""

    units: Callable[..., nn.Module]
    after: int | None
    batch_stats: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array, rates: Array) -> tuple[Array, Observed | None]:
        """x (B, h, w, C) -> (B, h/2, w/2, after) float32 and what the units return."""
        x, outputs = self.units(name="blocks")(x, rates)
        if self.after is not None:
            x = Transition(self.after, self.dtype, name="downsample")(x, self.batch_stats)
        return x, outputs


class Transition(nn.Module):
    """1×1 to the new width, then depth-wise 3×3 to half the size, each with norm and ReLU."""

    width: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array, batch_stats: int) -> Array:
        """x (B, h, w, C) -> (B, h/2, w/2, width) float32."""
        conv = functools.partial(ConvNorm, self.width, dtype=self.dtype)
        x = nn.relu(conv(name="pw")(x, batch_stats))
        return nn.relu(conv(size=3, stride=2, groups=self.width, name="dw")(x, batch_stats))


class Unit(nn.Module):
    """x + pw2(relu(large(relu(pw1(norm1(x)))))), then x + mlp(norm2(x))."""

    kernel: int
    small_kernel: int | None
    merged: bool
    mlp_ratio: float
    drop: bool
    keep_layers: ObserveLayers
    batch_stats: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array, rate: Array) -> tuple[Array, Observed | None]:
        """x (B, h, w, C) float32 and the drop-path rate -> x, and its cells if they are kept."""
        x, width = batch_sharded(x), x.shape[-1]
        y = nn.relu(self._conv(self._norm(x, "norm1"), width, "pw1"))
        y = LargeKernel(self.kernel, self.small_kernel, self.merged, self.dtype, name="large")(
            y, self.batch_stats
        )
        y = self._conv(nn.relu(y), width, "pw2")
        x = x + self._branch(y, rate, 1)
        y = Mlp(self.mlp_ratio, self.dtype, name="mlp")(self._norm(x, "norm2"), self.batch_stats)
        x = x + self._branch(y, rate, 2)
        return x, kept(self.keep_layers, x)

    def _norm(self, x, name):
        return TrackedBatchNorm(eps=EPS, dtype=self.dtype, name=name)(x, self.batch_stats)

    def _conv(self, x, width, name):
        return ConvNorm(width, dtype=self.dtype, name=name)(x, self.batch_stats)

    def _branch(self, y, rate, number):
        return DropPath(name=f"drop_path{number}")(y, rate) if self.drop else y


class LargeKernel(nn.Module):
    """norm(conv(x)) + small norm(small conv(x)), both depth-wise; or one with bias, if merged."""

    size: int
    small: int | None
    merged: bool
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array, batch_stats: int) -> Array:
        """x (B, h, w, C) -> (B, h, w, C) float32."""
        width = x.shape[-1]
        conv = dict(groups=width, kernel_init=convolution.TORCH, dtype=self.dtype)
        y = convolution.convolve(x, width, self.size, bias=self.merged, name="conv", **conv)
        if self.merged:
            return y.astype(jnp.float32)
        y = TrackedBatchNorm(eps=EPS, name="norm")(y, batch_stats)
        if self.small is None:
            return y
        return y + ConvNorm(width, self.small, **conv, name="small")(x, batch_stats)


class Mlp(nn.Module):
    """fc2(gelu(fc1(x))) of 1×1 convolutions with norms."""

    ratio: float
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array, batch_stats: int) -> Array:
        """x (B, h, w, C) -> (B, h, w, C) float32."""
        hidden = round(self.ratio * x.shape[-1])
        y = ConvNorm(hidden, dtype=self.dtype, name="fc1")(x, batch_stats).astype(self.dtype)
        return ConvNorm(x.shape[-1], dtype=self.dtype, name="fc2")(gelu(y), batch_stats)


def merge(params: dict) -> dict:
    """Parameters for `merged=True` of a RepLKNet with norms behind its large convolutions.

        W = γ_L/√(v_L + ε) · W_L + pad(γ_s/√(v_s + ε) · W_s),    b = Σ (β − μγ/√(v + ε))

    The same codes from running statistics, to rounding. With the leaves of one encoder or of a
    whole network; what is merged already stays. Ding et al. 2022, https://arxiv.org/abs/2203.06717.
    """
    merged = {}
    for name, node in params.items():
        if name == "large" and "norm" in node:
            kernel, bias = _fused(node)
            if "small" in node:
                small, shift = _fused(node["small"])
                margin = (kernel.shape[-3] - small.shape[-3]) // 2
                beside = ((0, 0),) * (kernel.ndim - 4) + ((margin, margin),) * 2 + ((0, 0),) * 2
                kernel, bias = kernel + jnp.pad(small, beside), bias + shift
            merged[name] = {"conv": {"kernel": kernel, "bias": bias}}
        else:
            merged[name] = merge(node) if isinstance(node, dict) else node
    return merged


def _fused(node):
    """Kernel (..., k, k, 1, C) and bias (..., C) of a convolution and the norm behind it."""
    norm = node["norm"]
    factor = norm["scale"] * (norm["var"] + EPS) ** -0.5
    kernel = node["conv"]["kernel"] * factor[..., None, None, None, :]
    return kernel, norm["bias"] - norm["mean"] * factor
