"""Swin Transformer V2 (Liu et al. 2022): attention in shifted windows, in stages of halving grids.

Parameter paths follow the official code, one stack of blocks per stage: patch_embed/{proj, norm},
mask_token, stages_{i}/{blocks/{attn/{qkv, q_bias, v_bias, logit_scale, cpb_mlp/{fc1, fc2}, proj},
norm1, mlp/{fc1, fc2}, norm2}, downsample/{reduction, norm}}, norm.
https://arxiv.org/abs/2111.09883
"""

import functools
from typing import Annotated, ClassVar

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Bool, Float

from m3i_jax import geometry, normalize
from m3i_jax.build import ConfigError
from m3i_jax.encoders.protocol import blank, sides
from m3i_jax.nn import windows
from m3i_jax.nn.blocks import REMAT, check_blocks, check_choice, drop_rates
from m3i_jax.nn.choices import Core, DropPathSchedule, Dtype, HideOrNot, Remat
from m3i_jax.nn.linear import Linear
from m3i_jax.nn.norms import LayerNorm
from m3i_jax.nn.observe import per_block
from m3i_jax.nn.swin import EPS, NORMAL, PatchMerging, SwinBlock
from m3i_jax.nn.windows import Windows
from m3i_jax.normalize import Normalization
from m3i_jax.ranges import Depth, Dropped, Heads, Pixels, Range, Ratio, Width
from m3i_jax.types import Array, Features, Grid, ObserveAttention, ObserveLayers

# U(±1/√fan-in), how PyTorch draws a convolution.
CONVOLUTION = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")

Window = Annotated[int, Range(1, 64)]
WindowOrNone = Annotated[int, Range(0, 64)]


