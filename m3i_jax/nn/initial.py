"""How the four kernels of a transformer block are drawn."""

from collections.abc import Callable
from typing import NamedTuple

import jax
from flax import linen as nn
from jaxtyping import Int

from m3i_jax.types import Array


class Init(NamedTuple):
    """Initialisers of the four kernels of a block; by default MAE's Xavier-uniform.

    shrink: divide proj and fc2 of block l, from 1, by √(2l) (docs/methods.md#beit).
    """

    qkv: Callable = nn.initializers.xavier_uniform()
    proj: Callable = nn.initializers.xavier_uniform()
    fc1: Callable = nn.initializers.xavier_uniform()
    fc2: Callable = nn.initializers.xavier_uniform()
    shrink: bool = False

    @classmethod
    def same(cls, init: Callable, *, shrink: bool = False) -> "Init":
        """One initialiser for all four."""
        return cls(init, init, init, init, shrink)

    def of_block(self, number: Int[Array, ""]) -> "Init":
        """The initialisers of the block of this number, from 1, which may be traced."""
        if not self.shrink:
            return self

        def shrunk(init):
            return lambda *arguments: init(*arguments) * jax.lax.rsqrt(2.0 * number)

        return self._replace(proj=shrunk(self.proj), fc2=shrunk(self.fc2))


# What an encoder is initialised as: MAE; BEiT, a normal cut off at one deviation; VQ-KD, the same
# whole; DeiT, whole and all blocks alike.
INITS = {
    "mae": Init(),
    "beit": Init.same(nn.initializers.truncated_normal(0.02, lower=-1.0, upper=1.0), shrink=True),
    "vq_kd": Init.same(nn.initializers.normal(0.02), shrink=True),
    "deit": Init.same(nn.initializers.normal(0.02)),
}
