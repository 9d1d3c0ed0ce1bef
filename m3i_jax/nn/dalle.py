"""What both halves of DALL-E's discrete VAE are made of.

Ramesh et al. 2021, appendix A, https://arxiv.org/abs/2102.12092; docs/methods.md#visual-tokens.
"""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Float

from m3i_jax.build import ConfigError
from m3i_jax.nn.blocks import DTYPES, check_choice
from m3i_jax.nn.convolution import convolve
from m3i_jax.parallel.constrain import batch_sharded
from m3i_jax.types import Array

# Pixels are kept off 0 and 1, where the logit of their logit-Laplace distribution is infinite.
EPS = 0.1
# N(0, 1/(n_in k²)).
NORMAL = nn.initializers.variance_scaling(1.0, "fan_in", "normal")


def map_pixels(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """x' = (1 − 2ε) x + ε, any shape: [0, 1] -> [0.1, 0.9]."""
    return (1 - 2 * EPS) * x + EPS


def unmap_pixels(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """x = clip((x' − ε)/(1 − 2ε), 0, 1), the inverse of `map_pixels`."""
    return jnp.clip((x - EPS) / (1 - 2 * EPS), 0.0, 1.0)


def gain(depths: tuple) -> float:
    """What every branch is multiplied with, 1/(number of blocks)²: 1/64."""
    return 1 / sum(depths) ** 2


class Stage(nn.Module):
    """`depth` blocks of one width; what halves or doubles the map between stages is outside.

    Attributes:
      depth, width: number of blocks, and channels of what each returns.
      kernels: sides of the convolutions of a branch.
      gain: of a branch.
      dtype: of the convolutions.
    """

    depth: int
    width: int
    kernels: tuple
    gain: float
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> list[Float[Array, "batch height width out"]]:
        """x (B, H, W, C) -> what each block returns, (B, H, W, width) float32."""
        outputs = []
        for i in range(self.depth):
            x = Block(self.width, self.kernels, self.gain, self.dtype, name=f"blocks_{i}")(x)
            outputs.append(x)
        return outputs


class Block(nn.Module):
    """shortcut(x) + gain · branch(x); the branch is convolutions with a ReLU in front of each.

    The branch is a quarter as wide. The shortcut is a 1×1 convolution where the width changes, else
    the identity.
    """

    width: int
    kernels: tuple
    gain: float
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch height width out"]:
        """x (B, H, W, C) -> (B, H, W, width) float32."""
        conv = dict(bias=True, kernel_init=NORMAL, dtype=self.dtype)
        x = y = batch_sharded(x)
        for i, size in enumerate(self.kernels, 1):
            width = self.width if i == len(self.kernels) else self.width // 4
            y = convolve(nn.relu(y), width, size, name=f"conv{i}", **conv)
        if x.shape[-1] != self.width:
            x = convolve(x, self.width, 1, name="shortcut", **conv)
        return x.astype(jnp.float32) + self.gain * y.astype(jnp.float32)


def check_sizes(what: str, *, vocabulary: int, width: int, depths: tuple, dtype: str) -> None:
    """Raises ConfigError for sizes that no half of a dVAE can have; `what` names the half."""
    if min(depths, default=0) < 1:
        raise ConfigError(f"{what} has depths {depths}, expected one block or more in each stage")
    if width < 4 or width % 4:
        raise ConfigError(f"{what} has width {width}, expected a multiple of 4")
    if vocabulary < 2:
        raise ConfigError(f"{what} has a vocabulary of {vocabulary}, expected two tokens or more")
    check_choice(what, "dtype", dtype, DTYPES)
