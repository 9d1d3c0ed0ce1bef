"""The DCNv3 layer, which draws up its own offsets, and the block that InternImage makes of it."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Bool, Float

from m3i_jax.nn.activations import gelu
from m3i_jax.nn.blocks import DropPath
from m3i_jax.nn.convolution import TORCH
from m3i_jax.nn.deformable import dcnv3
from m3i_jax.nn.initial import Init
from m3i_jax.nn.linear import Linear
from m3i_jax.nn.mlp import Mlp
from m3i_jax.nn.norms import LayerNorm, standardize
from m3i_jax.nn.observe import kept
from m3i_jax.parallel.constrain import batch_sharded
from m3i_jax.types import Array, Observed, ObserveLayers

KERNEL = 3
NORMS = ("pre", "post", "res_post")


@functools.partial(jax.checkpoint, prevent_cse=False)
def depthwise(
    x: Float[Array, "batch height width channels"], kernel: Float[Array, "rows columns 1 channels"]
) -> Float[Array, "batch height width channels"]:
    """x (B, H, W, C) convolved channel by channel with kernel (k, k, 1, C), k odd, in float32.

    As k² shifted multiply-adds, which XLA makes one loop of: for 3x3 on a CPU 50 times as fast as
    a convolution of C groups, with its gradients 8 times. Only the arguments are kept for those.
    """
    size, (height, width) = len(kernel), x.shape[1:3]
    pad = (size // 2, size // 2)
    x = jnp.pad(x, ((0, 0), pad, pad, (0, 0)))

    def tap(i, j):
        return x[:, i : i + height, j : j + width].astype(jnp.float32) * kernel[i, j][None, None]

    return sum(tap(i, j) for i, j in np.ndindex(size, size))


class Depthwise(nn.Module):
    """A depth-wise convolution with bias, its parameters as those of `nn.Conv`."""

    size: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch height width channels"]:
        """x (B, H, W, C) -> (B, H, W, C) in `dtype`."""
        shape, zeros = (self.size, self.size, 1, x.shape[-1]), nn.initializers.zeros
        kernel = self.param("kernel", TORCH, shape, jnp.float32)
        bias = self.param("bias", zeros, shape[-1:], jnp.float32)
        y = depthwise(x.astype(self.dtype), kernel) + bias[None, None, None]
        return y.astype(self.dtype)


class DCNv3(nn.Module):
    """v = W_v x + b, u = gelu(LN(dw(x))), y = W_y dcnv3(v, W_o u + b, softmax(W_m u + b)) + b.

    Offsets and masks are computed in float32 and start at zero, where the operation is a 3x3
    average. With `centre_scale`, y is replaced by (1 - c) y + c v, c = sigmoid(W_c u + b) per
    group (InternImage-H and -G). Wang et al. 2023, Eq. 2, https://arxiv.org/abs/2211.05778; the
    last is in their code only (https://github.com/OpenGVLab/InternImage, MIT).

    Attributes:
      groups: G, of C/G channels, each with offsets and masks of its own.
      dw_kernel: side of the depth-wise convolution in front of offsets and masks.
      offset_scale: of the grid of taps and of the offsets.
      centre_scale: blend the centre value in.
      eps: of the layer norm.
      dtype: of values and products.
    """

    groups: int
    dw_kernel: int = KERNEL
    offset_scale: float = 1.0
    centre_scale: bool = False
    eps: float = 1e-6
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch height width channels"]:
        """x (B, H, W, C) -> (B, H, W, C) in `dtype`."""
        width, points = x.shape[-1], (*x.shape[:-1], self.groups, KERNEL**2)
        values = Linear(width, dtype=self.dtype, name="input_proj")(x)
        u = Depthwise(self.dw_kernel, self.dtype, name="dw_conv")(x)
        u = gelu(LayerNorm(self.eps, name="dw_norm")(u))
        offsets = self._from_zero("offset", 2 * self.groups * KERNEL**2)(u)
        masks = self._from_zero("mask", self.groups * KERNEL**2)(u)
        masks = jax.nn.softmax(masks.reshape(points), axis=-1)
        scale = self.offset_scale
        y = dcnv3(values, offsets.reshape(*points, 2), masks, kernel=KERNEL, offset_scale=scale)
        if self.centre_scale:
            centre = self._from_zero("center_feature_scale_proj", self.groups)(u)
            centre = jnp.repeat(jax.nn.sigmoid(centre), width // self.groups, axis=-1)
            y = (1 - centre) * y.astype(jnp.float32) + centre * values.astype(jnp.float32)
        return Linear(width, dtype=self.dtype, name="output_proj")(y)

    def _from_zero(self, name, features):
        """A float32 linear map that starts at zero."""
        return Linear(features, kernel_init=nn.initializers.zeros, name=name)


class Form(NamedTuple):
    """How the blocks of a network are made.

    norm: where the layer norms of a branch f are, "pre": x + f(LN(x)); "post": x + γ LN(f(x));
    "res_post": x + LN(f(LN(x))).  layer_scale: start of the factors γ, of any form; None = none.
    mlp_ratio: width of the MLP over that of the map.  The others: see `DCNv3`.
    """

    norm: str
    layer_scale: float | None
    mlp_ratio: float
    dw_kernel: int
    offset_scale: float
    centre_scale: bool
    eps: float
    dtype: DTypeLike


class Extra(NamedTuple):
    """Per block: the drop-path rate, and the layer norm behind it where `on`."""

    rate: Float[Array, "*depth"]
    on: Bool[Array, "*depth"]
    scale: Float[Array, "*depth channels"]
    bias: Float[Array, "*depth channels"]


class Block(nn.Module):
    """A DCNv3 layer and an MLP, residual branches in one of the forms; the stream is float32."""

    groups: int
    form: Form
    drop: bool = False
    normed: bool = False
    keep: ObserveLayers = False

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], extra: Extra
    ) -> tuple[
        Float[Array, "batch height width channels"],
        Float[Array, "batch tokens channels"] | Observed | None,
    ]:
        """x (B, H, W, C) float32 -> x, and its cells if they are kept."""
        form = self.form
        x = batch_sharded(x)
        dcn = DCNv3(
            self.groups,
            form.dw_kernel,
            form.offset_scale,
            form.centre_scale,
            form.eps,
            form.dtype,
            name="dcn",
        )
        init = Init.same(nn.initializers.normal(0.02))
        mlp = Mlp(form.mlp_ratio, kernel_init=init, dtype=form.dtype, name="mlp")
        x = x + self._branch(dcn, x, extra.rate, 1)
        x = x + self._branch(mlp, x, extra.rate, 2)
        if self.normed:
            x = jax.lax.cond(extra.on, self._normalise, lambda x, _: x, x, extra)
        return x, kept(self.keep, x)

    def _branch(self, f, x, rate, number):
        """f between its norms, as it is added to the float32 stream."""
        form = self.form
        post = form.norm == "post"
        dtype = jnp.float32 if post else form.dtype
        norm = LayerNorm(form.eps, dtype=dtype, name=f"norm{number}")
        y = norm(f(x)) if post else f(norm(x)).astype(jnp.float32)
        if form.norm == "res_post":
            y = LayerNorm(form.eps, name=f"res_post_norm{number}")(y)
        if form.layer_scale is not None:
            start = nn.initializers.constant(form.layer_scale)
            gamma = self.param(f"gamma{number}", start, y.shape[-1:], jnp.float32)
            y = y * gamma[None, None, None]
        return DropPath(name=f"drop_path{number}")(y, rate) if self.drop else y

    def _normalise(self, x, extra):
        y = standardize(x, (x.ndim - 1,), self.form.eps)
        return y * extra.scale[None, None, None] + extra.bias[None, None, None]
