"""Prototypes: directions that a feature is compared with (MSN, DINO)."""

from typing import Annotated, ClassVar

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from m3i_jax.decoders.linear import EITHER, Either, over
from m3i_jax.nn.blocks import DTYPES, check_choice
from m3i_jax.nn.choices import Dtype
from m3i_jax.nn.linear import with_table
from m3i_jax.nn.norms import UnitNorm
from m3i_jax.ranges import Range, Temperature
from m3i_jax.types import Array, Features


class Prototypes(nn.Module):
    """y_k = n2(x) · g_k n2(W_k) / temperature: logits over learned directions of length g_k.

    MSN normalises its prototypes in the forward pass, g = 1; DINO's last layer, weight-normed, is
    the same map, with lengths held at 1 or, for ViT-S, learned
    (docs/methods.md#assignments-to-prototypes).

    Attributes:
      out: number of prototypes.
      temperature: divides the cosines; 1 leaves it to the loss.
      pool: "none" (one result per token), "class", "mean", or "both", class token and tokens.
      lengths: learn g, from 1.
      held: rows are as they are, from length 1: the optimiser holds them to it behind every step,
        `optimizer.unit` (SwAV).
      dtype: of the product, which is summed in float32.
    """

    out: Annotated[int, Range(2, 2**17, why="of one, all share the same")]
    temperature: Temperature = 1.0
    pool: Either = "class"
    lengths: bool = False
    held: bool = False
    dtype: Dtype = "float32"

    geometry_inputs: ClassVar[tuple[str, ...]] = ()

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for sizes and options that do not fit together."""
        check_choice("the prototypes decoder", "pool", self.pool, EITHER)
        check_choice("the prototypes decoder", "dtype", self.dtype, DTYPES)

    @nn.compact
    def __call__(
        self, x: Features, *, train: bool = False
    ) -> Features | Float[Array, "*positions prototypes"]:
        """Features of width D -> (B, n, out), or (B, out) if pooled, or both; float32."""
        dtype, width = jnp.dtype(self.dtype), (x.pooled if x.tokens is None else x.tokens).shape[-1]
        # U(-1/sqrt(D), 1/sqrt(D)): the length sets how fast a row turns.
        start = nn.initializers.variance_scaling(1 / 3, "fan_out", "uniform")
        unit = UnitNorm()
        if self.held:
            rows = self.param("kernel", lambda *of: unit(start(*of)), (self.out, width))
        else:
            rows = unit(self.param("kernel", start, (self.out, width), jnp.float32))
        # No "scale": as in DINO's code, weight decay shortens it.
        start = nn.initializers.ones
        length = self.param("length", start, (self.out,), jnp.float32) if self.lengths else None

        def logits(y):
            product = with_table(UnitNorm()(y).astype(dtype), rows.astype(dtype))
            scale = 1.0 if length is None else length.reshape((1,) * (y.ndim - 1) + (-1,))
            return product / self.temperature * scale

        return over(logits, x, self.pool)
