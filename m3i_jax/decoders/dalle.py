"""The decoder of DALL-E's discrete VAE: words to images, for CIM.

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
    """The image that words describe: rgb = unmap(sigmoid(location)), in [0, 1].

    The network says the location and the log-scale of a logit-Laplace distribution of every pixel
    and channel; an image is made of the locations.

    Attributes:
      vocabulary: number of words.
      embed: width of a word's row in the table.
      width: of the last stage; each stage before has twice that of the one behind.
      depths: blocks of the stages, between which every cell is doubled.
      dtype: of the convolutions; the table of the words is float32.
    """

    vocabulary: ranges.Words = 8192
    embed: Width = 128
    width: Width = 256
    depths: tuple[Blocks, ...] = (2, 2, 2, 2)
    dtype: Dtype = "float32"

    geometry_inputs: ClassVar[tuple[str, ...]] = ("grid",)

    @property
    def patch(self) -> int:
        """Side of a word, in pixels of the image that is made."""
        return 2 ** (len(self.depths) - 1)

    @property
    def out(self) -> int:
        """Width of the result: the values of a word's pixels."""
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
        """Words of all cells, row-major -> (B, n, p·p·3) float32, as `geometry.patchify` cuts them.

        Args:
          x: `target_index` (B, n) int32, the words; or without it `tokens` (B, n, vocabulary), the
            share of every word (one-hot, or probabilities, through which gradients pass).
          grid: (rows, columns) of the words.

        Raises:
          ConfigError: tokens of another vocabulary.
          ValueError: words that do not fill the grid.
        """
        dtype, stages = jnp.dtype(self.dtype), len(self.depths)
        y = Words(self.vocabulary, self.embed, name="embed")(x)
        if y.shape[1] != grid[0] * grid[1]:
            raise ValueError(f"{y.shape[1]} words do not fill a grid of {grid[0]}x{grid[1]}")
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


class Words(nn.Module):
    """The 1×1 convolution of one-hot words: for a word that is known, a row of its kernel."""

    vocabulary: int
    features: int

    @nn.compact
    def __call__(self, x: Features) -> Float[Array, "batch tokens dim"]:
        """`target_index` (B, n), or `tokens` (B, n, vocabulary) -> (B, n, features) float32."""
        if x.target_index is None and x.tokens.shape[-1] != self.vocabulary:
            raise ConfigError(
                f"the dalle_decoder reads {self.vocabulary} words, but its input has width "
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
