"""Heat maps of joints from the last map of an encoder: by deconvolutions, or resized.

Xiao et al. 2018 (Simple Baselines), https://arxiv.org/abs/1804.06208, and both decoders of ViTPose,
Xu et al. 2022, https://arxiv.org/abs/2204.12484.
"""

from typing import Annotated, ClassVar

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from m3i_jax import geometry
from m3i_jax.heads.maps import MapNumber, one
from m3i_jax.nn.blocks import DTYPES, check_choice
from m3i_jax.nn.choices import Dtype
from m3i_jax.nn.convolution import convolve
from m3i_jax.nn.deconvolution import DeconvolutionNorm
from m3i_jax.nn.linear import Linear
from m3i_jax.ranges import Range, Width
from m3i_jax.types import Array, Features

SMALL = nn.initializers.normal(0.001)
TIMES = 4


class Deconvolutions(nn.Module):
    """y = W g(... g(x)) + b, g a deconvolution 4×4 of stride 2, a batch norm and a ReLU.

    Attributes:
      out: width of y, the number of joints.
      layers: deconvolutions: with 3 for a map of stride 32, and 2 for one of stride 16, heat maps
        have a quarter of the image's sides.
      width: of the deconvolutions.
      map: number of the map, negative ones from the last.
      dtype: of the products but the last.
    """

    out: Width
    layers: Annotated[int, Range(1, 5)] = 3
    width: Width = 256
    map: MapNumber = -1
    dtype: Dtype = "float32"

    geometry_inputs: ClassVar[tuple[str, ...]] = ()
    norm: ClassVar[str] = "running"

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for an unknown option."""
        check_choice("the deconvolutions head", "dtype", self.dtype, DTYPES)

    @nn.compact
    def __call__(
        self, x: Features, *, train: bool = False
    ) -> Float[Array, "batch _rows _columns out"]:
        """A map (B, h, w, D) -> (B, 2^layers h, 2^layers w, out) float32.

        train: whether statistics are those of the batch.
        """
        y = one(x, self.map, what="the deconvolutions head")
        for i in range(self.layers):
            given = dict(size=4, kernel_init=SMALL, dtype=jnp.dtype(self.dtype))
            y = nn.relu(DeconvolutionNorm(self.width, **given, name=f"layers_{i}")(y, int(train)))
        return Linear(self.out, kernel_init=SMALL, name="head")(y)


class SimpleDecoder(nn.Module):
    """y = W ∗ resized(relu(x)) + b, a convolution 3×3 of a map four times as large.

    Attributes:
      out: width of y, the number of joints.
      map: number of the map, negative ones from the last; of stride 16, heat maps have a quarter
        of the image's sides.
      dtype: of the product.
    """

    out: Width
    map: MapNumber = -1
    dtype: Dtype = "float32"

    geometry_inputs: ClassVar[tuple[str, ...]] = ()

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for an unknown option."""
        check_choice("the simple_decoder head", "dtype", self.dtype, DTYPES)

    @nn.compact
    def __call__(
        self, x: Features, *, train: bool = False
    ) -> Float[Array, "batch _rows _columns out"]:
        """A map (B, h, w, D) -> (B, 4h, 4w, out) float32."""
        y = nn.relu(one(x, self.map, what="the simple_decoder head"))
        y = geometry.bilinear(y, (TIMES * y.shape[1], TIMES * y.shape[2]))
        given = dict(bias=True, kernel_init=SMALL, dtype=jnp.dtype(self.dtype))
        return convolve(y, self.out, 3, **given, name="head").astype(jnp.float32)
