"""A linear head for every cell, behind a batch norm: what frozen features are judged by.

Oquab et al. 2023, section 7.4, https://arxiv.org/abs/2304.07193; without the norm Fang et al. 2022
(CIM), https://arxiv.org/abs/2202.03382.
"""

from typing import Annotated, ClassVar

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from m3i_jax.build import ConfigError
from m3i_jax.heads.maps import MapNumber, joined
from m3i_jax.nn.blocks import DTYPES, check_choice
from m3i_jax.nn.choices import Dtype
from m3i_jax.nn.linear import Linear
from m3i_jax.nn.norms import TrackedBatchNorm
from m3i_jax.ranges import Rate, Width
from m3i_jax.texts import OneOf
from m3i_jax.types import Array, Features

NORMS = ("running", "none")
Norm = Annotated[str, OneOf(*NORMS)]


def classified(
    y: Float[Array, "batch rows columns dim"], out: int, *, dropout: float, train: bool
) -> Float[Array, "batch rows columns out"]:
    """W drop(y) + b, (B, h, w, D) -> (B, h, w, out), in a compact method of a head; `head`.

    In float32, as classes of bfloat16 logits would tie. dropout: of whole channels, with keys from
    the stream "draw".
    """
    drop = nn.Dropout(dropout, (1, 2), not train, rng_collection="draw", name="dropout")
    return Linear(out, kernel_init=nn.initializers.normal(0.01), name="head")(drop(y))


class DenseLinear(nn.Module):
    """y = W drop(BN(x)) + b for every cell of one map, or of several side by side.

    Attributes:
      out: width of y, the number of classes.
      maps: numbers of the maps, negative ones from the last; several are resized to the largest
        of them, and their channels stand side by side (DINOv2: those of four blocks).
      norm: "running", a batch norm with running statistics (DINOv2, DINOv3); or "none" (CIM).
      dropout: of whole channels (DINOv3: .1).
      dtype: of nothing here: the only product makes logits, in float32.
    """

    out: Width
    maps: tuple[MapNumber, ...] = (-1,)
    norm: Norm = "running"
    dropout: Rate = 0.0
    dtype: Dtype = "float32"

    geometry_inputs: ClassVar[tuple[str, ...]] = ()

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for an unknown option, and for no map at all."""
        check_choice("the dense_linear head", "norm", self.norm, NORMS)
        check_choice("the dense_linear head", "dtype", self.dtype, DTYPES)
        if not self.maps:
            raise ConfigError("the dense_linear head reads no map; maps=(-1,) is the last")

    @nn.compact
    def __call__(
        self, x: Features, *, train: bool = False
    ) -> Float[Array, "batch _rows _columns out"]:
        """Maps (B, h, w, D) -> (B, h, w, out) float32, in the size of the largest map that is read.

        train: whether channels are dropped and statistics are those of the batch.
        """
        y = joined(x, self.maps, what="the dense_linear head").astype(jnp.float32)
        if self.norm == "running":
            y = TrackedBatchNorm(name="norm")(y, int(train))
        return classified(y, self.out, dropout=self.dropout, train=train)
