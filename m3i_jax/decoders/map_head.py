"""Multihead attention pooling, the MAP head of SigLIP: a learned probe that reads the tokens."""

from typing import Annotated, ClassVar

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from m3i_jax.build import ConfigError
from m3i_jax.decoders.linear import compared
from m3i_jax.nn.activations import ACTIVATIONS
from m3i_jax.nn.attention import Attention, Shared
from m3i_jax.nn.blocks import DTYPES, check_choice
from m3i_jax.nn.choices import Activation, Dtype
from m3i_jax.nn.mlp import Mlp
from m3i_jax.nn.norms import LayerNorm
from m3i_jax.ranges import Epsilon, Head, Heads, Range, Ratio
from m3i_jax.types import Array, Features


class MAPHead(nn.Module):
    """One learned query attends to the tokens, and an MLP with a residual follows.

    a = W_o softmax(q k / sqrt(D/heads)) v + b_o,  y = a + MLP(LN(a)), q of the probe, k and v of
    the tokens, without the class token if there is one. No norm in front, no residual around the
    attention. Zhai et al. 2022, https://arxiv.org/abs/2106.04560, section 3.2.

    Attributes:
      out: width of y, that of the tokens.
      heads, mlp_ratio, eps, activation: as those of the blocks of a ViT.
      unit_norm, logit_scale, logit_start, logit_bias: see `LinearHead`.
      dtype: of the products.
    """

    out: Head
    heads: Heads = 12
    mlp_ratio: Ratio = 4.0
    eps: Epsilon = 1e-6
    activation: Activation = "gelu"
    unit_norm: bool = False
    logit_scale: bool = False
    logit_start: Annotated[float, Range(0.01, 100)] = 10.0
    logit_bias: Annotated[float, Range(-100, 100)] | None = None
    dtype: Dtype = "float32"

    geometry_inputs: ClassVar[tuple[str, ...]] = ()

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for options that are unknown or do not fit together."""
        check_choice("the map_head decoder", "activation", self.activation, ACTIVATIONS)
        check_choice("the map_head decoder", "dtype", self.dtype, DTYPES)
        if self.logit_bias is not None and not self.logit_scale:
            raise ConfigError("the map_head decoder has logit_bias but no logit_scale")

    @nn.nowrap
    def check_input(self, *, width: int, depth: int = 0) -> None:
        """Raises ConfigError for tokens of another width than `out`, or one that heads cut."""
        if width % self.heads:
            raise ConfigError(
                f"the map_head decoder gets tokens of width {width}, "
                f"not divisible by its {self.heads} heads"
            )
        if width != self.out:
            raise ConfigError(
                f"the map_head decoder has vectors of width {width}, but is to predict {self.out} "
                f"numbers: what it is compared with needs a width (projection) of {width}"
            )

    @nn.compact
    def __call__(self, x: Features, *, train: bool = False) -> Float[Array, "batch dim"]:
        """Features with tokens (B, n, D) -> (B, D), or (B, D + 1) with a bias, float32."""
        tokens, dtype = x.tokens, jnp.dtype(self.dtype)
        batch, count, width = tokens.shape
        self.check_input(width=width)
        start = nn.initializers.xavier_uniform()
        probe = self.param("probe", start, (1, 1, width), jnp.float32).astype(dtype)
        probe = jnp.broadcast_to(probe, (batch, 1, width))
        # It stands behind the tokens among the keys, and is the only one that is not read.
        read = (jnp.arange(count + 1) < count)[None, None, None]
        shared = Shared(mask=read, context=tokens)
        y, _ = Attention(self.heads, dtype=dtype, name="attn")(probe, shared)
        mlp = Mlp(self.mlp_ratio, ACTIVATIONS[self.activation], dtype=dtype, name="mlp")
        y = y + mlp(LayerNorm(self.eps, dtype=dtype, name="norm")(y))
        return compared(self, y[:, 0])
