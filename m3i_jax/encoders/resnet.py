"""Residual networks (He et al. 2016) as torchvision has them, for large and for small images.

Parameter paths: patch_embed/{conv, norm}, stages_{i}/blocks_{j}/{conv1, norm1, conv2, norm2,
conv3, norm3, downsample/{conv, norm}}. The stride of a bottleneck is in its 3×3 convolution (v1.5),
and kernels are Kaiming-normal over fan-out. He et al. 2016, https://arxiv.org/abs/1512.03385.
"""

import functools
from typing import Annotated, Any, ClassVar

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Bool, Float

from m3i_jax import normalize
from m3i_jax.build import ConfigError
from m3i_jax.encoders.protocol import blank, sides
from m3i_jax.nn.blocks import REMAT, DropPath, check_blocks, check_choice, drop_rates
from m3i_jax.nn.choices import DropPathSchedule, Dtype, Remat
from m3i_jax.nn.convolution import ConvNorm, cells, convolve
from m3i_jax.nn.norms import TrackedBatchNorm
from m3i_jax.nn.observe import kept
from m3i_jax.normalize import Normalization
from m3i_jax.parallel.constrain import batch_sharded
from m3i_jax.ranges import Blocks, Dropped, Pixels, Range, Width
from m3i_jax.texts import OneOf
from m3i_jax.types import Array, Features, Grid, ObserveAttention, ObserveLayers

# Width of a block's result over that of its 3×3 convolutions; pixels per cell behind the stem.
EXPANSION = {"bottleneck": 4, "basic": 1}
STEMS = {"imagenet": 4, "small": 1}


