"""A fully convolutional head on one map, by itself or beside another head.

Long et al. 2015, https://arxiv.org/abs/1411.4038, as mmsegmentation has it: the head of CIM's
ResNet-50 (Fang et al. 2022, https://arxiv.org/abs/2202.03382), and the auxiliary one of UPerNet.
"""

from typing import Annotated, ClassVar

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Float

from m3i_jax.heads.linear import classified
from m3i_jax.heads.maps import MapNumber, one
from m3i_jax.nn.blocks import DTYPES, check_choice
from m3i_jax.nn.choices import Dtype
from m3i_jax.nn.convolution import ConvNorm
from m3i_jax.ranges import Range, Rate, Width
from m3i_jax.types import Array, Features


class FCN(nn.Module):
    """y = W drop(f([x, f(... f(x))])) + b, f a 3×3 convolution, a batch norm and a ReLU.

    Attributes:
      out: width of y, the number of classes.
      width: of the convolutions (CIM: 512; beside another head: 256).
      layers: convolutions that follow each other (CIM: 2; beside another head: 1).
      concat: one more, which reads the map beside what they make of it (CIM; beside another
        head: no).
      dropout: of whole channels.
      map: number of the map, negative ones from the last (beside another head: 2, of four).
      dtype: of the products but the last, which makes logits.
    """

    out: Width
    width: Width = 512
    layers: Annotated[int, Range(1, 16)] = 2
    concat: bool = True
    dropout: Rate = 0.1
    map: MapNumber = -1
    dtype: Dtype = "float32"

    geometry_inputs: ClassVar[tuple[str, ...]] = ()
    norm: ClassVar[str] = "running"

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for an unknown option."""
        check_choice("the fcn head", "dtype", self.dtype, DTYPES)

    @nn.compact
    def __call__(
        self, x: Features, *, train: bool = False
    ) -> Float[Array, "batch _rows _columns out"]:
        """A map (B, h, w, D) -> (B, h, w, out) float32.

        train: whether channels are dropped and statistics are those of the batch.
        """

        def convolved(y, name):
            made = ConvNorm(self.width, 3, dtype=jnp.dtype(self.dtype), name=name)
            return nn.relu(made(y, int(train)))

        y = read = one(x, self.map, what="the fcn head")
        for i in range(self.layers):
            y = convolved(y, f"layers_{i}")
        if self.concat:
            y = convolved(jnp.concatenate([read, y], axis=-1), "concat")
        return classified(y, self.out, dropout=self.dropout, train=train)
