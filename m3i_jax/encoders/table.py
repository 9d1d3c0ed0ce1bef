"""The class table: a category is encoded as its row of the classifier's matrix (M3I Table 5)."""

from typing import Annotated, ClassVar

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Int

from m3i_jax.build import ConfigError
from m3i_jax.nn.norms import UnitNorm
from m3i_jax.parallel import tables
from m3i_jax.parallel.constrain import batch_sharded
from m3i_jax.ranges import Gain, Range, Width
from m3i_jax.types import Array, Features


class Table(nn.Module):
    """z_y = W_y, with every row a candidate: softmax over them is the linear classifier.

    Attributes:
      size: number of categories.
      width: of a row.
      unit_norm: rows of length 1 (prototypes).
      bias: whether each category has one, the last number of its row, which the decoder `pooled`
        multiplies by 1. It starts at 0.
      deviation: of the normal that rows start as; 0.02 is that of DeiT and timm, whose truncation
        at ±2 cuts nothing, 2e-5 that of fine-tuning (MAE).
    """

    size: Annotated[int, Range(2, 2**22, why="one category is no choice")]
    width: Width
    unit_norm: bool = False
    bias: bool = False
    deviation: Gain = 0.02

    kind: ClassVar[str] = "table"
    grid: ClassVar[None] = None
    patch: ClassVar[None] = None

    @property
    def features(self) -> int:
        """Width of the codes."""
        return self.width + int(self.bias)

    @nn.nowrap
    def example(self) -> Int[Array, "1"]:
        """A batch of one, for tracing."""
        return jnp.zeros((1,), jnp.int32)

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for options that do not fit together."""
        if self.unit_norm and self.bias:
            raise ConfigError("a table of unit vectors has no bias: set one of the two to False")

    @nn.compact
    def __call__(self, labels: Int[Array, " batch"], *, train: bool = False) -> Features:
        """labels (B,) int -> pooled (B, D), candidates (size, D), target_index (B,), float32.

        A label of -1 (none) reads row 0; the framework leaves such samples out of the loss.
        """
        init = nn.initializers.normal(self.deviation)
        rows = self.param("kernel", init, (self.size, self.width), jnp.float32)
        rows = UnitNorm()(rows) if self.unit_norm else rows
        if self.bias:
            bias = self.param("bias", nn.initializers.zeros, (self.size,), jnp.float32)
            rows = jnp.concatenate([rows, bias[:, None]], axis=1)
        rows = tables.rows(rows)
        index = jnp.maximum(labels, 0).astype(jnp.int32)
        chosen = batch_sharded(jnp.take(rows, index, axis=0))
        return Features(pooled=chosen, candidates=rows, target_index=index)


VARIANTS = {"table": Table}
