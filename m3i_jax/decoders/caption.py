"""The decoder of captions: words read each other and the image, one after the other or all at once.

Tschannen et al. 2023, https://arxiv.org/abs/2306.07915; docs/methods.md#cappa.
"""

from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Bool, Float, Int

from m3i_jax.build import ConfigError
from m3i_jax.decoders.tokens import with_class
from m3i_jax.nn.activations import ACTIVATIONS
from m3i_jax.nn.attend import attend
from m3i_jax.nn.blocks import check_blocks, check_choice
from m3i_jax.nn.choices import Activation, Dtype
from m3i_jax.nn.linear import Linear
from m3i_jax.nn.norms import LayerNorm
from m3i_jax.parallel import tensor
from m3i_jax.ranges import Blocks, Head, Heads, PositiveShare, Range, Ratio, Share, Width
from m3i_jax.types import Array, Features


class Caption(nn.Module):
    """Logits of every word of a caption, from the words in front of it, or none, and the image.

    y = W_out LN(blocks(E[input] + PE)) + b; a block is attention among the words, attention to the
    image, and an MLP, each x + f(LN(x)), without biases. The input of word i is word i − 1, and it
    reads no later ones; of a share `parallel` of the captions all inputs are one learned token, and
    each reads all: its words are predicted from the image and their places alone.

    Attributes:
      out: number of words.
      width, depth, heads, mlp_ratio: of the blocks.
      length: most words of a caption.
      parallel: share of the captions that are predicted at once in training (CapPa: .75).
      keep: share of the image's tokens that training gives it, drawn at random (OpenVision 2: .35).
      prefix: they stand in front of the words, in one sequence that is read from the left
        (OpenVision 2), in place of an attention to them in each block.
      activation: of the MLPs.
      dtype: of the products.
    """

    out: Head
    width: Width = 768
    depth: Blocks = 6
    heads: Heads = 12
    mlp_ratio: Ratio = 4.0
    length: Annotated[int, Range(1, 4096)] = 64
    parallel: Share = 0.0
    keep: PositiveShare = 1.0
    prefix: bool = False
    activation: Activation = "gelu_tanh"
    dtype: Dtype = "float32"

    geometry_inputs: ClassVar[tuple[str, ...]] = ("words",)

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for sizes and options that do not fit together."""
        sizes = dict(width=self.width, heads=self.heads, depth=self.depth)
        check_blocks(
            "the caption decoder", dtype=self.dtype, remat="none", mlp_ratio=self.mlp_ratio, **sizes
        )
        check_choice("the caption decoder", "activation", self.activation, ACTIVATIONS)

    @nn.compact
    def __call__(
        self, x: Features, *, words: Int[Array, "batch length"] | None = None, train: bool = False
    ) -> Float[Array, "batch length vocabulary"]:
        """Tokens (B, n, D) and words (B, T), T <= length -> (B, T, out) float32.

        train: whether captions and tokens are drawn, with keys from the stream "draw"; all captions
          are read from the left otherwise.
        """
        if words is None:
            words = jnp.zeros((x.tokens.shape[0], self.length), jnp.int32)
        if words.shape[1] > self.length:
            raise ConfigError(
                f"captions have {words.shape[1]} words, but the caption decoder has length "
                f"{self.length}: set config.captions.length={self.length}"
            )
        image, count = self._image(x, train), words.shape[1]
        inputs, mask = self._read(words, train, image.shape[1] if self.prefix else 0)
        table = nn.initializers.normal(1.0)
        rows = self.out + (self.parallel > 0)
        table = self.param("token_embed", table, (rows, self.width), jnp.float32)
        places = nn.initializers.normal(self.width**-0.5)
        places = self.param("pos_embed", places, (self.length, self.width), jnp.float32)
        y = jnp.take(table, inputs, axis=0) + places[None, :count]
        if self.prefix:
            first = Linear(self.width, False, dtype=jnp.dtype(self.dtype), name="image")(image)
            y, image = jnp.concatenate([first.astype(jnp.float32), y], axis=1), None
        for i in range(self.depth):
            y = self._block(f"blocks_{i}", y, image, mask)
        y = LayerNorm(dtype=jnp.dtype(self.dtype), name="norm")(y[:, -count:])
        head = nn.initializers.zeros
        own = dict(split=tensor.columns(self.out, what="words"), name="head")
        return Linear(self.out, True, head, self.dtype, **own)(y).astype(jnp.float32)

    def _image(self, x: Features, train: bool) -> Float[Array, "batch tokens dim"]:
        """The tokens of the image that are read."""
        tokens, _ = with_class(x.tokens, x.pooled)
        batch, count, _ = tokens.shape
        if not train or self.keep == 1.0:
            return tokens
        lots = jax.random.uniform(self.make_rng("draw"), (batch, count))
        kept = jnp.argsort(lots, axis=1)[:, : max(1, int(round(self.keep * count, 6)))]
        return jnp.take_along_axis(tokens, kept[..., None], axis=1)

    def _read(
        self, words: Int[Array, "batch length"], train: bool, first: int
    ) -> tuple[Int[Array, "batch length"], Bool[Array, "_batch 1 _rows _rows"]]:
        """Inputs, shifted or all the last row of the table, and who reads whom.

        first: tokens in front of the words.
        """
        batch, count = words.shape
        inputs = jnp.pad(words[:, :-1], ((0, 0), (1, 0)))
        mask = jnp.tril(jnp.ones((first + count, first + count), bool))[None, None]
        if not train or not self.parallel:
            return inputs, mask
        at_once = jax.random.bernoulli(self.make_rng("draw"), self.parallel, (batch,))
        inputs = jnp.where(at_once[:, None], self.out, inputs)
        return inputs, mask | at_once[:, None, None, None]

    def _block(self, name, x, image, mask):
        """x (B, T, D) float32 through one block."""
        dtype = jnp.dtype(self.dtype)
        norm = lambda part: LayerNorm(  # noqa: E731
            affine="scale", dtype=dtype, name=f"{name}_norm_{part}"
        )
        linear = lambda part, width, split: Linear(  # noqa: E731
            width, False, dtype=dtype, split=split, name=f"{name}_{part}"
        )
        heads, hidden = self.heads, round(self.mlp_ratio * self.width)

        def read(part, x, y, mask):
            split = tensor.columns(heads, what="heads")
            q, k, v = (
                linear(f"{part}_{role}", self.width, split)(z).reshape(*z.shape[:2], heads, -1)
                for role, z in zip("qkv", (x, y, y), strict=True)
            )
            z = attend(q.shape[-1] ** -0.5, True, q, k, v, (), mask)
            return linear(f"{part}_proj", self.width, tensor.rows(heads))(z).astype(jnp.float32)

        y = norm("words")(x)
        x = x + read("words", y, y, mask)
        x = x if image is None else x + read("image", norm("image")(x), image, None)
        y = linear("fc1", hidden, tensor.columns(hidden, what="columns"))(norm("mlp")(x))
        y = linear("fc2", self.width, tensor.rows(hidden))(ACTIVATIONS[self.activation](y))
        return x + y.astype(jnp.float32)
