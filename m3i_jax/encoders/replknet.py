"""RepLKNet (Ding et al. 2022): depth-wise convolutions with kernels of up to 31×31.

Its units, and how their kernels are merged, are in `nn/large_kernel.py`. Parameter paths:
patch_embed/{lift, conv1, conv2, conv3, conv4}, mask_token, stages_{i}/blocks/{norm1, pw1, large,
small, pw2, norm2, mlp/{fc1, fc2}} with a leading depth axis, stages_{i}/downsample/{pw, dw}, norm;
a convolution with its norm is {conv, norm}.
Ding et al. 2022, https://arxiv.org/abs/2203.06717.
"""

import functools
from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Bool, Float

from m3i_jax import normalize
from m3i_jax.build import ConfigError
from m3i_jax.encoders.protocol import blank, sides
from m3i_jax.nn import convolution
from m3i_jax.nn.blocks import REMAT, check_blocks, drop_rates
from m3i_jax.nn.choices import DropPathSchedule, Dtype, Remat
from m3i_jax.nn.large_kernel import EPS, Stage, Stem, Unit
from m3i_jax.nn.large_kernel import merge as merge  # of the encoder's parameters, for those above
from m3i_jax.nn.norms import TrackedBatchNorm
from m3i_jax.nn.observe import kept, per_block
from m3i_jax.normalize import Normalization
from m3i_jax.ranges import Depth, Dropped, Kernel, Pixels, Ratio, Width
from m3i_jax.types import Array, Features, Grid, ObserveAttention, ObserveLayers

STEM = 4  # pixels per cell behind the stem


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


VARIANTS = {
    "replknet_nano": functools.partial(
        RepLKNet, image=32, kernels=(7, 5), depths=(2, 2), channels=(32, 64), small_kernel=3
    ),
    "replknet_31b": functools.partial(RepLKNet),
}
