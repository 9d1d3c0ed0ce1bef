"""The class table: a category is encoded as its row of the classifier's matrix (METHODS 4.5)."""

from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn

from m3i_jax.build import ConfigError
from m3i_jax.nn.norms import UnitNorm
from m3i_jax.types import Array, Features


class Table(nn.Module):
    """z_y = W_y, with every row a candidate: softmax over them is the linear classifier.

    Rows start as a normal of deviation 0.02, as the classifier of DeiT and timm, whose
    truncation at +-2 cuts nothing.

    Attributes:
      size: number of categories.
      width: of a row.
      unit_norm: rows of length 1 (prototypes).
    """

    size: int
    width: int
    unit_norm: bool = False

    kind: ClassVar[str] = "table"
    grid: ClassVar[None] = None
    patch: ClassVar[None] = None

    @property
    def features(self) -> int:
        """Width of the codes."""
        return self.width

    @nn.nowrap
    def example(self) -> Array:
        """A batch of one, for tracing."""
        return jnp.zeros((1,), jnp.int32)

    @nn.nowrap
    def check(self) -> None:
        """Raises ConfigError for an empty table."""
        if self.size < 1 or self.width < 1:
            raise ConfigError(f"a table of {self.size} rows of width {self.width} is empty")

    @nn.compact
    def __call__(self, labels: Array, *, train: bool = False) -> Features:
        """labels (B,) int -> pooled (B, D), candidates (size, D), choice (B,), float32.

        A label of -1 (none) reads row 0; the framework leaves such samples out of the loss.
        """
        init = nn.initializers.normal(0.02)
        rows = self.param("kernel", init, (self.size, self.width), jnp.float32)
        rows = UnitNorm()(rows) if self.unit_norm else rows
        choice = jnp.maximum(labels, 0).astype(jnp.int32)
        return Features(pooled=jnp.take(rows, choice, axis=0), candidates=rows, choice=choice)


VARIANTS = {"table": Table}