class SwinV2(nn.Module):
    """Swin Transformer V2 without a head; `VARIANTS` holds the published sizes.

    A map that the windows do not divide is padded below and right, and nothing attends to padding
    (transformers and detection code let it). A map not larger than the window is one window.

    Attributes:
      width: of the first stage; every further stage doubles it.
      depths, heads: of the stages.
      image: side of the images in pixels, or (height, width).
      stride: side in pixels of the patches that are embedded, the cells of the first stage.
      window: side of the windows in cells, of all stages or of each; 12 at 192 pixels, 14 at 224.
      pretrained_window: side of the windows, of all stages or of each, in which the position bias
        was learned; 0 = those of `image`. After 12 at 192 pixels that is (12, 12, 12, 6).
      shift: whether every second block shifts its windows, in all stages or in each.
      mlp_ratio: width of the hidden layer over the width.
      final_norm: layer norm behind the last block.
      hide: "mask" puts a learned token in the places of hidden patches, behind the norm of the
        patch embedding (SimMIM); "" = no such token.
      normalization: of the channels that the weights expect, see `ViT`; the images given are always
        normalised as ImageNet's.
      drop_path: highest stochastic-depth rate, of all stages.
      drop_path_schedule: how it rises over the blocks, "linear", or not, "uniform".
      dtype: of the products.  scan, remat: how the blocks are compiled, see `blocks.stack`.
      attention: its core, see `attend.CORES`.
    """

    width: Width
    depths: tuple[Depth, ...]
    heads: tuple[Heads, ...]
    image: Pixels | tuple[Pixels, Pixels] = 192
    stride: Pixels = 4
    window: Window | tuple[Window, ...] = 12
    pretrained_window: WindowOrNone | tuple[WindowOrNone, ...] = 0
    shift: bool | tuple[bool, ...] = True
    mlp_ratio: Ratio = 4.0
    final_norm: bool = True
    hide: HideOrNot = "mask"
    normalization: Normalization = "imagenet"
    drop_path: Dropped = 0.0
    drop_path_schedule: DropPathSchedule = "linear"
    dtype: Dtype = "float32"
    scan: bool = True
    remat: Remat = "none"
    attention: Core = "auto"

    kind: ClassVar[str] = "image"

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the images in pixels."""
        return sides(self.image)

    @property
    def patch(self) -> int:
        """Side in pixels of a cell of the last stage, the grid of the codes."""
        return self.stride * 2 ** (len(self.depths) - 1)

    @property
    def grid(self) -> Grid:
        """(rows, columns) of the last stage."""
        return self.size[0] // self.patch, self.size[1] // self.patch

    @property
    def features(self) -> int:
        """Width of the codes."""
        return self.width * 2 ** (len(self.depths) - 1)

    @property
    def masking(self) -> str:
        """What becomes of hidden cells."""
        return self.hide

    @nn.nowrap
    def example(self) -> Float[Array, "1 height width 3"]:
        """A batch of one, for tracing."""
        return blank(self.size)

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for sizes and options that do not fit together."""
        stages = len(self.depths)
        if not stages or len(self.heads) != stages:
            raise ConfigError(
                f"the encoder has depths {self.depths} and heads {self.heads}; "
                "expected one number of each per stage"
            )
        for key in ("window", "pretrained_window", "shift"):
            if len(self._each(key)) != stages:
                raise ConfigError(
                    f"the encoder has {key} {getattr(self, key)}; expected one for all stages, or "
                    f"{stages} of them"
                )
        height, width = self.size
        if height % self.patch or width % self.patch:
            raise ConfigError(
                f"image {height}x{width} is not divisible by {self.patch}: patches of "
                f"{self.stride} pixels are merged two by two behind {stages - 1} stages"
            )
        check_choice("the encoder", "hide", self.hide, ("mask", ""))
        normalize.statistics(self.normalization)
        for number, (depth, heads) in enumerate(zip(self.depths, self.heads, strict=True)):
            check_blocks(
                f"stage {number} of the encoder",
                width=self.width * 2**number,
                heads=heads,
                depth=depth,
                dtype=self.dtype,
                remat=self.remat,
                attention=self.attention,
                mlp_ratio=self.mlp_ratio,
                drop_path=self.drop_path,
                schedule=self.drop_path_schedule,
            )

    @nn.nowrap
    def windows(self, *, size: tuple[int, int] | None = None) -> tuple[Windows, ...]:
        """How each block cuts its map, for images of `size` pixels (None = `image`).

        With `nn.windows.cells` this places the attention weights on the image: the windows of
        block i are those of `windows()[i]`, in order.
        """
        stages = self._stages(size or self.size)
        return tuple(
            cut if number % 2 else cut._replace(shift=(0, 0))
            for cut, depth in zip(stages, self.depths, strict=True)
            for number in range(depth)
        )

    @nn.compact
    def __call__(
        self,
        images: Float[Array, "batch height width 3"],
        *,
        visible: Bool[Array, "batch rows columns"] | None = None,
        keep: int | None = None,
        train: bool = False,
        layers: ObserveLayers = False,
        attention: ObserveAttention = False,
    ) -> Features:
        """Encodes images, seen through a mask.

        Args:
          images: (B, H, W, 3), normalised; of any size that `patch` divides.
          visible: (B, h, w) bool on the grid of the codes; hidden pixels have no influence.
          keep: the number of visible cells; not needed, as nothing is dropped.
          train: whether drop path is on, with keys from the stream "droppath".
          layers: also return the tokens behind every block, (B, n, D) in row-major order of the
            map (whatever its windows), before the final norm.
          attention: also return the attention weights of every block, (B, windows, heads, q, k);
            `windows` says where they are. A function, here or there, is an observer, see
            `ImageEncoder`; `Scores` say where the windows are.

        Returns:
          float32 Features of the last stage; `layers` and `attention` are tuples, one per block.
        """
        cuts = self._stages(images.shape[1:3])
        learned = self._stages(self.size)
        pretrained = self._each("pretrained_window")
        x = self._tokens(normalize.renormalize(images, self.normalization), visible)
        outputs, weights, before = (), (), 0
        for number, depth in enumerate(self.depths):
            side = pretrained[number]
            stage = Stage(
                depth=depth,
                heads=self.heads[number],
                windows=cuts[number],
                reference=(side, side) if side else learned[number].size,
                downsample=number + 1 < len(self.depths),
                mlp_ratio=self.mlp_ratio,
                drop=train and self.drop_path > 0,
                scan=self.scan,
                remat=self.remat,
                attention=self.attention,
                keep_layers=layers,
                keep_attention=attention,
                dtype=jnp.dtype(self.dtype),
                name=f"stages_{number}",
            )
            x, kept = stage(x, self._rates()[before : before + depth])
            outputs, weights, before = outputs + kept[0], weights + kept[1], before + depth
        x = x.reshape(x.shape[0], -1, x.shape[-1])
        return Features(
            tokens=LayerNorm(EPS, name="norm")(x) if self.final_norm else x,
            layers=outputs if layers else None,
            attention=weights if attention else None,
        )

    def _tokens(self, images, visible):
        """Embedded patches with their norm, (B, h, w, D) float32, the hidden ones replaced."""
        x = PatchEmbed(self.width, self.stride, jnp.dtype(self.dtype), name="patch_embed")(images)
        if self.hide == "mask":
            # Asked for in any case, so that the parameters do not depend on there being a mask.
            token = self.param("mask_token", NORMAL, (1, 1, self.width), jnp.float32)
        if visible is None:
            return x
        if self.hide != "mask":
            raise ValueError("this SwinV2 has no mask token and cannot hide cells: hide is ''")
        grid = tuple(side // self.patch for side in images.shape[1:3])
        if visible.shape[1:] != grid:
            raise ValueError(f"the mask has {visible.shape[1:]} cells, the images have {grid}")
        cell = self.patch // self.stride
        seen = jnp.repeat(jnp.repeat(visible, cell, axis=1), cell, axis=2)
        return jnp.where(seen[..., None], x, token[None])

    def _stages(self, size):
        """The windows of every stage for images of these pixels, with the shift of odd blocks."""
        height, width = size
        if height % self.patch or width % self.patch or not height or not width:
            raise ValueError(f"images are {height}x{width}, which is not divisible by {self.patch}")
        cuts = []
        for number, window in enumerate(self._each("window")):
            cell = self.stride * 2**number
            shift = self._each("shift")[number]
            cuts.append(windows.fit((height // cell, width // cell), window, shift=shift))
        return tuple(cuts)

    def _rates(self):
        """Drop-path rates of all blocks."""
        return drop_rates(self.drop_path, self.drop_path_schedule, sum(self.depths))

    def _each(self, key):
        """A field that is one value for all stages or one per stage, as one per stage."""
        value = getattr(self, key)
        return (value,) * len(self.depths) if isinstance(value, int) else tuple(value)


class PatchEmbed(nn.Module):
    """Linear map of patches and its layer norm."""

    width: int
    stride: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, images: Float[Array, "batch height width 3"]) -> Array:
        """images (B, H, W, 3) -> (B, h, w, D) float32."""
        batch, height, width = images.shape[:3]
        patches = geometry.patchify(images, self.stride)
        x = Linear(self.width, True, CONVOLUTION, self.dtype, name="proj")(patches)
        x = LayerNorm(EPS, name="norm")(x)
        return x.reshape(batch, height // self.stride, width // self.stride, self.width)


class Stage(nn.Module):
    """Blocks over one map, their parameters stacked in order, and the merging that ends it."""

    depth: int
    heads: int
    windows: Windows
    reference: Grid
    downsample: bool
    mlp_ratio: float
    drop: bool
    scan: bool
    remat: str
    attention: str
    keep_layers: ObserveLayers
    keep_attention: ObserveAttention
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Array, rates: Array) -> tuple[Array, tuple[tuple, tuple]]:
        """x (B, h, w, D), rates (depth,) -> the next map and (layers, attention), one per block."""
        body = SwinBlock
        if REMAT[self.remat] is not None:
            # As in `blocks.stack`: only what is unrolled could be merged with its recomputation.
            body = nn.remat(body, policy=REMAT[self.remat], prevent_cse=not self.scan)
        blocks = nn.scan(
            body,
            variable_axes={"params": 0},
            split_rngs={"params": True, "droppath": True},
            in_axes=(0, 0),
            length=self.depth,
            unroll=1 if self.scan else self.depth,
        )(
            heads=self.heads,
            windows=self.windows,
            reference=self.reference,
            mlp_ratio=self.mlp_ratio,
            drop=self.drop,
            keep_layers=self.keep_layers,
            keep_attention=self.keep_attention,
            core=self.attention,
            dtype=self.dtype,
            name="blocks",
        )
        x, (outputs, weights) = blocks(x, rates, jnp.arange(self.depth) % 2 == 1)
        kept = (
            per_block(outputs, self.depth) if self.keep_layers else (),
            per_block(weights, self.depth) if self.keep_attention else (),
        )
        if self.downsample:
            x = PatchMerging(self.dtype, name="downsample")(x)
        return x, kept


VARIANTS = {
    "swin_v2_t": functools.partial(SwinV2, width=96, depths=(2, 2, 6, 2), heads=(3, 6, 12, 24)),
    "swin_v2_s": functools.partial(SwinV2, width=96, depths=(2, 2, 18, 2), heads=(3, 6, 12, 24)),
    "swin_v2_b": functools.partial(SwinV2, width=128, depths=(2, 2, 18, 2), heads=(4, 8, 16, 32)),
    "swin_v2_l": functools.partial(SwinV2, width=192, depths=(2, 2, 18, 2), heads=(6, 12, 24, 48)),
}
