"""RepLKNet (Ding et al. 2022): depth-wise convolutions with kernels of up to 31×31.

A small convolution beside each large one helps training, and `merge` adds it to the large one for
use. Parameter paths: patch_embed/{lift, conv1, conv2, conv3, conv4}, mask_token, stages_{i}/blocks/
{norm1, pw1, large, small, pw2, norm2, mlp/{fc1, fc2}} with a leading depth axis,
stages_{i}/downsample/{pw, dw}, norm; a convolution with its norm is {conv, norm}.
Ding et al. 2022, https://arxiv.org/abs/2203.06717.
"""

import functools
from collections.abc import Callable
from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Bool, Float

from m3i_jax import normalize
from m3i_jax.build import ConfigError
from m3i_jax.encoders.protocol import blank, sides
from m3i_jax.nn import convolution
from m3i_jax.nn.activations import gelu
from m3i_jax.nn.blocks import REMAT, DropPath, check_blocks, drop_rates
from m3i_jax.nn.choices import DropPathSchedule, Dtype, Remat
from m3i_jax.nn.linear import Linear
from m3i_jax.nn.norms import TrackedBatchNorm
from m3i_jax.nn.observe import kept, per_block
from m3i_jax.normalize import Normalization
from m3i_jax.parallel.constrain import batch_sharded
from m3i_jax.ranges import Depth, Dropped, Kernel, Pixels, Ratio, Width
from m3i_jax.types import Array, Features, Grid, ObserveAttention, Observed, ObserveLayers

STEM = 4  # pixels per cell behind the stem
EPS = 1e-5

ConvNorm = functools.partial(convolution.ConvNorm, kernel_init=convolution.TORCH)


