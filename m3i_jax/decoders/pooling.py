"""What categories are compared with: the label decoder of M3I, and a plain pooled vector."""

from typing import Annotated, ClassVar

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from m3i_jax.build import ConfigError
from m3i_jax.decoders.linear import pooled
from m3i_jax.nn.attention import softmax
from m3i_jax.nn.blocks import DTYPES, check_choice
from m3i_jax.nn.choices import Dtype
from m3i_jax.nn.linear import Linear, einsum
from m3i_jax.nn.norms import NORMS, LayerNorm, TrackedBatchNorm, UnitNorm
from m3i_jax.ranges import Head, Heads
from m3i_jax.texts import OneOf
from m3i_jax.types import Array, Features

POOLED_NORMS = (*NORMS, "running", "none")


class Pooled(nn.Module):
    """The pooled vector as it is: the rows of a class table are the whole linear classifier.

    Attributes:
      out: width of what is predicted: that of the tokens, or one more, which is then a 1 in front
        of the bias of a table.
      pool: "mean" of the patch tokens, or the "class" token.
      norm: behind the pooling, "layer" (the `fc_norm` of MAE and BEiT, fine-tuned); "running"
        without affine, by the statistics of the batch in training and by their running means
        (momentum .9) otherwise (linear probing); "batch" by those of the batch always; or "none".
      dtype: of nothing here; every decoder has it.
    """

    out: Head
    pool: Annotated[str, OneOf("mean", "class")] = "mean"
    norm: Annotated[str, OneOf(*POOLED_NORMS)] = "none"
    dtype: Dtype = "float32"

    geometry_inputs: ClassVar[tuple[str, ...]] = ()

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for an unknown option."""
        check_choice("the pooled decoder", "pool", self.pool, ("mean", "class"))
        check_choice("the pooled decoder", "norm", self.norm, POOLED_NORMS)
        check_choice("the pooled decoder", "dtype", self.dtype, DTYPES)

    @nn.compact
    def __call__(self, x: Features, *, train: bool = False) -> Float[Array, "batch dim"]:
        """Features of width D -> (B, out) float32, out = D or D + 1."""
        y = pooled(x, self.pool).astype(jnp.float32)
        width = y.shape[-1]
        if self.out not in (width, width + 1):
            raise ConfigError(
                f"the pooled decoder has vectors of width {width}, but is to predict {self.out} "
                f"numbers: set config.towers.category.width to {width}"
            )
        if self.norm == "running":
            y = TrackedBatchNorm(eps=1e-6, affine=False, name="norm")(y, int(train))
        elif self.norm != "none":
            y = NORMS[self.norm](eps=1e-6, affine=self.norm == "layer", name="norm")(y)
        return y if self.out == width else jnp.pad(y, ((0, 0), (0, 1)), constant_values=1.0)


class AttentionPool(nn.Module):
    """One query, the mean token, attends to the tokens it was given (M3I; docs/methods.md#m3i).

    q = W_q LN_q(mean_l x_l) + b_q,  k = W_k LN_k(x) + b_k,  v = W_v LN_v(x) + b_v,
    o = W_o softmax(q k / sqrt(D/heads)) v + b_o,  then a layer norm. No residual, no MLP.

    Attributes:
      out: width of o.
      heads: number of heads.
      norm_out: the layer norm behind o.
      unit_norm: o / |o|, to be compared with texts.
      logit_scale: times e^s, learned from 1/0.07 and at most 100, so that the loss has
        temperature 1; implies `unit_norm`.
      dtype: of the products.
    """

    out: Head
    heads: Heads = 16
    norm_out: bool = True
    unit_norm: bool = False
    logit_scale: bool = False
    dtype: Dtype = "float32"

    geometry_inputs: ClassVar[tuple[str, ...]] = ()

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for an unknown option."""
        check_choice("the attention_pool decoder", "dtype", self.dtype, DTYPES)

    @nn.nowrap
    def check_input(self, *, width: int, depth: int = 0) -> None:
        """Raises ConfigError for tokens of a width that its heads do not divide."""
        if width % self.heads:
            raise ConfigError(
                f"the attention_pool decoder gets tokens of width {width}, "
                f"not divisible by its {self.heads} heads"
            )

    @nn.compact
    def __call__(self, x: Features, *, train: bool = False) -> Float[Array, "batch dim"]:
        """Features with tokens (B, n, D) -> (B, out) float32."""
        tokens, dtype = x.tokens, jnp.dtype(self.dtype)
        batch, _, width = tokens.shape
        self.check_input(width=width)
        q = self._project("q", tokens.mean(1, keepdims=True), dtype)
        k = self._project("k", tokens, dtype)
        v = self._project("v", tokens, dtype)
        scores = einsum("bqhd,bkhd->bhqk", q, k) * (width // self.heads) ** -0.5
        y = einsum("bhqk,bkhd->bqhd", softmax(scores, dtype), v).reshape(batch, width)
        y = Linear(self.out, dtype=dtype, name="proj")(y)
        y = LayerNorm(name="norm")(y) if self.norm_out else y
        if self.unit_norm or self.logit_scale:
            y = UnitNorm(self.logit_scale, name="unit")(y)
        return y.astype(jnp.float32)

    def _project(self, name, x, dtype):
        """LN and Linear of one role, split into heads (B, n, heads, D/heads)."""
        y = LayerNorm(dtype=dtype, name=f"norm_{name}")(x)
        y = Linear(x.shape[-1], dtype=dtype, name=name)(y)
        return y.reshape(*y.shape[:-1], self.heads, -1)
