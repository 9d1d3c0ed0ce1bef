"""DenseCL's neck: one head for the image, one for its cells.

Wang et al. 2021, https://arxiv.org/abs/2011.09157; docs/methods.md#densecl.
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from m3i_jax.nn.blocks import DTYPES, check_choice
from m3i_jax.nn.choices import Dtype
from m3i_jax.nn.linear import Linear
from m3i_jax.nn.norms import UnitNorm
from m3i_jax.ranges import Head, Width
from m3i_jax.types import Array, Features


class DenseHeads(nn.Module):
    """pooled = n2(MLP_g(mean of the tokens)), tokens = n2(MLP_d(token)); MLP = Linear-ReLU-Linear.

    Attributes:
      out: width of both results.
      hidden: width of the hidden layers.
      unit_norm: n2; without it the mean of the dense head can be taken before it is normalised.
      dtype: of the products.
    """

    out: Head = 128
    hidden: Width = 2048
    unit_norm: bool = True
    dtype: Dtype = "float32"

    geometry_inputs: ClassVar[tuple[str, ...]] = ()

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for sizes and options that do not fit together."""
        check_choice("the dense_heads decoder", "dtype", self.dtype, DTYPES)

    @nn.compact
    def __call__(self, x: Features, *, train: bool = False) -> Features:
        """Tokens (B, n, D) -> pooled (B, out), tokens (B, n, out) in the same cells, float32.

        `pre_head_tokens` are the tokens given, by which DenseCL matches the cells of two views.
        """
        return Features(
            tokens=self._mlp("dense", x.tokens),
            pooled=self._mlp("global", x.tokens.mean(1)),
            index=x.index,
            pre_head_tokens=x.tokens,
        )

    def _mlp(self, name: str, x: Float[Array, "*positions dim"]) -> Float[Array, "*positions dim"]:
        dtype = jnp.dtype(self.dtype)
        y = jax.nn.relu(Linear(self.hidden, dtype=dtype, name=f"{name}_fc1")(x))
        y = Linear(self.out, dtype=dtype, name=f"{name}_fc2")(y).astype(jnp.float32)
        return UnitNorm()(y) if self.unit_norm else y
