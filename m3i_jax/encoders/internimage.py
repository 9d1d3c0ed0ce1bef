"""InternImage, the convolutional network of M3I, built on DCNv3.

Wang et al. 2023, https://arxiv.org/abs/2211.05778.

Parameter paths follow the official code: patch_embed/{conv1, norm1, conv2, norm2}, stages_{i}/
{blocks/{norm1, dcn, norm2, mlp, gamma1, gamma2, res_post_norm1, res_post_norm2}, post_norms, norm,
downsample/{conv, norm}}, and projection/{x3, x4} of M3I's map.
"""

import functools
from typing import Annotated, ClassVar

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Bool, Float

from m3i_jax import normalize
from m3i_jax.build import ConfigError
from m3i_jax.encoders.protocol import blank, sides
from m3i_jax.nn.blocks import check_blocks, check_choice, drop_rates
from m3i_jax.nn.choices import DropPathSchedule, Dtype, NormPlace, Remat
from m3i_jax.nn.convolution import cells
from m3i_jax.nn.dcn import NORMS, Form
from m3i_jax.nn.dcn_stages import Projection, Stage, Stem
from m3i_jax.nn.observe import kept, per_block
from m3i_jax.normalize import Normalization
from m3i_jax.ranges import (
    CountOrOff,
    Depth,
    Dropped,
    Epsilon,
    Gain,
    Heads,
    Kernel,
    Pixels,
    Range,
    Ratio,
    Width,
)
from m3i_jax.types import Array, Features, Grid, ObserveAttention, ObserveLayers


