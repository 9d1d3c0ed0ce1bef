"""Heads that treat every token, or one pooled vector, by itself: a linear map, and an MLP."""

import functools
from collections.abc import Callable
from typing import Annotated, ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from m3i_jax.build import ConfigError
from m3i_jax.decoders.tokens import with_class
from m3i_jax.nn.activations import gelu
from m3i_jax.nn.blocks import DTYPES, check_choice
from m3i_jax.nn.choices import Dtype, NormOrNone
from m3i_jax.nn.linear import Linear
from m3i_jax.nn.norms import MAX_LOGIT_SCALE, NORMS, LayerNorm, UnitNorm
from m3i_jax.ranges import Blocks, Head, Range, Width
from m3i_jax.texts import OneOf
from m3i_jax.types import Array, Features, Grid

POOLS = ("none", "all", "class", "mean")
Pool = Annotated[str, OneOf(*POOLS)]
EITHER = (*POOLS, "both")
Either = Annotated[str, OneOf(*EITHER)]
ACTIVATIONS = {"gelu": gelu, "relu": jax.nn.relu, "tanh": jnp.tanh}


def pooled(x: Features, pool: str) -> Float[Array, "*positions dim"]:
    """Tokens (B, n, D), with "all" behind the class token; else that, or the mean, (B, D)."""
    if pool == "mean":
        return x.tokens.mean(1)
    if pool == "none":
        return x.tokens
    if x.pooled is None:
        other = {"class": "mean", "all": "none"}[pool]
        raise ConfigError(f"pool='{pool}' needs an encoder with a class token; use '{other}'")
    return x.pooled if pool == "class" else with_class(x.tokens, x.pooled)[0]


def over(
    fn: Callable[[Float[Array, "*positions dim"]], Float[Array, "*positions _dim"]],
    x: Features,
    pool: str,
) -> Features | Float[Array, "*positions _dim"]:
    """fn of what `pooled` says; of "both" the class token and the tokens, each by itself.

    Of both, what nobody reads costs nothing: small crops of DINO's family have no use for tokens.
    """
    if pool != "both":
        return fn(pooled(x, pool))
    tokens, first = fn(x.tokens), fn(pooled(x, "class"))
    return Features(tokens=tokens, pooled=first, index=x.index)


def compared(
    module: nn.Module, y: Float[Array, "*positions dim"]
) -> Float[Array, "*positions _dim"]:
    """y as the fields `unit_norm` and `logit_*` of a head say, see `LinearHead`; float32."""
    if module.unit_norm or module.logit_scale:
        limit = MAX_LOGIT_SCALE if module.logit_bias is None else None
        y = UnitNorm(module.logit_scale, module.logit_start, limit, name="unit")(y)
    y = y.astype(jnp.float32)
    if module.logit_bias is None:
        return y
    start = nn.initializers.constant(module.logit_bias)
    bias = module.param("logit_bias", start, (), jnp.float32)
    return jnp.concatenate([y, jnp.broadcast_to(bias, (*y.shape[:-1], 1))], axis=-1)