class RepLKNet(nn.Module):
    """RepLKNet without a head; `VARIANTS` holds the published size.

    Attributes:
      kernels, depths, channels: of the stages; each stage after the first halves the map.
      small_kernel: side of the convolution beside each large one, None = none.
      merged: the large convolutions have taken up what is beside and behind them (`merge`).
      mlp_ratio: width of the hidden layer over that of the stage.
      lifted: width of a linear map of pixels in front of the stem, where a learned vector takes
        the place of hidden pixels (docs/methods.md#simmim); None = no map, nothing can be hidden.
      image: side of the images in pixels, or (height, width).
      normalization: of the channels that the weights expect, see `ViT`; the images given are always
        normalised as ImageNet's.
      drop_path: highest stochastic-depth rate.
      drop_path_schedule: how it rises over the blocks, "linear", or not, "uniform".
      dtype: of the convolutions.
      scan, remat: how the units are compiled, see `blocks.stack`; no effect on parameters.
    """

    kernels: tuple[Kernel, ...] = (31, 29, 27, 13)
    depths: tuple[Depth, ...] = (2, 2, 18, 2)
    channels: tuple[Width, ...] = (128, 256, 512, 1024)
    small_kernel: Kernel | None = 5
    merged: bool = False
    mlp_ratio: Ratio = 4.0
    lifted: Width | None = None
    image: Pixels | tuple[Pixels, Pixels] = 224
    normalization: Normalization = "imagenet"
    drop_path: Dropped = 0.0
    drop_path_schedule: DropPathSchedule = "linear"
    dtype: Dtype = "float32"
    scan: bool = True
    remat: Remat = "none"

    kind: ClassVar[str] = "image"
    has_batch_stats: ClassVar[bool] = True

    @property
    def masking(self) -> str:
        """What becomes of hidden cells."""
        return "mask" if self.lifted else ""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the images in pixels."""
        return sides(self.image)

    @property
    def patch(self) -> int:
        """Pixels per cell of the last stage."""
        return STEM * 2 ** (len(self.depths) - 1)

    @property
    def grid(self) -> Grid:
        """(rows, columns) of the last stage."""
        return self.size[0] // self.patch, self.size[1] // self.patch

    @property
    def features(self) -> int:
        """Width of the codes."""
        return self.channels[-1]

    @nn.nowrap
    def example(self) -> Float[Array, "1 height width 3"]:
        """A batch of one, for tracing."""
        return blank(self.size)

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for sizes and options that do not fit together."""
        normalize.statistics(self.normalization)
        check_blocks(
            "the encoder",
            width=min(self.channels, default=1),
            heads=1,
            depth=min(self.depths, default=0),
            dtype=self.dtype,
            remat=self.remat,
            mlp_ratio=self.mlp_ratio,
            drop_path=self.drop_path,
            schedule=self.drop_path_schedule,
        )
        if not len(self.kernels) == len(self.depths) == len(self.channels):
            raise ConfigError(
                f"the encoder has {len(self.depths)} depths, {len(self.kernels)} kernels and "
                f"{len(self.channels)} channels, expected one of each per stage"
            )
        for size in (*self.kernels, self.small_kernel or 1):
            if size < 1 or size % 2 == 0:
                raise ConfigError(f"the encoder has a kernel of {size}, expected an odd number")
        if (self.small_kernel or 1) > min(self.kernels):
            raise ConfigError(
                f"small_kernel {self.small_kernel} is larger than {min(self.kernels)}, "
                "the smallest of the kernels"
            )
        (height, width), patch = self.size, self.patch
        if height % patch or width % patch:
            raise ConfigError(f"image {height}x{width} is not divisible by stride {patch}")

    @nn.compact
    def __call__(
        self,
        images: Float[Array, "batch height width 3"],
        *,
        visible: Bool[Array, "batch rows columns"] | None = None,
        keep: int | None = None,
        train: bool = False,
        batch_stats: int = 0,
        layers: ObserveLayers = False,
        attention: ObserveAttention = False,
    ) -> Features:
        """Encodes images (B, H, W, 3), normalised, of any size that the last stride divides.

        Args:
          visible: (B, h, w) bool on the grid of the last stage, for a `lifted` stem; hidden pixels
            have no influence on anything returned.
          keep: of no use, as nothing is dropped.
          train: whether drop path is on, with keys from the stream "droppath".
          batch_stats: 0 normalises by the running statistics, see `TrackedBatchNorm`.
          layers: also return the cells behind every unit, a tuple as stages differ in shape.
          attention: refused.

        Returns:
          float32 Features, tokens the cells of the last stage in rows, behind the final norm.
        """
        if attention:
            raise ValueError("a RepLKNet has no attention to return")
        images = normalize.renormalize(images, self.normalization)
        x = Stem(self.channels[0], self.lifted, jnp.dtype(self.dtype), name="patch_embed")(
            images, self._hidden(images, visible), self._token(), batch_stats
        )
        rates = drop_rates(self.drop_path, self.drop_path_schedule, sum(self.depths))
        outputs = []
        for number, depth in enumerate(self.depths):
            stage = Stage(
                self._units(number, train, batch_stats, layers),
                (*self.channels[1:], None)[number],
                batch_stats,
                jnp.dtype(self.dtype),
                name=f"stages_{number}",
            )
            first = sum(self.depths[:number])
            x, of_stage = stage(x, rates[first : first + depth])
            outputs += per_block(of_stage, depth) if layers else ()
        x = TrackedBatchNorm(eps=EPS, name="norm")(x, batch_stats)
        return Features(tokens=kept(True, x), layers=tuple(outputs) if layers else None)

    def _hidden(self, images, visible):
        """(B, H, W, 1) bool, which pixels are hidden, or None."""
        grid = convolution.cells(images, self.patch)
        if visible is None:
            return None
        if self.lifted is None:
            raise ValueError(
                "this RepLKNet sees every pixel: `lifted`, a width for its pixels, gives it a "
                "place for a mask"
            )
        if visible.shape[1:] != grid:
            raise ValueError(f"the mask has {visible.shape[1:]} cells, the images have {grid}")
        pixels = jnp.repeat(jnp.repeat(visible, self.patch, axis=1), self.patch, axis=2)
        return ~pixels[..., None]

    def _token(self):
        """The vector of hidden pixels, also where none is, or None."""
        if self.lifted is None:
            return None
        init = nn.initializers.normal(0.02)
        return self.param("mask_token", init, (1, 1, self.lifted), jnp.float32)

    def _units(self, number, train, batch_stats, keep):
        """The units of a stage, one module: x, rates (depth,) -> x, (depth, ...) outputs."""
        body, depth = Unit, self.depths[number]
        if REMAT[self.remat] is not None:
            body = nn.remat(body, policy=REMAT[self.remat], prevent_cse=not self.scan)
        scanned = nn.scan(
            body,
            variable_axes={"params": 0},
            split_rngs={"params": True, "droppath": True},
            in_axes=0,
            length=depth,
            unroll=1 if self.scan else depth,
        )
        return functools.partial(
            scanned,
            self.kernels[number],
            self.small_kernel,
            self.merged,
            self.mlp_ratio,
            drop=train and self.drop_path > 0,
            keep_layers=keep,
            batch_stats=batch_stats,
            dtype=jnp.dtype(self.dtype),
        )


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
        how = dict(groups=width, kernel_init=convolution.TORCH, dtype=self.dtype)
        y = convolution.convolve(x, width, self.size, bias=self.merged, name="conv", **how)
        if self.merged:
            return y.astype(jnp.float32)
        y = TrackedBatchNorm(eps=EPS, name="norm")(y, batch_stats)
        if self.small is None:
            return y
        return y + ConvNorm(width, self.small, **how, name="small")(x, batch_stats)


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


VARIANTS = {
    "replknet_nano": functools.partial(
        RepLKNet, image=32, kernels=(7, 5), depths=(2, 2), channels=(32, 64), small_kernel=3
    ),
    "replknet_31b": functools.partial(RepLKNet),
}
