"""The pixel decoder of Mask2Former: three maps attend to each other, and complete the finest.

Cheng et al. 2022, section 4.1, https://arxiv.org/abs/2112.01527; its encoder is that of Deformable
DETR (Zhu et al. 2021, https://arxiv.org/abs/2010.04159).
"""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Float

from m3i_jax import geometry
from m3i_jax.nn.convolution import convolve
from m3i_jax.nn.group_norm import ConvGroupNorm
from m3i_jax.nn.query_layers import DeformableEncoder
from m3i_jax.types import Array

CAFFE = nn.initializers.variance_scaling(1.0, "fan_in", "uniform")
UNIT = nn.initializers.normal(1.0)


def flattened(maps: Sequence[Float[Array, "batch _rows _columns dim"]]) -> Array:
    """Cells of all maps, row-major, one map after the other: (B, Σ h w, D)."""
    return jnp.concatenate([y.reshape(len(y), -1, y.shape[-1]) for y in maps], axis=1)


def positioned(
    grids: Sequence[tuple[int, int]],
    levels: Float[Array, "levels dim"],
    *,
    temperature: float = 10_000.0,
    part: Float[Array, "batch 2"] | None = None,
) -> Float[Array, "#batch tokens dim"]:
    """Sine positions of all cells of all levels, to which that of their level is added.

    part: of the rows and columns that are image, see `geometry.grid_waves`.
    """
    how = dict(temperature=temperature, part=part)
    each = [geometry.grid_waves(grid, levels.shape[-1], **how) for grid in grids]
    return jnp.concatenate([y + levels[i][None, None] for i, y in enumerate(each)], axis=1)


class PixelDecoder(nn.Module):
    """Coarser maps x_2, x_3, x_4 attend to each other, and complete x_1, the finest.

        y_4, y_3, y_2 = encoder(GN(f1(x_4)), GN(f1(x_3)), GN(f1(x_2)))
        y_1 = relu(GN(f3(GN(f1(x_1)) + resized y_2)))        m = f1(y_1)

    f1, f3: convolutions 1×1 and 3×3.

    Attributes:
      width: of the maps; mask_width: of m, what masks are products with.
      layers, heads, hidden: of the encoder.
      dtype: of products.
    """

    width: int
    mask_width: int
    layers: int
    heads: int
    hidden: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, maps: Sequence[Float[Array, "batch _rows _columns _dim"]]
    ) -> tuple[
        Float[Array, "batch rows columns out"], list[Float[Array, "batch _rows _columns dim"]]
    ]:
        """Four maps (B, h_i, w_i, D_i), finest first -> m, and [y_4, y_3, y_2], all float32.

        m is (B, h_1, w_1, mask_width), the others (B, h_i, w_i, width).
        """
        finest, *coarser = maps
        given, y = dict(dtype=self.dtype), []
        for i, x in enumerate(coarser[::-1]):
            y.append(ConvGroupNorm(self.width, bias=True, **given, name=f"inputs_{i}")(x))
        grids = tuple(x.shape[1:3] for x in y)
        level = self.param("level_embed", UNIT, (len(y), self.width), jnp.float32)
        own = self.layers, self.heads, self.hidden, grids, self.dtype
        encoder = DeformableEncoder(*own, name="encoder")
        cells = encoder(flattened(y), positioned(grids, level))
        y, start = [], 0
        for rows, columns in grids:
            part = cells[:, start : start + rows * columns]
            y.append(part.reshape(len(part), rows, columns, self.width))
            start += rows * columns
        given |= {"kernel_init": CAFFE}
        top = ConvGroupNorm(self.width, **given, name="lateral")(finest)
        top = top + geometry.bilinear(y[-1], top.shape[1:3])
        top = nn.relu(ConvGroupNorm(self.width, 3, **given, name="output")(top))
        return convolve(top, self.mask_width, 1, bias=True, **given, name="mask_features"), y
