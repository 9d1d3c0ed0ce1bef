"""Layers split over the axis `tensor`: the columns of a first matrix and the rows of a second.

Between the two a device has its share of the hidden layer, or of the heads, and what it makes of it
is summed over `tensor` behind the second: one sum in each direction for two layers. Shoeybi et al.
2019, "Megatron-LM", §3, https://arxiv.org/abs/1909.08053.

Both operands of every product say where they are. A weight is gathered over fsdp first, as the
compiler, asked to multiply rows that are split over (data, fsdp) by columns that are split over
fsdp and to sum over tensor, hands some rows to the wrong device (jaxlib 0.10.2;
tests/parallel/tensor_test.py has such a product).
"""

import warnings
from typing import NamedTuple

import jax
from jax.sharding import PartitionSpec as P

from m3i_jax.parallel.constrain import TENSOR, batch_sharded, ways, whole
from m3i_jax.types import Array


class Split(NamedTuple):
    """How a layer is shared by the devices of the axis `tensor`.

    rows: of its kernel, whose results are summed; else columns.
    ways: devices that share it.  parts: what the columns are of, such as 3 for (q|k|v); a device
      has its share of every part, and these side by side.
    """

    rows: bool
    ways: int
    parts: int = 1

    def used(self, w: Array) -> Array:
        """A kernel (k, m) as a product wants it: whole but for this split."""
        w = w if self.parts == 1 else self.dealt(whole(w))
        return jax.lax.with_sharding_constraint(w, self._spec())

    def gradient(self, dw: Array) -> Array:
        """That of a kernel, in the order of its columns, from that of `used`."""
        dw = jax.lax.with_sharding_constraint(dw, self._spec())
        return dw if self.parts == 1 else self._gathered(whole(dw))

    def result(self, y: Array) -> Array:
        """What the layer makes, (B, ..., m): summed over devices, or split as its columns are."""
        return batch_sharded(y, last=None if self.rows else TENSOR)

    def input(self, x: Array) -> Array:
        """What the layer reads, or its gradient, (B, ..., k)."""
        return batch_sharded(x, last=TENSOR if self.rows else None)

    def dealt(self, w: Array) -> Array:
        """Columns (part, device, share) in the order (device, part, share)."""
        return self._swapped(w, self.parts, self.ways)

    def _gathered(self, w: Array) -> Array:
        return self._swapped(w, self.ways, self.parts)

    def _swapped(self, w: Array, first: int, second: int) -> Array:
        cut = w.reshape(*w.shape[:-1], first, second, -1)
        return cut.swapaxes(-3, -2).reshape(w.shape)

    def _spec(self) -> P:
        return P(TENSOR, None) if self.rows else P(None, TENSOR)


def columns(count: int, *, what: str, parts: int = 1) -> Split | None:
    """Of a layer with so many columns in each part, or heads; None where they are not split.

    That is where there is no axis `tensor`, and where it does not divide them, which is said.
    what: they are, for that.
    """
    if count % ways(TENSOR):
        warnings.warn(
            f"{count} {what} do not divide over tensor = {ways(TENSOR)}: every device has them all",
            stacklevel=2,
        )
    return _split(count, rows=False, parts=parts)


def rows(count: int) -> Split | None:
    """Of the layer that reads such columns."""
    return _split(count, rows=True, parts=1)


def _split(count: int, *, rows: bool, parts: int) -> Split | None:
    devices = ways(TENSOR)
    return Split(rows, devices, parts) if devices > 1 and count % devices == 0 else None
