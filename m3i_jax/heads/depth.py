"""Depth of every pixel: from deconvolutions through a sigmoid, or as a mean of bins.

Xie et al. 2022, appendix F, https://arxiv.org/abs/2205.13543, with the constants of
https://github.com/SwinTransformer/MIM-Depth-Estimation; and the linear head of DINOv2 (Oquab et al.
2023, section 7.4, https://arxiv.org/abs/2304.07193) and DINOv3 (Siméoni et al. 2025,
https://arxiv.org/abs/2508.10104), after AdaBins (Bhat et al. 2021,
https://arxiv.org/abs/2011.14141).
"""

from typing import Annotated, ClassVar

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from m3i_jax import geometry
from m3i_jax.build import ConfigError
from m3i_jax.heads.deconvolutions import SMALL
from m3i_jax.heads.linear import NORMS, Norm
from m3i_jax.heads.maps import MapNumber, joined, one
from m3i_jax.nn.blocks import DTYPES, check_choice
from m3i_jax.nn.choices import Dtype
from m3i_jax.nn.convolution import ConvNorm, convolve
from m3i_jax.nn.deconvolution import DeconvolutionNorm
from m3i_jax.nn.linear import Linear
from m3i_jax.nn.norms import TrackedBatchNorm
from m3i_jax.ranges import Positive, Range, Width
from m3i_jax.types import Array, Features

DOUBLINGS = 2  # bilinear, behind the deconvolutions
LEAST_WEIGHT = 0.1  # of a bin, so that none is out of reach of the gradient


class DepthDeconvolutions(nn.Module):
    """d = max_depth σ(f3(relu(f3(resized(h))))), h = f(g(... g(x))).

    g: a deconvolution 2×2 of stride 2, a batch norm, a ReLU; f the same with a convolution 3×3, and
    f3 such a convolution alone. The map is resized twice, each time to double the size.

    Attributes:
      out: numbers of a pixel, 1 for depth.
      layers: deconvolutions: 3 for a map of stride 32, so that depth is of every pixel.
      hidden: width of the deconvolutions.
      width: of the convolutions, that of the encoder's first stage (Swin-B: 128).
      max_depth: in metres (NYU: 10, KITTI: 80).
      map: number of the map, negative ones from the last.
      dtype: of the products but the last.
    """

    out: Width
    layers: Annotated[int, Range(1, 5)] = 3
    hidden: Width = 32
    width: Width = 128
    max_depth: Positive = 10.0
    map: MapNumber = -1
    dtype: Dtype = "float32"

    geometry_inputs: ClassVar[tuple[str, ...]] = ()
    norm: ClassVar[str] = "running"

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for an unknown option."""
        check_choice("the depth_deconvolutions head", "dtype", self.dtype, DTYPES)

    @nn.compact
    def __call__(
        self, x: Features, *, train: bool = False
    ) -> Float[Array, "batch _rows _columns out"]:
        """A map (B, h, w, D) -> metres (B, 2^(layers + 2) h, 2^(layers + 2) w, out) float32.

        train: whether statistics are those of the batch.
        """
        y, stats = one(x, self.map, what="the depth_deconvolutions head"), int(train)
        given = dict(kernel_init=SMALL, dtype=jnp.dtype(self.dtype))
        for i in range(self.layers):
            y = DeconvolutionNorm(self.hidden, size=2, **given, name=f"layers_{i}")(y, stats)
            y = nn.relu(y)
        y = nn.relu(ConvNorm(self.width, 3, **given, name="conv")(y, stats))
        for _ in range(DOUBLINGS):
            y = geometry.bilinear(y, (2 * y.shape[1], 2 * y.shape[2]))
        y = nn.relu(convolve(y, self.width, 3, bias=True, **given, name="last"))
        y = convolve(y, self.out, 3, bias=True, kernel_init=SMALL, name="head")
        return self.max_depth * nn.sigmoid(y)


class DepthBins(nn.Module):
    """d = Σ_k w_k d_k, w_k = (relu(z_k) + .1) / Σ_j (relu(z_j) + .1), z = W BN(x) + b.

    Attributes:
      out: numbers of a pixel, 1 for depth.
      bins: number of depths d_k, at equal distances from `min_depth` to `max_depth`.
      min_depth, max_depth: in metres (NYU: 10 at most).
      maps: numbers of the maps, negative ones from the last; several are resized to the largest
        of them, and their channels stand side by side (DINOv2: those of four blocks).
      scale: how much larger the map is made in front of the product (DINOv2: 4).
      norm: "running", a batch norm with running statistics (DINOv3); or "none" (DINOv2).
      dtype: of nothing here: the only product makes weights of bins, in float32.
    """

    out: Width
    bins: Annotated[int, Range(2, 4096)] = 256
    min_depth: Positive = 0.001
    max_depth: Positive = 10.0
    maps: tuple[MapNumber, ...] = (-1,)
    scale: Annotated[int, Range(1, 16)] = 1
    norm: Norm = "running"
    dtype: Dtype = "float32"

    geometry_inputs: ClassVar[tuple[str, ...]] = ()

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for an unknown option, no map, and depths that do not ascend."""
        check_choice("the depth_bins head", "norm", self.norm, NORMS)
        check_choice("the depth_bins head", "dtype", self.dtype, DTYPES)
        if not self.maps:
            raise ConfigError("the depth_bins head reads no map; maps=(-1,) is the last")
        if self.min_depth >= self.max_depth:
            raise ConfigError(
                f"the depth_bins head has min_depth {self.min_depth:g} and max_depth "
                f"{self.max_depth:g}; expected a larger max_depth"
            )

    @nn.compact
    def __call__(
        self, x: Features, *, train: bool = False
    ) -> Float[Array, "batch _rows _columns out"]:
        """Maps (B, h, w, D) -> metres (B, scale h, scale w, out) float32.

        train: whether statistics are those of the batch.
        """
        y = joined(x, self.maps, what="the depth_bins head")
        if self.norm == "running":
            y = TrackedBatchNorm(name="norm")(y, int(train))
        batch, height, width, _ = y.shape
        y = geometry.bilinear(y, (self.scale * height, self.scale * width))
        y = Linear(self.out * self.bins, kernel_init=nn.initializers.normal(0.01), name="head")(y)
        weights = nn.relu(y.reshape(*y.shape[:3], self.out, self.bins)) + LEAST_WEIGHT
        depths = jnp.linspace(self.min_depth, self.max_depth, self.bins)
        mean = jnp.einsum("bhwok,k->bhwo", weights, depths, precision="highest")
        return mean / weights.sum(-1)
