"""The clustering head of CAPI: logits of tokens over clusters.

Darcet et al. 2025, https://arxiv.org/abs/2502.08769; docs/methods.md#capi.
"""

from typing import Annotated, ClassVar

from flax import linen as nn
from jaxtyping import Float

from m3i_jax.nn.blocks import DTYPES, check_choice
from m3i_jax.nn.choices import Dtype
from m3i_jax.nn.linear import Linear
from m3i_jax.nn.norms import UnitNorm
from m3i_jax.ranges import Range
from m3i_jax.types import Array, Features


class Clusters(nn.Module):
    """y = n2(x) W + b of every token, W from N(0, 1).

    Attributes:
      out: number of clusters.
      dtype: of the product.
    """

    out: Annotated[int, Range(2, 2**17, why="of one, all share the same")]
    dtype: Dtype = "float32"

    geometry_inputs: ClassVar[tuple[str, ...]] = ()

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for an unknown option."""
        check_choice("the clusters decoder", "dtype", self.dtype, DTYPES)

    @nn.compact
    def __call__(self, x: Features, *, train: bool = False) -> Float[Array, "batch tokens dim"]:
        """Tokens (B, n, D) -> (B, n, out) float32."""
        start = nn.initializers.normal(1.0)
        y = UnitNorm()(x.tokens)
        return Linear(self.out, True, start, self.dtype, name="head")(y).astype("float32")
