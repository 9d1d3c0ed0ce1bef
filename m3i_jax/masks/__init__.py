"""Masks over grids of tokens: (B, h, w) bool, True = visible.

Every mask of a batch has the same number of hidden cells, `count(hidden, grid)` (`rows_alike` has
`count_up`, `units` has `count_units`), so that shapes stay static and losses need no ragged
averages, but for those of `uneven`; and but for `rows_alike` every image has a mask of its own.
Masks depend on the key alone, never on the number of devices. All functions can be jitted with
everything but the key (and scores) static.

* `counts`: how many cells are hidden, and which are not. `cells`: one by one, or in squares.
* `blocks`: rectangles, one over the other. `asked`: a mask and the blocks that are predicted from
  what it leaves.
"""

from m3i_jax.masks import asked, blocks, cells, counts
from m3i_jax.masks.asked import *
from m3i_jax.masks.blocks import *
from m3i_jax.masks.cells import *
from m3i_jax.masks.counts import *

__all__ = [
    *asked.__all__,
    *blocks.__all__,
    *cells.__all__,
    *counts.__all__,
]
