"""Heads that treat every token, or one pooled vector, by itself: a linear map, and an MLP."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from m3i_jax.build import ConfigError
from m3i_jax.nn.blocks import DTYPES, check_choice, gelu
from m3i_jax.nn.linear import Linear
from m3i_jax.nn.norms import NORMS, UnitNorm
from m3i_jax.types import Array, Features

POOLS = ("none", "class", "mean")
ACTIVATIONS = {"gelu": gelu, "relu": jax.nn.relu}


def pooled(x: Features, pool: str) -> Array:
    """The tokens (B, n, D) for "none", else one vector (B, D): the class token or the mean."""
    if pool == "mean":
        return x.tokens.mean(1)
    if pool == "class":
        if x.pooled is None:
            raise ConfigError("pool='class' needs an encoder with a class token; use 'mean'")
        return x.pooled
    return x.tokens


class LinearHead(nn.Module):
    """y = W x + b, per token or on the pooled vector.

    Attributes:
      out: width of the result.
      pool: "none" (dense), "class" or "mean".
      bias: whether there is b.
      unit_norm: y / |y|.
      logit_scale: times e^s, learned from 1/0.07 and at most 100 (CLIP); implies `unit_norm`.
      dtype: of the product.
    """

    out: int
    pool: str = "none"
    bias: bool = True
    unit_norm: bool = False
    logit_scale: bool = False
    dtype: str = "float32"

    wants: ClassVar[tuple[str, ...]] = ()

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for an unknown option."""
        check_choice("the linear decoder", "pool", self.pool, POOLS)
        check_choice("the linear decoder", "dtype", self.dtype, DTYPES)

    @nn.compact
    def __call__(self, x: Features, *, train: bool = False) -> Array:
        """Features of width D -> (B, n, out), or (B, out) if pooled, float32."""
        y = Linear(self.out, self.bias, dtype=jnp.dtype(self.dtype), name="head")(
            pooled(x, self.pool)
        )
        if self.unit_norm or self.logit_scale:
            y = UnitNorm(self.logit_scale, name="unit")(y)
        return y.astype(jnp.float32)


class MlpHead(nn.Module):
    """Linear, norm, activation, ..., Linear: the heads of MoCo v3, BYOL, Barlow Twins, MSN, DINO.

    Attributes:
      out: width of the result.
      hidden: width of the hidden layers.
      layers: number of linear layers, 2 or more make an MLP.
      norm: "batch", "layer" or "none", in front of each activation.
      activation: "relu" or "gelu".
      bias: of the linear layers; those in front of a norm need none.
      norm_out: the same norm without affine behind the last layer (MoCo v3).
      pool: "none" (dense), "class" or "mean".
      unit_norm, logit_scale: see `LinearHead`.
      dtype: of the products.
    """

    out: int
    hidden: int = 4096
    layers: int = 2
    norm: str = "batch"
    activation: str = "relu"
    bias: bool = True
    norm_out: bool = False
    pool: str = "class"
    unit_norm: bool = False
    logit_scale: bool = False
    dtype: str = "float32"

    wants: ClassVar[tuple[str, ...]] = ()

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for sizes and options that do not fit together."""
        if self.layers < 1 or self.hidden < 1:
            raise ConfigError(f"an mlp of {self.layers} layers of width {self.hidden} is empty")
        check_choice("the mlp decoder", "norm", self.norm, (*NORMS, "none"))
        check_choice("the mlp decoder", "activation", self.activation, ACTIVATIONS)
        check_choice("the mlp decoder", "pool", self.pool, POOLS)
        check_choice("the mlp decoder", "dtype", self.dtype, DTYPES)
        if self.norm_out and self.norm == "none":
            raise ConfigError("the mlp decoder has norm_out but norm is 'none'")

    @nn.compact
    def __call__(self, x: Features, *, train: bool = False) -> Array:
        """Features of width D -> (B, n, out), or (B, out) if pooled, float32."""
        dtype = jnp.dtype(self.dtype)
        y = pooled(x, self.pool)
        for layer in range(1, self.layers):
            y = Linear(self.hidden, self.bias, dtype=dtype, name=f"fc{layer}")(y)
            if self.norm != "none":
                y = NORMS[self.norm](dtype=dtype, name=f"norm{layer}")(y)
            y = ACTIVATIONS[self.activation](y)
        y = Linear(self.out, self.bias, dtype=dtype, name=f"fc{self.layers}")(y)
        if self.norm_out:
            y = NORMS[self.norm](affine=False)(y)
        if self.unit_norm or self.logit_scale:
            y = UnitNorm(self.logit_scale, name="unit")(y)
        return y.astype(jnp.float32)
