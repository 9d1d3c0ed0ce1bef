"""The encoder of DALL-E's discrete VAE: images to visual tokens, for BEiT and CIM.

Ramesh et al. 2021, appendix A, https://arxiv.org/abs/2102.12092; docs/methods.md#visual-tokens.

Parameter paths: patch_embed, stages_{i}/blocks_{j}/{conv1, conv2, conv3, conv4, shortcut}, head;
each a convolution with kernel and bias.
"""

import functools
from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Bool, Float

from m3i_jax import normalize
from m3i_jax.build import ConfigError
from m3i_jax.encoders.protocol import blank, sides
from m3i_jax.nn import dalle
from m3i_jax.nn.choices import Dtype
from m3i_jax.nn.convolution import cells, convolve
from m3i_jax.nn.linear import Linear
from m3i_jax.nn.observe import kept
from m3i_jax.ranges import Blocks, Pixels, Range, Vocabulary, Width
from m3i_jax.types import Array, Features, Grid, ObserveAttention, ObserveLayers

KERNELS = (3, 3, 3, 1)


class DalleEncoder(nn.Module):
    """Logits of visual tokens, one for each cell of 8×8 pixels of a small image.

    A network for images of 224 pixels in patches of 16 wants 14×14 tokens, hence the image at half
    the size. BEiT cuts that from the photograph by Lanczos; here it is the same view, reduced.

    Attributes:
      vocabulary: number of visual tokens.
      width: of the first stage; each further stage has twice that of the one before.
      depths: blocks of the stages, between which the map is halved by its maxima.
      reduce: by which the image is made smaller first.
      image: side of the images in pixels, before that; or (height, width).
      dtype: of the convolutions; the last, which makes the logits, is float32.
    """

    vocabulary: Vocabulary = 8192
    width: Width = 256
    depths: tuple[Blocks, ...] = (2, 2, 2, 2)
    reduce: Annotated[int, Range(1, 16)] = 2
    image: Pixels | tuple[Pixels, Pixels] = 224
    dtype: Dtype = "float32"

    kind: ClassVar[str] = "image"
    masking: ClassVar[str] = ""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the images in pixels."""
        return sides(self.image)

    @property
    def patch(self) -> int:
        """Pixels per token, of the image before it is reduced."""
        return self.reduce * 2 ** (len(self.depths) - 1)

    @property
    def grid(self) -> Grid:
        """(rows, columns) of the tokens."""
        return self.size[0] // self.patch, self.size[1] // self.patch

    @property
    def features(self) -> int:
        """Width of the codes: the vocabulary."""
        return self.vocabulary

    @nn.nowrap
    def example(self) -> Float[Array, "1 height width 3"]:
        """A batch of one, for tracing."""
        return blank(self.size)

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for sizes and options that do not fit together."""
        sizes = dict(vocabulary=self.vocabulary, width=self.width, depths=self.depths)
        dalle.check_sizes("the dalle_encoder", **sizes, dtype=self.dtype)
        (height, width), patch = self.size, self.patch
        if height % patch or width % patch:
            raise ConfigError(f"image {height}x{width} is not divisible by patch {patch}")

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
        """Encodes images (B, H, W, 3), normalised, of any size that the patch divides.

        Args:
          visible, keep: refused: no convolution passes by a hidden pixel.
          train: has no effect.
          layers: also return the cells behind every block, a tuple as stages differ in shape.
          attention: refused.

        Returns:
          float32 Features, tokens (B, n, vocabulary) the logits of the visual tokens in rows;
          argmax of them is the token.
        """
        if visible is not None:
            raise ValueError("a dalle_encoder sees every pixel; patches can be hidden from a ViT")
        if attention:
            raise ValueError("a dalle_encoder has no attention to return")
        cells(images, self.patch)
        dtype, outputs = jnp.dtype(self.dtype), []
        conv = dict(bias=True, kernel_init=dalle.NORMAL, dtype=dtype)
        x = convolve(self._pixels(images), self.width, 7, name="patch_embed", **conv)
        for i, depth in enumerate(self.depths):
            x = nn.max_pool(x, (2, 2), (2, 2)) if i else x
            stage = dalle.Stage(
                depth,
                self.width * 2**i,
                KERNELS,
                dalle.gain(self.depths),
                dtype,
                name=f"stages_{i}",
            )
            outputs += stage(x)
            x = outputs[-1]
        logits = Linear(self.vocabulary, kernel_init=dalle.NORMAL, name="head")(nn.relu(x))
        observed = tuple(kept(layers, y) for y in outputs) if layers else None
        return Features(tokens=kept(True, logits), layers=observed)

    @nn.nowrap
    def _pixels(self, images):
        """Normalised (B, H, W, 3) -> (B, H/reduce, W/reduce, 3) in [0.1, 0.9]."""
        x = normalize.undo_channels(images)
        if self.reduce > 1:
            b, height, width, c = x.shape
            x = jax.image.resize(
                x, (b, height // self.reduce, width // self.reduce, c), "lanczos3", antialias=True
            )
        # Lanczos overshoots at edges, and whoever resizes bytes clips there.
        return dalle.map_pixels(jnp.clip(x, 0.0, 1.0))


VARIANTS = {
    "dalle_encoder": DalleEncoder,
    "dalle_encoder_nano": functools.partial(
        DalleEncoder, vocabulary=64, width=16, depths=(1, 1), image=32
    ),
}
