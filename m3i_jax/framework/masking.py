"""Which cells of a view an encoder may see, as a value of a code."""

from collections.abc import Callable
from typing import Any, NamedTuple

from m3i_jax import masks
from m3i_jax.framework.alike import made_of
from m3i_jax.types import Grid


class Masking(NamedTuple):
    """Which cells an encoder may see; equal to one that draws alike, whoever made it.

    draw: (key, batch, grid, hidden) -> (B, h, w) bool; with a guide it gets (B, h, w) scores, too.
    hidden: share of the cells.
    guide: code whose class token's attention to the patches scores the cells (MILAN); it must not
      depend on what is being trained.
    exact: (hidden, grid) -> number of hidden cells in every image.
    blocks: how many blocks of hidden cells it draws beside, which terms ask for one by one: `draw`
      gives (visible, (B, blocks, h, w) bool).
    most: (grid) -> cells of a block at most.
    rest_of: a code before this, what is hidden from which is what is visible here.
    varies: whether images differ in it: `exact` is a mean then, and cells cannot be dropped.
    """

    draw: Callable[..., Any]
    hidden: float
    guide: str | None = None
    exact: Callable[[float, Grid], int] = masks.count
    blocks: int = 0
    most: Callable[[Grid], int] | None = None
    varies: bool = False
    rest_of: str | None = None

    # A tuple compares functions by identity: two masks of one factory would differ, and codes that
    # see the same would be encoded twice.
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Masking) and made_of(tuple(self)) == made_of(tuple(other))

    # Tuples have one of their own, which would not ask the one above.
    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(made_of(tuple(self)))

    def count(self, grid: Grid) -> int:
        """Number of visible cells in every image."""
        return grid[0] * grid[1] - self.exact(self.hidden, grid)


def rest(mask: Masking, of: str) -> Masking:
    """A mask that shows what `mask` hides from code `of` (docs/methods.md#cae)."""
    exact = lambda hidden, grid: grid[0] * grid[1] - mask.exact(mask.hidden, grid)  # noqa: E731
    return Masking(mask.draw, 1.0 - mask.hidden, exact=exact, rest_of=of)