class InternImage(nn.Module):
    """InternImage without a head; `VARIANTS` holds the published sizes.

    A block is a DCNv3 layer and an MLP, each a residual branch f normalised in one of the forms
    pre: x + f(LN(x)), post: x + γ LN(f(x)), res_post: x + LN(f(LN(x))).

    Attributes:
      width: C, of the first stage; each further stage has twice that of the one before.
      groups: of the DCNv3 layers of the first stage, doubled likewise.
      depths: blocks of the stages.
      image: side of the images in pixels, or (height, width).
      norm: form of the blocks, "pre", "post" or "res_post".
      layer_scale: start of the factors γ of a branch; None = none.
      post_norms: blocks of the third stage, from 0, that a layer norm follows (H, G).
      centre_scale: DCNv3 blends the centre value in (H, G).
      dw_kernel: side of the depth-wise convolution from which offsets and masks are computed.
      offset_scale: of the DCNv3 grid and offsets.
      mlp_ratio: width of the hidden layer of the MLPs over that of the stage.
      fused: width of M3I's map of the last two stages, which then is the code, at half the
        stride; None = the last stage is the code.
      eps: of the layer norms.
      normalization: of the channels that the weights expect, see `ViT`; the images given are always
        normalised as ImageNet's.
      drop_path: highest stochastic-depth rate.
      drop_path_schedule: how it rises over the blocks, "linear", or not, "uniform".
      dtype: of the products; offsets and masks are float32.
      scan, remat: how the blocks are compiled, see `blocks.stack`; no effect on parameters.
    """

    width: Width
    groups: Heads
    depths: tuple[Depth, ...]
    image: Pixels | tuple[Pixels, Pixels] = 224
    norm: NormPlace = "pre"
    layer_scale: Gain | None = None
    post_norms: tuple[CountOrOff, ...] = ()
    centre_scale: bool = False
    dw_kernel: Kernel = 3
    offset_scale: Annotated[float, Range(0.01, 100)] = 1.0
    mlp_ratio: Ratio = 4.0
    fused: Width | None = None
    eps: Epsilon = 1e-6
    normalization: Normalization = "imagenet"
    drop_path: Dropped = 0.0
    drop_path_schedule: DropPathSchedule = "linear"
    dtype: Dtype = "float32"
    scan: bool = True
    remat: Remat = "none"

    kind: ClassVar[str] = "image"
    masking: ClassVar[str] = ""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the images in pixels."""
        return sides(self.image)

    @property
    def stride(self) -> int:
        """Pixels per cell of the last stage."""
        return 2 ** (len(self.depths) + 1)

    @property
    def patch(self) -> int:
        """Pixels per cell of the codes."""
        return self.stride // 2 if self.fused else self.stride

    @property
    def grid(self) -> Grid:
        """(rows, columns) of the codes."""
        return self.size[0] // self.patch, self.size[1] // self.patch

    @property
    def features(self) -> int:
        """Width of the codes."""
        return self.fused or self.width * 2 ** (len(self.depths) - 1)

    @nn.nowrap
    def example(self) -> Float[Array, "1 height width 3"]:
        """A batch of one, for tracing."""
        return blank(self.size)

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for sizes and options that do not fit together."""
        height, width = self.size
        if height % self.stride or width % self.stride or not height or not width:
            raise ConfigError(f"image {height}x{width} is not divisible by stride {self.stride}")
        if self.width % self.groups or self.width % 2:
            raise ConfigError(
                f"the encoder has width {self.width} and {self.groups} groups; expected an even "
                "width that the groups divide"
            )
        check_choice("the encoder", "norm", self.norm, NORMS)
        normalize.statistics(self.normalization)
        check_blocks(
            "the encoder",
            width=self.width,
            heads=1,
            depth=min(self.depths, default=0),
            dtype=self.dtype,
            remat=self.remat,
            mlp_ratio=self.mlp_ratio,
            drop_path=self.drop_path,
            schedule=self.drop_path_schedule,
        )
        if self.dw_kernel % 2 == 0:
            raise ConfigError(f"the encoder has dw_kernel {self.dw_kernel}, expected an odd number")
        third = self.depths[2] if len(self.depths) > 2 else 0
        if not set(self.post_norms) <= set(range(third)):
            raise ConfigError(
                f"the encoder has post_norms {self.post_norms}, expected numbers of blocks of the "
                f"third stage, from 0 to {third - 1}"
            )
        if self.fused is not None and len(self.depths) < 2:
            raise ConfigError(
                f"the encoder has fused {self.fused}, expected the width of a map made of the "
                "last two stages"
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
        """Encodes images (B, H, W, 3), normalised, of any size that the last stride divides.

        Args:
          visible, keep: refused: a convolution neither passes by a hidden pixel nor knows one.
          train: whether drop path is on, with keys from the stream "droppath".
          layers: also return the cells behind every block, a tuple as stages differ in shape.
          attention: refused.

        Returns:
          float32 Features, tokens the cells of the codes in rows.
        """
        if visible is not None:
            raise ValueError(
                "InternImage sees every pixel: a convolution can neither drop cells nor honestly "
                "mask them. M3I mixes two images and needs no mask tokens, and CIM corrupts the "
                "image instead"
            )
        if attention:
            raise ValueError("InternImage has no attention to return: DCNv3 weighs 9 points each")
        cells(images, self.stride)
        images, form = normalize.renormalize(images, self.normalization), self._form()
        x = Stem(self.width, form, name="patch_embed")(images)
        maps, outputs, rates = [], [], self._rates()
        for number, depth in enumerate(self.depths):
            stage = Stage(
                depth,
                self.groups * 2**number,
                form,
                end_norm=self.norm != "post" or self.centre_scale,
                normed_after=tuple(self.post_norms) if number == 2 else (),
                downsample=number + 1 < len(self.depths),
                drop=train and self.drop_path > 0,
                keep=layers,
                scan=self.scan,
                remat=self.remat,
                name=f"stages_{number}",
            )
            before = sum(self.depths[:number])
            y, x, behind = stage(x, rates[before : before + depth])
            maps.append(y)
            outputs.extend(per_block(behind, depth) if layers else ())
        if self.fused:
            x = Projection(self.fused, form.dtype, name="projection")(*maps[-2:])
        return Features(tokens=kept(True, x), layers=tuple(outputs) if layers else None)

    def _form(self):
        return Form(
            norm=self.norm,
            layer_scale=self.layer_scale,
            mlp_ratio=self.mlp_ratio,
            dw_kernel=self.dw_kernel,
            offset_scale=self.offset_scale,
            centre_scale=self.centre_scale,
            eps=self.eps,
            dtype=jnp.dtype(self.dtype),
        )

    def _rates(self):
        """Drop-path rates of all blocks."""
        return drop_rates(self.drop_path, self.drop_path_schedule, sum(self.depths))


VARIANTS = {
    "internimage_t": functools.partial(InternImage, width=64, groups=4, depths=(4, 4, 18, 4)),
    "internimage_s": functools.partial(
        InternImage, width=80, groups=5, depths=(4, 4, 21, 4), norm="post", layer_scale=1e-5
    ),
    "internimage_b": functools.partial(
        InternImage, width=112, groups=7, depths=(4, 4, 21, 4), norm="post", layer_scale=1e-5
    ),
    "internimage_l": functools.partial(
        InternImage,
        width=160,
        groups=10,
        depths=(5, 5, 22, 5),
        norm="post",
        layer_scale=1e-5,
        offset_scale=2.0,
    ),
    "internimage_xl": functools.partial(
        InternImage,
        width=192,
        groups=12,
        depths=(5, 5, 24, 5),
        norm="post",
        layer_scale=1e-5,
        offset_scale=2.0,
    ),
    "internimage_h": functools.partial(
        InternImage,
        width=320,
        groups=10,
        depths=(6, 6, 32, 6),
        norm="res_post",
        dw_kernel=5,
        centre_scale=True,
        post_norms=(5, 11, 17, 23, 29),
    ),
    "internimage_g": functools.partial(
        InternImage,
        width=512,
        groups=16,
        depths=(2, 2, 48, 4),
        norm="post",
        dw_kernel=5,
        centre_scale=True,
        post_norms=(5, 11, 17, 23, 29, 35, 41, 47),
    ),
}
