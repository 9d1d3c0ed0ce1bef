"""Text transformers: the shapes of BERT-Base and of the text towers of CLIP and SigLIP.

Devlin et al. 2019, https://arxiv.org/abs/1810.04805; Radford et al. 2021, docs/methods.md#clip;
Zhai et al. 2023, docs/methods.md#siglip.

Token id 0 is padding. Parameter paths: token_embed, pos_embed, type_embed, norm, blocks, pooler,
projection.
"""

import functools
from typing import Annotated, ClassVar

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Int

from m3i_jax.nn.activations import ACTIVATIONS
from m3i_jax.nn.blocks import check_blocks, check_choice, stack
from m3i_jax.nn.choices import Activation, Core, Dtype, Remat
from m3i_jax.nn.initial import Init
from m3i_jax.nn.linear import Linear
from m3i_jax.nn.norms import LayerNorm, UnitNorm
from m3i_jax.parallel.constrain import batch_sharded
from m3i_jax.ranges import Depth, Epsilon, Heads, Range, Ratio, Vocabulary, Width
from m3i_jax.texts import OneOf
from m3i_jax.types import Array, Features

FEATURES = ("first", "last", "final")


class Text(nn.Module):
    """A transformer over token ids whose feature is one of its tokens.

    Attributes:
      width, depth, heads, mlp_ratio: of the blocks.
      vocabulary: number of token ids, 0 being padding.
      length: most tokens of a text.
      causal: tokens attend backwards only (CLIP); otherwise to every token but padding (BERT).
      see_padding: where they are not causal they attend to padding, too (SigLIP).
      post_norm: norm behind each sum and behind the embeddings (BERT), not before each branch
        and behind the last block (CLIP).
      eps: of the norms.
      activation: "gelu" (exact), "quick_gelu" (CLIP) or "gelu_tanh" (SigLIP).
      feature: "first" token (BERT), the "last" one that is not padding (CLIP's end of text), or the
        "final" one, padding or not (SigLIP).
      types: add BERT's segment embedding (2 rows, of which row 0 is used).
      pooler: tanh(Linear) on the feature (BERT).
      projection: width of a Linear on the feature; None = none.
      projection_bias: whether that has a bias (SigLIP).
      unit_norm: features of length 1.
      dtype, scan, remat: see `blocks.stack`.  attention: its core, see `attend.CORES`.
    """

    width: Width
    depth: Depth
    heads: Heads
    vocabulary: Vocabulary = 49408
    length: Annotated[int, Range(1, 4096)] = 77
    mlp_ratio: Ratio = 4.0
    causal: bool = False
    see_padding: bool = False
    post_norm: bool = True
    eps: Epsilon = 1e-12
    activation: Activation = "gelu"
    feature: Annotated[str, OneOf(*FEATURES)] = "first"
    types: bool = False
    pooler: bool = False
    projection: Width | None = None
    projection_bias: bool = False
    unit_norm: bool = False
    dtype: Dtype = "float32"
    scan: bool = True
    remat: Remat = "none"
    attention: Core = "auto"

    kind: ClassVar[str] = "text"
    grid: ClassVar[None] = None
    patch: ClassVar[None] = None

    @property
    def features(self) -> int:
        """Width of the codes."""
        return self.width if self.projection is None else self.projection

    @nn.nowrap
    def example(self) -> Int[Array, "1 length"]:
        """A batch of one, for tracing."""
        return jnp.ones((1, self.length), jnp.int32)

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for sizes and options that do not fit together."""
        check_choice("the text encoder", "activation", self.activation, ACTIVATIONS)
        check_choice("the text encoder", "feature", self.feature, FEATURES)
        check_blocks(
            "the text encoder",
            width=self.width,
            heads=self.heads,
            depth=self.depth,
            dtype=self.dtype,
            remat=self.remat,
            attention=self.attention,
            mlp_ratio=self.mlp_ratio,
        )

    @nn.compact
    def __call__(self, tokens: Int[Array, "batch length"], *, train: bool = False) -> Features:
        """tokens (B, T) int, T <= length -> pooled (B, D) float32."""
        if tokens.shape[1] > self.length:
            raise ValueError(
                f"texts have {tokens.shape[1]} tokens, the encoder was made for {self.length}"
            )
        dtype = jnp.dtype(self.dtype)
        norm = functools.partial(LayerNorm, eps=self.eps)
        x = self._embed(tokens)
        x = norm(name="norm")(x) if self.post_norm else x
        x, _ = stack(
            x,
            depth=self.depth,
            mask=self._mask(tokens),
            scan=self.scan,
            remat=self.remat,
            attention=self.attention,
            heads=self.heads,
            mlp_ratio=self.mlp_ratio,
            norm=norm,
            post_norm=self.post_norm,
            activation=ACTIVATIONS[self.activation],
            kernel_init=self._init(),
            dtype=dtype,
        )
        x = self._select(x, tokens)
        x = x if self.post_norm else norm(name="norm")(x)
        if self.pooler:
            init = nn.initializers.normal(0.02)
            x = jnp.tanh(Linear(self.width, kernel_init=init, name="pooler")(x))
        if self.projection is not None:
            init = nn.initializers.normal(self.width**-0.5)
            x = Linear(self.projection, self.projection_bias, init, dtype, name="projection")(x)
        x = x.astype(jnp.float32)
        return Features(pooled=UnitNorm()(x) if self.unit_norm else x)

    def _embed(self, tokens):
        """Sum of token, position and type embeddings, (B, T, D) float32."""
        init = nn.initializers.normal(0.02)
        table = self.param("token_embed", init, (self.vocabulary, self.width), jnp.float32)
        # CLIP starts its positions at half the deviation of its tokens.
        start = nn.initializers.normal(0.02 if self.post_norm else 0.01)
        positions = self.param("pos_embed", start, (self.length, self.width), jnp.float32)
        x = batch_sharded(jnp.take(table, tokens, axis=0)) + positions[None, : tokens.shape[1]]
        if self.types:
            x = x + self.param("type_embed", init, (2, self.width), jnp.float32)[None, :1]
        return x

    def _mask(self, tokens):
        """Whom each attends to: (1, 1, T, T) backwards, (B, 1, 1, T) but padding; None = all."""
        if self.causal:
            count = tokens.shape[1]
            return jnp.tril(jnp.ones((count, count), bool))[None, None]
        return None if self.see_padding else (tokens != 0)[:, None, None, :]

    def _select(self, x, tokens):
        """The token that stands for the text, (B, D)."""
        if self.feature == "first":
            return x[:, 0]
        if self.feature == "final":
            return x[:, -1]
        places = jnp.arange(tokens.shape[1])[None]
        last = jnp.max(jnp.where(tokens != 0, places, 0), axis=1)
        return jnp.take_along_axis(x, last[:, None, None], axis=1, mode="clip")[:, 0]

    def _init(self):
        """BERT draws every kernel alike; CLIP by the layer's width and depth."""
        if self.post_norm:
            return Init.same(nn.initializers.normal(0.02))
        attention, hidden = self.width**-0.5, (2 * self.width) ** -0.5
        out = attention * (2 * self.depth) ** -0.5
        return Init(*(nn.initializers.normal(std) for std in (attention, out, hidden, out)))


_clip = functools.partial(
    Text,
    causal=True,
    post_norm=False,
    eps=1e-5,
    activation="quick_gelu",
    feature="last",
)
_siglip = functools.partial(
    Text,
    vocabulary=32000,
    length=64,
    see_padding=True,
    post_norm=False,
    eps=1e-6,
    activation="gelu_tanh",
    feature="final",
    projection_bias=True,
)
VARIANTS = {
    "bert_base": functools.partial(Text, width=768, depth=12, heads=12),
    "clip_text": functools.partial(_clip, width=512, depth=12, heads=8, projection=512),
    "siglip_text": functools.partial(_siglip, width=768, depth=12, heads=12, projection=768),
    "text_nano": functools.partial(Text, width=128, depth=2, heads=4, vocabulary=1024, length=32),
}