class ResNet(nn.Module):
    """Residual network without a head; `VARIANTS` holds the published sizes.

    Attributes:
      depths: blocks of the stages; each stage after the first halves the map.
      block: "bottleneck", 1×1, 3×3, 1×1 to four times the width; or "basic", two 3×3.
      width: of the first stage; each further stage has twice that of the one before.
      stem: "imagenet", a 7×7 convolution and a max-pool, to a quarter of the size; or "small", a
        3×3 convolution at full size.
      output_stride: pixels per cell of the last stages, at most. Instead of halving the map
        further, a stage has holes in its kernels, twice as wide as those before (the backbones of
        FCN and DeepLab, Chen et al. 2017, https://arxiv.org/abs/1706.05587); weights stay.
      zero_init: the last norm of every block starts at zero, so that blocks start as identities.
      image: side of the images in pixels, or (height, width).
      normalization: of the channels that the weights expect, see `ViT`; the images given are always
        normalised as ImageNet's.
      drop_path: highest stochastic-depth rate.
      drop_path_schedule: how it rises over the blocks, "linear", or not, "uniform".
      dtype: of the convolutions.
      remat: what the backward pass recomputes, see `blocks.stack`; no effect on parameters.
    """

    depths: tuple[Blocks, ...] = (3, 4, 6, 3)
    block: Annotated[str, OneOf(*EXPANSION)] = "bottleneck"
    width: Width = 64
    stem: Annotated[str, OneOf(*STEMS)] = "imagenet"
    output_stride: Annotated[int, Range(8, 32)] = 32
    zero_init: bool = False
    image: Pixels | tuple[Pixels, Pixels] = 224
    normalization: Normalization = "imagenet"
    drop_path: Dropped = 0.0
    drop_path_schedule: DropPathSchedule = "linear"
    dtype: Dtype = "float32"
    remat: Remat = "none"

    kind: ClassVar[str] = "image"
    masking: ClassVar[str] = ""
    has_batch_stats: ClassVar[bool] = True

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the images in pixels."""
        return sides(self.image)

    @property
    def patch(self) -> int:
        """Pixels per cell of the last stage."""
        return self.reach[-1]

    @property
    def reach(self) -> tuple[int, ...]:
        """Pixels per cell of each stage."""
        most = max(self.output_stride, STEMS[self.stem])
        return tuple(min(STEMS[self.stem] * 2**i, most) for i in range(len(self.depths)))

    @property
    def grid(self) -> Grid:
        """(rows, columns) of the last stage."""
        return self.size[0] // self.patch, self.size[1] // self.patch

    @property
    def features(self) -> int:
        """Width of the codes."""
        return self.width * 2 ** (len(self.depths) - 1) * EXPANSION[self.block]

    @nn.nowrap
    def example(self) -> Float[Array, "1 height width 3"]:
        """A batch of one, for tracing."""
        return blank(self.size)

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for sizes and options that do not fit together."""
        normalize.statistics(self.normalization)
        check_choice("the encoder", "block", self.block, EXPANSION)
        check_choice("the encoder", "stem", self.stem, STEMS)
        if self.output_stride not in (8, 16, 32):
            raise ConfigError(
                f"config.encoder.output_stride is {self.output_stride}, expected 8, 16 or 32"
            )
        check_blocks(
            "the encoder",
            width=self.width,
            heads=1,
            depth=min(self.depths, default=0),
            dtype=self.dtype,
            remat=self.remat,
            drop_path=self.drop_path,
            schedule=self.drop_path_schedule,
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
          visible, keep: refused: no convolution passes by a hidden pixel.
          train: whether drop path is on, with keys from the stream "droppath".
          batch_stats: 0 normalises by the running statistics, see `TrackedBatchNorm`.
          layers: also return the cells behind every block, a tuple as stages differ in shape.
          attention: refused.

        Returns:
          float32 Features, tokens the cells of the last stage in rows.
        """
        if visible is not None:
            raise ValueError("a ResNet sees every pixel; patches can be hidden from a ViT")
        if attention:
            raise ValueError("a ResNet has no attention to return")
        cells(images, self.patch)
        images = normalize.renormalize(images, self.normalization)
        x, outputs = self._stem(images, batch_stats), []
        rates = drop_rates(self.drop_path, self.drop_path_schedule, sum(self.depths))
        # How much further kernels reach than their cells, where a stage does not halve the map.
        whole = [STEMS[self.stem] * 2**number for number in range(len(self.depths))]
        spread = [1, *(a // b for a, b in zip(whole, self.reach, strict=True))]
        cell = STEMS[self.stem]
        for number, depth in enumerate(self.depths):
            stage = Stage(
                depth,
                self.reach[number] // cell,
                (spread[number], spread[number + 1]),
                functools.partial(
                    _block(self.remat),
                    self.block,
                    self.width * 2**number,
                    zero_init=self.zero_init,
                    drop=train and self.drop_path > 0,
                    batch_stats=batch_stats,
                    dtype=jnp.dtype(self.dtype),
                ),
                name=f"stages_{number}",
            )
            blocks = stage(x, rates[len(outputs) : len(outputs) + depth])
            x, outputs, cell = blocks[-1], outputs + blocks, self.reach[number]
        observed = tuple(kept(layers, y) for y in outputs) if layers else None
        return Features(tokens=kept(True, x), layers=observed)

    def _stem(self, images, batch_stats):
        """(B, H, W, 3) -> (B, H/4, W/4, width), or at full size."""
        small = self.stem == "small"
        size, stride = (3, 1) if small else (7, 2)
        stem = ConvNorm(self.width, size, stride, dtype=jnp.dtype(self.dtype), name="patch_embed")
        x = nn.relu(stem(images, batch_stats))
        return x if small else nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))


class Stage(nn.Module):
    """`depth` blocks, the first of them with the stride, and with the holes of the stage before."""

    depth: int
    stride: int
    dilations: tuple[int, int]
    block: Any

    @nn.compact
    def __call__(self, x: Array, rates: Array) -> list[Array]:
        """x (B, H, W, C) and a drop-path rate per block -> what each block returns."""
        outputs = []
        for i in range(self.depth):
            stride, dilation = (1 if i else self.stride), self.dilations[bool(i)]
            block = self.block(stride=stride, dilation=dilation, name=f"blocks_{i}")
            x = block(x, rates[i])
            outputs.append(x)
        return outputs


class Block(nn.Module):
    """relu(shortcut(x) + branch(x)), the branch convolutions with norms and ReLUs between."""

    kind: str
    width: int
    stride: int
    dilation: int
    zero_init: bool
    drop: bool
    batch_stats: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array, rate: Array) -> Array:
        """x (B, H, W, C) float32 -> (B, H/stride, W/stride, width · expansion) float32."""
        x = batch_sharded(x)
        y = x
        for i, (features, size, stride) in enumerate(self._layers(), 1):
            y = nn.relu(y) if i > 1 else y
            spread = self.dilation if size > 1 else 1
            y = convolve(
                y, features, size, stride=stride, dilation=spread, dtype=self.dtype, name=f"conv{i}"
            )
            last = i == len(self._layers())
            norm = TrackedBatchNorm(zero_scale=last and self.zero_init, name=f"norm{i}")
            y = norm(y, self.batch_stats)
        if self.drop:
            y = DropPath(name="drop_path")(y, rate)
        if x.shape != y.shape:
            shortcut = ConvNorm(
                y.shape[-1], stride=self.stride, dtype=self.dtype, name="downsample"
            )
            x = shortcut(x, self.batch_stats)
        return nn.relu(x + y)

    def _layers(self):
        """(features, size, stride) of the convolutions."""
        if self.kind == "basic":
            return (self.width, 3, self.stride), (self.width, 3, 1)
        wide = self.width * EXPANSION[self.kind]
        return (self.width, 1, 1), (self.width, 3, self.stride), (wide, 1, 1)


def _block(remat: str) -> Any:
    """The class of the blocks, that recomputes what `remat` says."""
    return Block if REMAT[remat] is None else nn.remat(Block, policy=REMAT[remat])


VARIANTS = {
    "resnet_nano": functools.partial(
        ResNet, image=32, depths=(2, 2, 2), block="basic", width=16, stem="small"
    ),
    "resnet18": functools.partial(ResNet, depths=(2, 2, 2, 2), block="basic"),
    "resnet34": functools.partial(ResNet, block="basic"),
    "resnet50": functools.partial(ResNet),
    "resnet101": functools.partial(ResNet, depths=(3, 4, 23, 3)),
}
