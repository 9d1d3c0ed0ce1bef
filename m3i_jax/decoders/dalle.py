"""The decoder of DALL-E's discrete VAE: visual tokens to images, for CIM.

Ramesh et al. 2021, appendix A, https://arxiv.org/abs/2102.12092; docs/methods.md#visual-tokens.

Parameter paths: embed, stages_{i}/blocks_{j}/{conv1, conv2, conv3, conv4, shortcut}, head; each a
convolution with kernel and bias.
"""

from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from m3i_jax import geometry, ranges
from m3i_jax.build import ConfigError
from m3i_jax.nn import dalle
from m3i_jax.nn.choices import Dtype
from m3i_jax.nn.linear import Linear, dot
from m3i_jax.ranges import Blocks, Width
from m3i_jax.types import Array, Features, Grid

KERNELS = (1, 3, 3, 3)
CHANNELS = 3


class DalleDecoder(nn.Module):
    """The image that visual tokens describe: rgb = unmap(sigmoid(location)), in [0, 1].

    The network says the location and the log-scale of a logit-Laplace distribution of every pixel
    and channel; an image is made of the locations.

    Attributes:
      vocabulary: number of visual tokens.
      embed: width of a token's row in the table.
      width: of the last stage; each stage before has twice that of the one behind.
      depths: blocks of the stages, between which every cell is doubled.
      dtype: of the convolutions; the table of the tokens is float32.
    """

    vocabulary: ranges.Vocabulary = 8192
    embed: Width = 128
    width: Width = 256
    depths: tuple[Blocks, ...] = (2, 2, 2, 2)
    dtype: Dtype = "float32"

    geometry_inputs: ClassVar[tuple[str, ...]] = ("grid",)

    @property
    def patch(self) -> int:
        """Side of a token, in pixels of the image that is made."""
        return 2 ** (len(self.depths) - 1)

    @property
    def out(self) -> int:
        """Width of the result: the values of a token's pixels."""
        return self.patch**2 * CHANNELS

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for sizes and options that do not fit together."""
        sizes = dict(vocabulary=self.vocabulary, width=self.width, depths=self.depths)
        dalle.check_sizes("the dalle_decoder", **sizes, dtype=self.dtype)

    @nn.compact
    def __call__(
        self, x: Features, *, grid: Grid, train: bool = False
    ) -> Float[Array, "batch tokens dim"]:
        """Tokens of all cells, by rows -> (B, n, p·p·3) float32, as `geometry.patchify` cuts them.

        Args:
          x: `target_index` (B, n) int32, visual tokens; or without it `tokens` (B, n, vocabulary),
            the share of every one (one-hot, or probabilities, through which gradients pass).
          grid: (rows, columns) of the tokens.

        Raises:
          ConfigError: tokens of another vocabulary.
          ValueError: visual tokens that do not fill the grid.
        """
        dtype, stages = jnp.dtype(self.dtype), len(self.depths)
        y = TokenTable(self.vocabulary, self.embed, name="embed")(x)
        if y.shape[1] != grid[0] * grid[1]:
            raise ValueError(
                f"{y.shape[1]} visual tokens do not fill a grid of {grid[0]}x{grid[1]}"
            )
        y = y.reshape(y.shape[0], *grid, self.embed)
        for i, depth in enumerate(self.depths):
            y = y.repeat(2, axis=1).repeat(2, axis=2) if i else y
            width = self.width * 2 ** (stages - 1 - i)
            stage = dalle.Stage(
                depth, width, KERNELS, dalle.gain(self.depths), dtype, name=f"stages_{i}"
            )
            y = stage(y)[-1]
        head = Linear(2 * CHANNELS, kernel_init=dalle.NORMAL, dtype=dtype, name="head")
        location = head(nn.relu(y))[..., :CHANNELS].astype(jnp.float32)
        return geometry.patchify(dalle.unmap_pixels(nn.sigmoid(location)), self.patch)


class TokenTable(nn.Module):
    """The 1×1 convolution of one-hot visual tokens: for one that is known, a row of its kernel."""

    vocabulary: int
    features: int

    @nn.compact
    def __call__(self, x: Features) -> Float[Array, "batch tokens dim"]:
        """`target_index` (B, n), or `tokens` (B, n, vocabulary) -> (B, n, features) float32."""
        if x.target_index is None and x.tokens.shape[-1] != self.vocabulary:
            raise ConfigError(
                f"the dalle_decoder reads {self.vocabulary} visual tokens, but its input has width "
                f"{x.tokens.shape[-1]}; let it follow a tokenizer"
            )
        shape = self.vocabulary, self.features
        kernel = self.param("kernel", dalle.NORMAL, shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        if x.target_index is None:
            rows = dot(x.tokens.astype(jnp.float32), kernel)
        else:
            rows = jnp.take(kernel, x.target_index, axis=0)
        return rows + bias.reshape(1, 1, -1)
