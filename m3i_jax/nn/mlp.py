"""The two layers of a block that treat every token by itself."""

from collections.abc import Callable

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike
from jaxtyping import Float

from m3i_jax.nn.activations import gelu
from m3i_jax.nn.initial import Init
from m3i_jax.nn.linear import Linear
from m3i_jax.types import Array


class Mlp(nn.Module):
    """fc2(activation(fc1(x))) with a hidden layer of `ratio` times the width."""

    ratio: float = 4.0
    activation: Callable = gelu
    kernel_init: Init = Init()
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*positions dim"]) -> Float[Array, "*positions dim"]:
        """x (..., D) -> (..., D) in `dtype`."""
        hidden = round(self.ratio * x.shape[-1])
        y = Linear(hidden, True, self.kernel_init.fc1, self.dtype, name="fc1")(x)
        y = self.activation(y)
        return Linear(x.shape[-1], True, self.kernel_init.fc2, self.dtype, name="fc2")(y)