class LinearHead(nn.Module):
    """y = W x + b, per token or on the pooled vector.

    With `logit_bias` the result has one more dimension, [e^s y/|y|, b0], so that its product with
    a unit vector in front of a 1 is SigLIP's logit e^s cos + b0.

    Attributes:
      out: width of y.
      pool: "none" (dense), "all" (dense, the class token in front), "class" or "mean".
      split: each token answers for split × split cells of a finer grid, (B, h·s·w·s, out) in rows:
        a convolution 1×1 and depth-to-space (CIM's ResNet-50, 7×7 tokens for 14×14 tokens).
      norm_in: a layer norm in front of W (BEiT v2, whose two branches share norm and head), or
        "unit": x / |x| (SupCon).
      bias: whether there is b.
      unit_norm: y / |y|.
      logit_scale: times e^s, learned from `logit_start`, and at most 100 (CLIP) unless there is a
        `logit_bias` (SigLIP's grows beyond); implies `unit_norm`.
      logit_start: e^s at the start; CLIP 1/0.07, SigLIP 10.
      logit_bias: start of the learned b0 (SigLIP: -10); None = none.
      dtype: of the product.
    """

    out: Head
    pool: Pool = "none"
    split: Annotated[int, Range(1, 16)] = 1
    norm_in: bool | Annotated[str, OneOf("unit")] = False
    bias: bool = True
    unit_norm: bool = False
    logit_scale: bool = False
    logit_start: Annotated[float, Range(0.01, 100)] = 1 / 0.07
    logit_bias: Annotated[float, Range(-100, 100)] | None = None
    dtype: Dtype = "float32"

    @property
    def geometry_inputs(self) -> tuple[str, ...]:
        """Static geometry that `__call__` is to be given."""
        return ("grid",) if self.split > 1 else ()

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for options that are unknown or do not fit together."""
        check_choice("the linear decoder", "pool", self.pool, POOLS)
        check_choice("the linear decoder", "dtype", self.dtype, DTYPES)
        if self.logit_bias is not None and not self.logit_scale:
            raise ConfigError("the linear decoder has logit_bias but no logit_scale")
        if self.split > 1 and self.pool != "none":
            raise ConfigError(
                f"the linear decoder splits by {self.split} with pool='{self.pool}'; expected "
                "pool='none', or a split of 1"
            )

    @nn.compact
    def __call__(
        self, x: Features, *, grid: Grid | None = None, train: bool = False
    ) -> Float[Array, "*positions dim"]:
        """Features of width D -> (B, n, out), or (B, out) if pooled, float32.

        grid: of the tokens, all of them, where they are split.
        """
        dtype, y = jnp.dtype(self.dtype), pooled(x, self.pool)
        if self.norm_in:
            y = UnitNorm()(y) if self.norm_in == "unit" else LayerNorm(dtype=dtype, name="norm")(y)
        y = Linear(self.out * self.split**2, self.bias, dtype=dtype, name="head")(y)
        y = y if self.split == 1 else self._finer(y, grid)
        return compared(self, y)

    def _finer(self, y, grid):
        """(B, h·w, s·s·out) -> (B, h·s·w·s, out), rows of the finer grid."""
        (h, w), s = grid, self.split
        if y.shape[1] != h * w:
            raise ConfigError(
                f"the linear decoder splits all {h}x{w} tokens, but the encoder dropped some: "
                f"it got {y.shape[1]}"
            )
        y = y.reshape(-1, h, w, s, s, self.out).transpose(0, 1, 3, 2, 4, 5)
        return y.reshape(y.shape[0], -1, self.out)


class MlpHead(nn.Module):
    """Linear, norm, activation, ..., Linear: the heads of MoCo, BYOL, Barlow Twins, MSN, DINO.

    Attributes:
      out: width of the result.
      hidden: width of the hidden layers.
      layers: number of linear layers, 2 or more make an MLP.
      norm: "batch", "layer" or "none", in front of each activation.
      activation: "relu", "gelu" or "tanh".
      bias: of the linear layers; those in front of a norm need none.
      last_bias: of the last linear layer; None = as the others.
      norm_out: the same norm behind the last layer, without affine (MoCo v3); or "scale", with a
        learned scale and no bias (SimCLR).
      pool: "none" (dense), "class", "mean", or "both", the class token and the tokens (iBOT).
      unit_norm, logit_scale: see `LinearHead`.
      dtype: of the products.
    """

    out: Head
    hidden: Width = 4096
    layers: Blocks = 2
    norm: NormOrNone = "batch"
    activation: Annotated[str, OneOf(*ACTIVATIONS)] = "relu"
    bias: bool = True
    last_bias: bool | None = None
    norm_out: bool | Annotated[str, OneOf("scale")] = False
    pool: Either = "class"
    unit_norm: bool = False
    logit_scale: bool = False
    dtype: Dtype = "float32"

    geometry_inputs: ClassVar[tuple[str, ...]] = ()

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for sizes and options that do not fit together."""
        check_choice("the mlp decoder", "norm", self.norm, (*NORMS, "none"))
        check_choice("the mlp decoder", "activation", self.activation, ACTIVATIONS)
        check_choice("the mlp decoder", "pool", self.pool, EITHER)
        check_choice("the mlp decoder", "dtype", self.dtype, DTYPES)
        if isinstance(self.norm_out, str):
            check_choice("the mlp decoder", "norm_out", self.norm_out, ("scale",))
        if self.norm_out and self.norm == "none":
            raise ConfigError("the mlp decoder has norm_out but norm is 'none'")

    @nn.compact
    def __call__(
        self, x: Features, *, train: bool = False
    ) -> Features | Float[Array, "*positions dim"]:
        """Features of width D -> (B, n, out), or (B, out) if pooled, or both; float32."""
        layers = self._layers()
        return over(lambda y: functools.reduce(lambda y, f: f(y), layers, y), x, self.pool)

    def _layers(self) -> list[Callable]:
        """What is applied in turn; made once, whatever it is applied to."""
        dtype, layers = jnp.dtype(self.dtype), []
        for layer in range(1, self.layers):
            layers.append(Linear(self.hidden, self.bias, dtype=dtype, name=f"fc{layer}"))
            if self.norm != "none":
                layers.append(NORMS[self.norm](dtype=dtype, name=f"norm{layer}"))
            layers.append(ACTIVATIONS[self.activation])
        bias = self.bias if self.last_bias is None else self.last_bias
        layers.append(Linear(self.out, bias, dtype=dtype, name=f"fc{self.layers}"))
        if self.norm_out:
            affine = "scale" if self.norm_out == "scale" else False
            layers.append(NORMS[self.norm](affine=affine, name=f"norm{self.layers}"))
        if self.unit_norm or self.logit_scale:
            layers.append(UnitNorm(self.logit_scale, name="unit"))
        return [*layers, lambda y: y.astype(jnp.float32)]
